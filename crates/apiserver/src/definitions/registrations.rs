//! The APIServices of custom group versions (upstream's autoregister controller).

use std::collections::BTreeSet;

use apimachinery::ObjectExt;

use crate::bootstrap::api_services::{MANAGED, local};
use crate::bootstrap::{self, MANAGER};
use crate::registry::{self, KindRef};
use crate::server::Server;

/// Priorities of group versions that a definition serves.
const GROUP_PRIORITY: u32 = 1000;
const VERSION_PRIORITY: u32 = 100;

/// Registers the group versions of definitions, and removes what is left of others.
pub(super) async fn sync(server: &Server) {
    let Some(kind) = registry::find("apiregistration.k8s.io", "v1", "apiservices") else { return };
    let Ok((snapshot, _)) = server.present(kind) else { return };
    let kinds = server.kinds();
    let custom = kinds.all().filter(|kind| matches!(kind, KindRef::Custom(_)));
    let versions: BTreeSet<(&str, &str)> = custom.map(|kind| (kind.group, kind.version)).collect();
    for (group, version) in &versions {
        let name = format!("{version}.{group}");
        if server.entry(kind, "", &name).is_some() {
            continue;
        }
        let object = local(group, version, GROUP_PRIORITY, VERSION_PRIORITY, "true");
        if let Err(error) = bootstrap::ensure(server, object, MANAGER, |_, _| false).await {
            tracing::warn!(name, error = %error.message, "API service of a definition");
        }
    }
    for entry in snapshot.range("", "") {
        let object = entry.object();
        let (group, version) =
            (object.str_at(&["spec", "group"]), object.str_at(&["spec", "version"]));
        let managed = object.labels().any(|label| label == (MANAGED, "true"));
        if managed && !versions.contains(&(group, version)) {
            // Somebody who was faster has removed it, or wants it.
            let _ = server.remove(kind, "", entry.name(), entry.revision).await;
        }
    }
}

//! Follows the registrations, and has each backend looked at by a task of its own: one that is
//! slow or broken slows nobody.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use telemetry::task;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Backend, ByVersion, availability};
use crate::registry::{self, Kind};
use crate::server::Server;

/// Runs until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let Some(kind) = registry::find("apiregistration.k8s.io", "v1", "apiservices") else { return };
    let mut watched: HashMap<String, (Arc<Backend>, DropGuard)> = HashMap::new();
    loop {
        let begun = server.upgrade().and_then(|server| {
            let collection = server.collection(kind).ok()?;
            let cursor = collection.watch_after(server.present(kind).ok()?.1).ok()?;
            Some((collection, cursor))
        });
        let Some((collection, mut cursor)) = begun else { return };
        loop {
            {
                let Some(server) = server.upgrade() else { return };
                sync(&server, kind, &mut watched);
            }
            cursor.wait().await;
            if collection.drain(&mut cursor, |_| {}).is_err() {
                break;
            }
        }
    }
}

/// Serves the backends of the registrations as they are now.
fn sync(server: &Arc<Server>, kind: &Kind, all: &mut HashMap<String, (Arc<Backend>, DropGuard)>) {
    let Ok((snapshot, _)) = server.present(kind) else { return };
    let mut wanted: ByVersion = ByVersion::new();
    for entry in snapshot.range("", "") {
        let object = entry.object();
        let known = all.get(entry.name()).filter(|(known, _)| known.spec == object["spec"]);
        let backend = match known {
            Some((known, _)) => known.clone(),
            None => {
                let Some(made) = Backend::read(&object, &server.backends.front) else { continue };
                let (made, life) = (Arc::new(made), CancellationToken::new());
                let (weak, backend) = (Arc::downgrade(server), made.clone());
                let look = move || availability::run(weak.clone(), backend.clone());
                let look = task::keep_until_cancelled("api-service", life.clone(), look);
                task::spawn("api-service", look);
                all.insert(entry.name().to_owned(), (made.clone(), life.drop_guard()));
                made
            }
        };
        wanted.insert((backend.group.clone(), backend.version.clone()), backend);
    }
    all.retain(|_, (backend, _)| wanted.values().any(|wanted| Arc::ptr_eq(wanted, backend)));
    server.backends.by_version.store(Arc::new(wanted));
}

//! Notes the resourceVersion of a resource when its migration begins: what is newer is stored in
//! the present version already.

use client::ObjectKey;
use kube::Api;
use kube::api::ListParams;
use kube::core::DynamicObject;

use super::conditions::{self, FAILED, HAS_FAILED, RUNNING, has_ended, holds, version};
use super::{Controller, DONE, parsed, patience, shown};
use crate::Outcome;
use crate::common::discovery::Found;

/// No namespace has this name: a list of its objects shows the present resourceVersion alone.
const NOWHERE: &str = "@fake:svm_ns!";
/// The verbs without which nothing can be migrated.
const NEEDED: [&str; 3] = ["update", "patch", "list"];

impl Controller {
    /// Writes into a migration that runs what the present resourceVersion is.
    pub(super) async fn note_version(&self, key: &ObjectKey) -> Outcome {
        let Some(migration) = self.migrations.get(key) else { return DONE };
        let waits = holds(&migration, RUNNING) && !has_ended(&migration);
        if !waits || !version(&migration).is_empty() {
            return DONE;
        }
        let mut changed = (*migration).clone();
        let fail = |message: String| {
            let mut failed = (*migration).clone();
            conditions::set(&mut failed, FAILED, true, HAS_FAILED, &message, None);
            failed
        };
        let Some(kind) = self.kind(&migration).await? else {
            if let Some(wait) = patience(&migration) {
                return Ok(Some(wait));
            }
            self.write_status(&fail("resource does not exist in discovery".into())).await?;
            return DONE;
        };
        if !kind.supports(&NEEDED) {
            let message = format!(
                "resource {:?} does not support discovery operations: [{}]",
                shown(&kind),
                NEEDED.join(" ")
            );
            self.write_status(&fail(message)).await?;
            return DONE;
        }
        let present = self.present(&kind).await?;
        if parsed(&present).is_none() {
            let message = format!(
                "latest resourceVersion for {} is not valid: resource version is not well formed: \
                 {present}",
                shown(&kind)
            );
            self.write_status(&fail(message)).await?;
            return DONE;
        }
        changed.status.get_or_insert_default().resource_version = Some(present);
        self.write_status(&changed).await?;
        DONE
    }

    /// The present resourceVersion of a kind.
    async fn present(&self, kind: &Found) -> kube::Result<String> {
        let client = self.context.client.clone();
        let api: Api<DynamicObject> = match kind.namespaced {
            true => Api::namespaced_with(client, NOWHERE, &kind.resource),
            false => Api::all_with(client, &kind.resource),
        };
        let list = api.list_metadata(&ListParams::default().limit(1)).await?;
        Ok(list.metadata.resource_version.unwrap_or_default())
    }
}

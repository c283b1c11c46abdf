//! Deletes the objects of a definition that is being deleted, and then lets it go.

use std::sync::{Arc, Weak};
use std::time::Duration;

use apimachinery::{Object, ObjectExt, Status};
use serde_json::{Value, json};

use super::{CLEANUP, kind};
use crate::encode::view;
use crate::registry::{KindRef, set_condition};
use crate::server::Server;
use crate::verbs::{self, Failure, write_status};

/// Time between two looks at objects that do not go, and before another try after an error.
const AGAIN: Duration = Duration::from_secs(60);

/// Runs until the definition is gone.
pub(super) async fn run(server: Weak<Server>, name: String) {
    while let Some(server) = server.upgrade() {
        let waits = match step(&server, &name).await {
            Ok(Next::Over) => return,
            Ok(Next::Step) => continue,
            Ok(Next::Wait(instances)) => server.collection(&instances).ok(),
            Err(error) => {
                tracing::warn!(definition = name, error = %error.message, "custom resource cleanup");
                None
            }
        };
        let cursor = waits.and_then(|collection| {
            let cursor = collection.watch_after(server.cache.revision()).ok()?;
            (!collection.snapshot().entries.is_empty()).then_some(cursor)
        });
        drop(server);
        let changed = async {
            if let Some(mut cursor) = cursor {
                cursor.wait().await;
            }
        };
        let _ = tokio::time::timeout(AGAIN, changed).await;
    }
}

/// The work that follows a step.
enum Next {
    /// The next one, at once.
    Step,
    /// The next one when objects of this kind have gone.
    Wait(KindRef),
    /// Nothing: the definition is gone, or stays.
    Over,
}

/// Deletes the objects that are there, and lets the definition go when none is left.
async fn step(server: &Arc<Server>, name: &str) -> Result<Next, Status> {
    let Some(kind) = kind() else { return Ok(Next::Over) };
    let Some(entry) = server.entry(kind, "", name) else { return Ok(Next::Over) };
    let old = view(kind, &entry);
    if old.deletion_timestamp().is_none() || !old.finalizers().any(|f| f == CLEANUP) {
        return Ok(Next::Over);
    }
    let kinds = server.kinds();
    let definition = kinds.definitions().get(name);
    let instances = definition.map(|definition| KindRef::Custom(definition.storage.clone()));
    let Some(instances) = instances else {
        let mut object = old.clone();
        let (reason, message) = ("NeverEstablished", "resource was never established");
        set_condition(&mut object, "Terminating", "False", reason, message);
        return release(server, &old, object).await.map(|()| Next::Over);
    };
    let mut object = old.clone();
    let (reason, message) =
        ("InstanceDeletionInProgress", "CustomResource deletion is in progress");
    if set_condition(&mut object, "Terminating", "True", reason, message) {
        refused(write_status(server, kind, &old, object).await)?;
        return Ok(Next::Step);
    }
    verbs::delete_all(server, &instances).await?;
    if !server.present(&instances)?.0.entries.is_empty() {
        return Ok(Next::Wait(instances));
    }
    let mut object = old.clone();
    let (reason, message) = ("InstanceDeletionCompleted", "removed all instances");
    set_condition(&mut object, "Terminating", "False", reason, message);
    // A conflict is looked at again.
    release(server, &old, object).await.map(|()| Next::Step)
}

/// Removes the finalizer, and the definition if that was the last.
async fn release(server: &Server, old: &Object, mut object: Object) -> Result<(), Status> {
    let Some(kind) = kind() else { return Ok(()) };
    let left: Vec<&str> = old.finalizers().filter(|finalizer| *finalizer != CLEANUP).collect();
    let revision = old.resource_version().parse().unwrap_or(0);
    if left.is_empty() {
        return refused(server.remove(kind, "", old.name(), revision).await.map(drop));
    }
    let left: Value = json!(left);
    object.set_meta("finalizers", left);
    refused(write_status(server, kind, old, object).await)
}

/// Passes errors on; a conflict is looked at again.
fn refused(outcome: Result<(), Failure>) -> Result<(), Status> {
    match outcome {
        Err(Failure::Refused(status)) => Err(status),
        _ => Ok(()),
    }
}

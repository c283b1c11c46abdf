//! Looks after CustomResourceDefinitions: accepts their names, serves their kinds, registers their
//! versions, and deletes their objects before they go.

mod approval;
mod cleanup;
mod names;
mod registrations;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use apimachinery::{Object, ObjectExt, Status};
use serde_json::json;
use telemetry::task;
use tokio::task::JoinHandle;

use crate::cache::{Collection, Corrupt, Cursor};
use crate::encode::view;
use crate::registry::{self, CLEANUP, Definition, Kind, Kinds, set_condition};
use crate::server::Server;
use crate::verbs::{Failure, write_status};

fn kind() -> Option<&'static Kind> {
    registry::find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

/// Serves what is stored.
///
/// # Errors
/// A stored value is not an object.
pub(crate) fn load(server: &Server) -> Result<(), Corrupt> {
    let Some(present) = kind().and_then(|kind| server.present(kind).ok()) else { return Ok(()) };
    let mut definitions = std::collections::BTreeMap::new();
    for entry in present.0.range("", "") {
        if let Some(definition) = Definition::read(&entry.object(), None) {
            let Definition { group, resource, selectable, .. } = *definition;
            server.cache.provide(group, resource, selectable)?;
            definitions.insert(entry.name().to_owned(), definition);
        }
    }
    server.serve_kinds(Kinds::new(definitions));
    Ok(())
}

/// Follows the definitions until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let Some(kind) = kind() else { return };
    let mut cleanups: HashMap<String, JoinHandle<()>> = HashMap::new();
    while let Some((collection, mut cursor)) = begin(&server, kind) {
        let mut due: BTreeSet<String> =
            collection.snapshot().range("", "").map(|entry| entry.name().to_owned()).collect();
        loop {
            {
                let Some(server) = server.upgrade() else { return };
                // Definitions that are gone have left kinds behind.
                let gone = server.kinds();
                let gone = gone.definitions().keys();
                due.extend(gone.filter(|name| server.entry(kind, "", name).is_none()).cloned());
                while let Some(name) = due.pop_first() {
                    match sync(&server, kind, &name).await {
                        Ok(Next::Nothing) => {}
                        Ok(Next::Group(group)) => {
                            due.extend(of_group(&server, kind, &group, &name))
                        }
                        Ok(Next::CleanUp) => start_cleanup(&server, &name, &mut cleanups),
                        Err(error) => {
                            tracing::warn!(definition = name, error = %error.message, "definition");
                        }
                    }
                }
                registrations::sync(&server).await;
            }
            cursor.wait().await;
            let read = collection.drain(&mut cursor, |change| {
                due.insert(change.entry.name().to_owned());
            });
            if read.is_err() {
                // Too far behind: start again.
                break;
            }
        }
    }
}

/// A cursor at the present; `None` once the server is dropped.
fn begin(server: &Weak<Server>, kind: &Kind) -> Option<(Arc<Collection>, Cursor)> {
    let server = server.upgrade()?;
    let collection = server.collection(kind).ok()?;
    let (_, revision) = server.present(kind).ok()?;
    let cursor = collection.watch_after(revision).ok()?;
    Some((collection, cursor))
}

/// The other definitions of a group, which may want a name that has become free.
fn of_group(server: &Server, kind: &Kind, group: &str, except: &str) -> Vec<String> {
    let Ok((snapshot, _)) = server.present(kind) else { return Vec::new() };
    let names = snapshot.range("", "").map(|entry| entry.name());
    names.filter(|name| *name != except && is_of(name, group)).map(str::to_owned).collect()
}

/// Returns true if the definition of this name, which is `<plural>.<group>`, is of a group.
fn is_of(name: &str, group: &str) -> bool {
    name.split_once('.').is_some_and(|(_, own)| own == group)
}

/// The work that follows the check of a definition.
enum Next {
    Nothing,
    /// The other definitions of this group are to be looked at.
    Group(String),
    /// Its objects are to be deleted.
    CleanUp,
}

async fn sync(server: &Arc<Server>, kind: &Kind, name: &str) -> Result<Next, Status> {
    let group = name.split_once('.').map_or("", |(_, group)| group).to_owned();
    let Some(entry) = server.entry(kind, "", name) else {
        serve(server, name, None)?;
        return Ok(Next::Group(group));
    };
    let old = view(kind, &entry);
    let mut object = old.clone();
    if names::accept(&mut object, &taken(server, kind, &old)) {
        return match write_status(server, kind, &old, object).await {
            Ok(()) => Ok(Next::Group(group)),
            Err(failure) => again_or(failure),
        };
    }
    // Served before it says so: whoever reads that it is established finds it.
    serve(server, name, Some(&object))?;
    let judged = approval::judge(&mut object);
    if (names::establish(&mut object) || judged)
        && let Err(failure) = write_status(server, kind, &old, object).await
    {
        return again_or(failure);
    }
    let leaves = old.deletion_timestamp().is_some() && old.finalizers().any(|f| f == CLEANUP);
    Ok(if leaves { Next::CleanUp } else { Next::Nothing })
}

/// A conflict is a change, which will be read.
fn again_or(failure: Failure) -> Result<Next, Status> {
    match failure {
        Failure::Conflict => Ok(Next::Nothing),
        Failure::Refused(status) => Err(status),
    }
}

/// The accepted names of the other definitions of the group.
fn taken(server: &Server, kind: &Kind, own: &Object) -> names::Taken {
    let mut taken = names::Taken::default();
    let Ok((snapshot, _)) = server.present(kind) else { return taken };
    let group = own.str_at(&["spec", "group"]);
    for entry in snapshot.range("", "").filter(|entry| is_of(entry.name(), group)) {
        taken.add(&entry.object()["status"]["acceptedNames"]);
    }
    for built_in in registry::kinds().filter(|built_in| built_in.group == group) {
        taken.add(&json!({"plural": built_in.resource}));
    }
    taken
}

/// Serves the kinds of a definition as it is now, or no more.
fn serve(server: &Server, name: &str, object: Option<&Object>) -> Result<(), Status> {
    let kinds = server.kinds();
    let known = kinds.definitions().get(name);
    let made = object.and_then(|object| Definition::read(object, known));
    let same = match (&made, known) {
        (Some(made), Some(known)) => Arc::ptr_eq(made, known),
        (None, None) => true,
        _ => false,
    };
    if same {
        return Ok(());
    }
    let mut definitions = kinds.definitions().clone();
    if let Some(made) = &made {
        let provided = server.cache.provide(made.group, made.resource, made.selectable);
        provided.map_err(Status::internal)?;
        definitions.insert(name.to_owned(), made.clone());
    } else {
        definitions.remove(name);
    }
    server.serve_kinds(Kinds::new(definitions));
    if let (None, Some(known)) = (&made, known) {
        server.cache.retire(known.group, known.resource);
    }
    Ok(())
}

fn start_cleanup(server: &Arc<Server>, name: &str, running: &mut HashMap<String, JoinHandle<()>>) {
    running.retain(|_, task| !task.is_finished());
    if running.contains_key(name) {
        return;
    }
    let run = cleanup::run(Arc::downgrade(server), name.to_owned());
    running.insert(name.to_owned(), task::spawn("custom-resource-cleanup", run));
}

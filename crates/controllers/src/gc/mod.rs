//! Deletes objects whose owners are gone.
//!
//! Metadata of every kind is watched and kept as a graph of owners and dependents ([`graph`]).
//! Changes in it put objects on two queues: those to look at because an owner went, and those
//! whose dependents are to be orphaned. What is then done is decided by asking the server
//! ([`collect`]), never by the graph alone, which may lag.

mod collect;
mod graph;
mod identity;
mod live;
mod monitors;

use std::sync::Arc;

use client::{EventType, WorkQueue};
use k8s_openapi::api::core::v1::ObjectReference;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use crate::Context;
use crate::common::discovery::Found;
use graph::{Change, Coordinates, Graph, Todo};
use identity::Identity;

const WORKERS: usize = 20;

struct Collector {
    context: Context,
    graph: Mutex<Graph>,
    /// Kinds known at present.
    kinds: RwLock<Vec<Arc<Found>>>,
    changes: mpsc::UnboundedSender<Change>,
    /// Objects that may have to go, by uid.
    to_delete: WorkQueue<String>,
    /// Objects whose dependents are to be orphaned, by uid.
    to_orphan: WorkQueue<String>,
}

pub(crate) async fn run(context: Context) {
    let (changes, mut incoming) = mpsc::unbounded_channel();
    let collector = Arc::new(Collector {
        context: context.clone(),
        graph: Mutex::default(),
        kinds: RwLock::default(),
        changes,
        to_delete: context.queue("garbage_collector_attempt_to_delete"),
        to_orphan: context.queue("garbage_collector_attempt_to_orphan"),
    });
    let monitored = collector.clone();
    context.spawn(async move { monitors::run(monitored).await });
    let applying = collector.clone();
    context.spawn(async move {
        while let Some(change) = incoming.recv().await {
            applying.apply(change);
        }
    });
    let deleting = collector.clone();
    let delete = context.work(&collector.to_delete, WORKERS, move |uid: String| {
        let collector = deleting.clone();
        async move { collector.attempt_to_delete(&uid).await }
    });
    let orphaning = collector.clone();
    let orphan = context.work(&collector.to_orphan, WORKERS, move |uid: String| {
        let collector = orphaning.clone();
        async move { collector.orphan_dependents(&uid).await }
    });
    futures::join!(delete, orphan);
}

impl Collector {
    fn apply(&self, change: Change) {
        let todo = self.graph.lock().apply(change);
        for item in todo {
            match item {
                Todo::Delete(uid) => self.to_delete.add(uid),
                Todo::Orphan(uid) => self.to_orphan.add(uid),
                Todo::Retry(uid) => self.to_delete.add_rate_limited(uid),
                Todo::Report { dependent, owner } => self.report(&dependent, &owner),
            }
        }
    }

    /// Says on a dependent that its owner is not where owners are looked for.
    fn report(&self, dependent: &str, owner: &str) {
        let Some(node) = self.graph.lock().get(dependent) else { return };
        let seen = &node.seen;
        let Some(reference) = seen.owners.iter().find(|o| o.uid == owner) else { return };
        let namespace = &seen.at.namespace;
        let wanted = Identity {
            at: Coordinates {
                api_version: reference.api_version.clone(),
                kind: reference.kind.clone(),
                namespace: namespace.clone(),
                name: reference.name.clone(),
            },
            uid: owner.to_owned(),
        };
        let about = ObjectReference {
            api_version: Some(seen.at.api_version.clone()),
            kind: Some(seen.at.kind.clone()),
            name: Some(seen.at.name.clone()),
            namespace: Some(namespace.clone()).filter(|n| !n.is_empty()),
            uid: Some(seen.uid.clone()),
            ..ObjectReference::default()
        };
        let message = format!("ownerRef {wanted} does not exist in namespace {namespace:?}");
        let reason = "OwnerRefInvalidNamespace";
        self.context.events.event_about(about, EventType::Warning, reason, message);
    }
}

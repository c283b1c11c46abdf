//! Deletes objects whose owners are gone.
//!
//! Metadata of every kind is watched and kept as a graph of owners and dependents ([`graph`]).
//! Changes in it put objects on two queues: those to look at because an owner went, and those
//! whose dependents are to be orphaned. What is then done is decided by asking the server
//! ([`collect`]), never by the graph alone, which may lag.

mod collect;
mod graph;
mod live;
mod monitors;

use std::sync::Arc;

use client::WorkQueue;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use crate::Context;
use crate::common::discovery::Found;
use graph::{Change, Graph, Todo};

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
        to_delete: WorkQueue::new(),
        to_orphan: WorkQueue::new(),
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
            }
        }
    }
}

//! Watching the metadata of every kind, also of those that come later.

use std::collections::HashSet;
use std::sync::Arc;

use client::Event;
use client::informer::Selection;
use kube::core::{DynamicObject, PartialObjectMeta};
use parking_lot::Mutex;

use super::Collector;
use super::graph::{Change, Observed};
use super::identity::Identity;
use crate::common::discovery::{self, Found};

/// Kinds without owners or dependents that are many.
const IGNORED: &[&str] = &["events"];

/// Keeps the kinds known and watched.
pub(super) async fn run(collector: Arc<Collector>) {
    let watched: Mutex<HashSet<(String, String)>> = Mutex::default();
    let context = collector.context.clone();
    let handle = move |kinds: Vec<Arc<Found>>| {
        *collector.kinds.write() = kinds.clone();
        for kind in kinds {
            let id = (kind.resource.api_version.clone(), kind.resource.plural.clone());
            let wanted = kind.supports(&["list", "watch", "delete"])
                && !IGNORED.contains(&&*kind.resource.plural);
            if wanted && watched.lock().insert(id) {
                watch(&collector, kind);
            }
        }
    };
    discovery::follow(&context, handle).await;
}

fn watch(collector: &Arc<Collector>, kind: Arc<Found>) {
    type Metadata = PartialObjectMeta<DynamicObject>;
    let informers = &collector.context.informers;
    let informer = informers.dynamic::<Metadata>(&kind.resource, Selection::default());
    let changes = collector.changes.clone();
    collector.context.subscribe(&informer, move |event| {
        let change = match &event {
            Event::Deleted(object) => {
                let seen = Observed::new(&kind.resource, &object.metadata);
                Change::Gone(Identity { at: seen.at, uid: seen.uid })
            }
            Event::Added(object) | Event::Modified { new: object, .. } => {
                Change::Seen(Observed::new(&kind.resource, &object.metadata))
            }
        };
        // The receiver lives as long as the collector.
        let _ = changes.send(change);
    });
}

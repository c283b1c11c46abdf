//! Watching the metadata of every kind, also of those that come later.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use client::informer::Selection;
use client::{Event, WorkQueue};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::core::{DynamicObject, PartialObjectMeta};
use parking_lot::Mutex;

use super::Collector;
use super::graph::{Change, Observed};
use crate::common::discovery::{self, Found};
use crate::common::meta;

/// A definition that has just changed is not served at once.
const SETTLE: Duration = Duration::from_millis(500);
/// Kinds without owners or dependents that are many.
const IGNORED: &[&str] = &["events"];

/// Keeps the kinds known and watched.
pub(super) async fn run(collector: Arc<Collector>) {
    let queue = WorkQueue::new();
    queue.add(());
    let enqueue = queue.clone();
    collector.context.on::<CustomResourceDefinition>(move |event| {
        let served = |definition: &CustomResourceDefinition| {
            let status = definition.status.as_ref();
            let conditions = status.and_then(|status| status.conditions.clone());
            (definition.spec.clone(), conditions)
        };
        match event {
            Event::Modified { old, new } if served(&old) == served(&new) => {}
            _ => enqueue.add_after((), SETTLE),
        }
    });
    let enqueue = queue.clone();
    collector.context.on::<APIService>(move |event| {
        if !matches!(event, Event::Modified { .. }) {
            enqueue.add_after((), SETTLE);
        }
    });
    let watched: Arc<Mutex<HashSet<(String, String)>>> = Arc::default();
    let context = collector.context.clone();
    let work = move |()| {
        let (collector, watched) = (collector.clone(), watched.clone());
        async move {
            let kinds = discovery::kinds(&collector.context.client).await?;
            let kinds: Vec<Arc<Found>> = kinds.into_iter().map(Arc::new).collect();
            *collector.kinds.write() = kinds.clone();
            for kind in kinds {
                let id = (kind.resource.api_version.clone(), kind.resource.plural.clone());
                let wanted = kind.supports(&["list", "watch", "delete"])
                    && !IGNORED.contains(&&*kind.resource.plural);
                if wanted && watched.lock().insert(id) {
                    watch(&collector, kind);
                }
            }
            Ok(None)
        }
    };
    context.work(&queue, 1, work).await;
}

fn watch(collector: &Arc<Collector>, kind: Arc<Found>) {
    type Metadata = PartialObjectMeta<DynamicObject>;
    let informers = &collector.context.informers;
    let informer = informers.dynamic::<Metadata>(&kind.resource, Selection::default());
    let changes = collector.changes.clone();
    collector.context.subscribe(&informer, move |event| {
        let change = match &event {
            Event::Deleted(object) => Change::Gone(meta::uid(&**object).to_owned()),
            Event::Added(object) | Event::Modified { new: object, .. } => {
                Change::Seen(Observed::new(&kind.resource, &object.metadata))
            }
        };
        // The receiver lives as long as the collector.
        let _ = changes.send(change);
    });
}

//! Watching what quotas count: a few kinds whole, of all others the metadata, which the garbage
//! collector watches anyway.

use std::collections::HashSet;
use std::sync::Arc;

use client::Event;
use client::informer::{Informer, Kind, Selection};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::resource::v1::ResourceClaim;
use k8s_openapi::jiff::Timestamp;
use kube::core::{DynamicObject, PartialObjectMeta};
use parking_lot::Mutex;
use rules::quota::Counted;
use serde::Serialize;

use super::source::Source;
use super::{Controller, to_value};
use crate::common::discovery::{self, Found};
use crate::common::meta;

/// Keeps everything counted that can be.
pub(super) async fn run(controller: Arc<Controller>) {
    measure::<Pod>(&controller);
    measure::<Service>(&controller);
    measure::<PersistentVolumeClaim>(&controller);
    measure::<ResourceClaim>(&controller);
    let watched: Mutex<HashSet<(String, String)>> = Mutex::default();
    let context = controller.context.clone();
    let handle = move |kinds: Vec<Arc<Found>>| {
        for kind in kinds {
            let id = (kind.resource.group.clone(), kind.resource.plural.clone());
            let counted = Counted::of(&id.0, &id.1).filter(Counted::only_counts);
            let usable = kind.namespaced && kind.supports(&["create", "list", "watch", "delete"]);
            if let Some(counted) = counted.filter(|_| usable)
                && watched.lock().insert(id)
            {
                number(&controller, counted, &kind);
            }
        }
    };
    discovery::follow(&context, handle).await;
}

/// Counts a kind as soon as all of it is known, and follows its changes.
fn start<K: Kind>(
    controller: &Arc<Controller>,
    informer: Informer<K>,
    source: Source,
    changed: fn(&Controller, &Source, &K, &K),
) {
    let (controller, source) = (controller.clone(), Arc::new(source));
    let context = controller.context.clone();
    context.clone().spawn(async move {
        informer.wait_synced().await;
        controller.include(source.clone());
        context.subscribe(&informer, move |event| match &event {
            Event::Modified { old, new } => changed(&controller, &source, old, new),
            Event::Added(object) | Event::Deleted(object) => {
                controller.replenish(&source, meta::namespace(&**object), |_| true);
            }
        });
    });
}

fn measure<K>(controller: &Arc<Controller>)
where
    K: Kind<DynamicType = ()> + Serialize,
{
    let Some(counted) = Counted::of(&K::group(&()), &K::plural(&())) else { return };
    let informer = controller.context.informers.informer::<K>();
    let source = Source::measured(counted, informer.store().clone());
    start(controller, informer, source, |controller, source, old, new| {
        let now = Timestamp::now();
        controller.replenish(source, meta::namespace(new), |quota| {
            let weight = |object: &K| source.weight(quota, &to_value(object), now);
            weight(old) != weight(new)
        });
    });
}

fn number(controller: &Arc<Controller>, counted: Counted, kind: &Found) {
    type Metadata = PartialObjectMeta<DynamicObject>;
    let informers = &controller.context.informers;
    let informer = informers.dynamic::<Metadata>(&kind.resource, Selection::default());
    let source = Source::numbered(counted, informer.store().clone());
    // However they change, their number stays.
    start(controller, informer, source, |_, _, _: &Metadata, _| {});
}

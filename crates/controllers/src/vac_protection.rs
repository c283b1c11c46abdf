//! Keeps volume attributes classes that volumes or claims name from being deleted.
//!
//! <https://kubernetes.io/docs/concepts/storage/volume-attributes-classes/>

use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::PostParams;

use crate::common::meta;
use crate::common::protection::{self, Move};
use crate::{Context, Outcome};

const FINALIZER: &str = "kubernetes.io/vac-protection";

#[derive(Clone)]
struct Controller {
    context: Context,
    classes: Store<VolumeAttributesClass>,
    claims: Store<PersistentVolumeClaim>,
    volumes: Store<PersistentVolume>,
}

pub(crate) async fn run(context: Context) {
    let classes: Informer<VolumeAttributesClass> = context.informers.informer();
    let claims: Informer<PersistentVolumeClaim> = context.informers.informer();
    let volumes: Informer<PersistentVolume> = context.informers.informer();
    classes.wait_synced().await;
    claims.wait_synced().await;
    volumes.wait_synced().await;
    let queue = context.queue("vacprotection");
    let adder = queue.clone();
    context.subscribe(&classes, move |event: Event<VolumeAttributesClass>| {
        let class = event.object();
        if protection::needed(&**class, FINALIZER).is_some() {
            adder.add(ObjectKey::of(&**class));
        }
    });
    // A change may have been the last use of any class that waits.
    let waiting = |store: Store<VolumeAttributesClass>, queue: WorkQueue<ObjectKey>| {
        move || {
            let all = store.list();
            let released = |class: &&std::sync::Arc<VolumeAttributesClass>| {
                protection::needed(&***class, FINALIZER) == Some(Move::Release)
            };
            all.iter().filter(released).for_each(|class| queue.add(ObjectKey::of(&**class)));
        }
    };
    let look = waiting(classes.store().clone(), queue.clone());
    context.subscribe(&claims, move |_: Event<PersistentVolumeClaim>| look());
    let look = waiting(classes.store().clone(), queue.clone());
    context.subscribe(&volumes, move |_: Event<PersistentVolume>| look());
    let controller = Controller {
        context: context.clone(),
        classes: classes.store().clone(),
        claims: claims.store().clone(),
        volumes: volumes.store().clone(),
    };
    let work = move |key: ObjectKey| {
        let controller = controller.clone();
        async move { controller.sync(&key).await }
    };
    context.work(&queue, 1, work).await;
}

/// Returns true if a claim asks for a class, has it, or is being given it.
fn names(claim: &PersistentVolumeClaim, class: &str) -> bool {
    let wanted = claim.spec.as_ref().and_then(|s| s.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let current = status.and_then(|s| s.current_volume_attributes_class_name.as_deref());
    let target = status
        .and_then(|s| s.modify_volume_status.as_ref())
        .and_then(|s| s.target_volume_attributes_class_name.as_deref());
    [wanted, current, target].contains(&Some(class))
}

impl Controller {
    async fn sync(&self, key: &ObjectKey) -> Outcome {
        let Some(class) = self.classes.get(key) else { return Ok(None) };
        let Some(needed) = protection::needed(&*class, FINALIZER) else { return Ok(None) };
        let name = meta::name(&*class);
        if needed == Move::Release && self.is_used(name) {
            return Ok(None);
        }
        let changed = protection::moved(&*class, FINALIZER, needed);
        let all = self.context.all::<VolumeAttributesClass>();
        all.replace(name, &PostParams::default(), &changed).await?;
        Ok(None)
    }

    fn is_used(&self, class: &str) -> bool {
        let of = |volume: &PersistentVolume| {
            let spec = volume.spec.as_ref();
            spec.and_then(|s| s.volume_attributes_class_name.as_deref()) == Some(class)
        };
        self.volumes.list().iter().any(|volume| of(volume))
            || self.claims.list().iter().any(|claim| names(claim, class))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_way_to_name_a_class_is_a_use() {
        let of = |spec, status| {
            let claim = json!({"metadata": {"name": "c"}, "spec": spec, "status": status});
            names(&serde_json::from_value(claim).unwrap(), "gold")
        };
        assert!(of(json!({"volumeAttributesClassName": "gold"}), json!({})));
        assert!(of(json!({}), json!({"currentVolumeAttributesClassName": "gold"})));
        let target = json!({"status": "Pending", "targetVolumeAttributesClassName": "gold"});
        assert!(of(json!({}), json!({ "modifyVolumeStatus": target })));
        assert!(!of(json!({"volumeAttributesClassName": "silver"}), json!({})));
    }
}

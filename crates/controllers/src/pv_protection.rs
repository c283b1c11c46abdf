//! Keeps volumes that are bound from being deleted.
//!
//! <https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection>

use client::informer::Informer;
use client::{Event, ObjectKey};
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::PostParams;

use crate::common::protection::{self, Move};
use crate::{Context, Outcome};

const FINALIZER: &str = "kubernetes.io/pv-protection";

pub(crate) async fn run(context: Context) {
    let volumes: Informer<PersistentVolume> = context.informers.informer();
    volumes.wait_synced().await;
    let queue = context.queue("pvprotection");
    let adder = queue.clone();
    context.subscribe(&volumes, move |event: Event<PersistentVolume>| {
        let volume = event.object();
        if protection::needed(&**volume, FINALIZER).is_some() {
            adder.add(ObjectKey::of(&**volume));
        }
    });
    let (store, inner) = (volumes.store().clone(), context.clone());
    let work = move |key: ObjectKey| {
        let (store, context) = (store.clone(), inner.clone());
        async move {
            match store.get(&key) {
                Some(volume) => protect(&context, &volume).await,
                None => Ok(None),
            }
        }
    };
    context.work(&queue, 1, work).await;
}

async fn protect(context: &Context, volume: &PersistentVolume) -> Outcome {
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
    let Some(needed) = protection::needed(volume, FINALIZER) else { return Ok(None) };
    if needed == Move::Release && phase == Some("Bound") {
        return Ok(None);
    }
    let changed = protection::moved(volume, FINALIZER, needed);
    let name = crate::common::meta::name(volume);
    context.all::<PersistentVolume>().replace(name, &PostParams::default(), &changed).await?;
    Ok(None)
}

//! Keeps a number of pods of one template: ReplicaSets and, by the same code,
//! ReplicationControllers.

mod events;
mod kinds;
mod manage;
mod status;

use std::sync::Arc;

use client::informer::Informer;
use client::{ObjectKey, Store, WorkQueue};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::jiff::Timestamp;

use crate::common::expectations::Expectations;
use crate::common::{claim, meta, pod};
use crate::{Context, Outcome};
use kinds::Replicated;

const WORKERS: usize = 5;

pub(crate) async fn run_replica_sets(context: Context) {
    run::<ReplicaSet>(context, "replicaset").await;
}

pub(crate) async fn run_replication_controllers(context: Context) {
    run::<ReplicationController>(context, "replicationmanager").await;
}

struct Controller<K> {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    expectations: Expectations,
    owners: Store<K>,
    pods: Store<Pod>,
}

async fn run<K: Replicated>(context: Context, queue: &'static str) {
    let owners: Informer<K> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    claim::index(pods.store());
    claim::index(owners.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue(queue),
        expectations: Expectations::default(),
        owners: owners.store().clone(),
        pods: pods.store().clone(),
    });
    owners.wait_synced().await;
    pods.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&owners, move |event| handler.owner_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

impl<K: Replicated> Controller<K> {
    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(owner) = self.owners.get(&key) else {
            self.expectations.forget(&key);
            return Ok(None);
        };
        let may_manage = self.expectations.satisfied(&key);
        let spec = owner.spec();
        let matches = |pod: &Pod| spec.selector.matches(pod);
        let pods = claim::claim(&self.context, &*owner, &self.pods, matches).await?;
        let (terminating, active): (Vec<_>, Vec<_>) = pods
            .into_iter()
            .filter(|pod| !pod::is_terminal(pod))
            .partition(|pod| meta::deleting(&**pod));
        let failure = if may_manage && !meta::deleting(&*owner) {
            self.manage(&owner, &spec, &active).await.err()
        } else {
            None
        };
        let now = Timestamp::now();
        let status = status::calculate(&*owner, &spec, &active, &terminating, &failure, now);
        self.write_status(&owner, status).await?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        let waits =
            active.iter().filter_map(|p| match pod::availability(p, spec.min_ready_seconds, now) {
                pod::Availability::In(wait) => Some(wait),
                _ => None,
            });
        Ok(waits.min())
    }
}

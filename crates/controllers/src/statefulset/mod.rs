//! Runs pods that keep their names and volumes, in order if need be.

mod events;
mod identity;
mod plan;
mod pods;
mod retention;
mod revisions;
mod snapshot;

use std::sync::Arc;

use client::helpers::is_not_found;
use client::informer::Informer;
use client::{ObjectKey, Store, WorkQueue};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;

use crate::common::batch::slow_start;
use crate::common::written::Written;
use crate::common::{claim, meta};
use crate::{Context, Error, Outcome};
use plan::Step;
use rules::selector::Selector;
use snapshot::Snapshot;

const WORKERS: usize = 5;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    written: Written,
    sets: Store<StatefulSet>,
    revisions: Store<ControllerRevision>,
    pods: Store<Pod>,
    claims: Store<PersistentVolumeClaim>,
}

pub(crate) async fn run(context: Context) {
    let sets: Informer<StatefulSet> = context.informers.informer();
    let revisions: Informer<ControllerRevision> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let claims: Informer<PersistentVolumeClaim> = context.informers.informer();
    claim::index(pods.store());
    claim::index(revisions.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("statefulset"),
        written: Written::default(),
        sets: sets.store().clone(),
        revisions: revisions.store().clone(),
        pods: pods.store().clone(),
        claims: claims.store().clone(),
    });
    sets.wait_synced().await;
    revisions.wait_synced().await;
    pods.wait_synced().await;
    claims.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&sets, move |event| handler.set_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let handler = controller.clone();
    context.subscribe(&claims, move |event| handler.claim_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

impl Controller {
    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(set) = self.sets.get(&key) else {
            self.written.forget(&key);
            return Ok(None);
        };
        if !self.written.seen(&*set) {
            return Ok(None);
        }
        let selector = Selector::new(Some(&set.spec.selector));
        let matches = |pod: &Pod| selector.matches(pod) && identity::is_member(&set, pod);
        let pods = claim::claim(&self.context, &*set, &self.pods, matches).await?;
        let history = self.history(&set, &selector).await?;
        let (current, update) = (&history.current, &history.update);
        let snapshot = Snapshot::new(set.clone(), current, update, pods, Timestamp::now());
        let mut updating = 0;
        let acted = self.act(&snapshot, &mut updating).await;
        self.write_status(&set, snapshot.status(history.collisions, updating)).await?;
        self.clean_up(&snapshot, &history).await?;
        acted?;
        Ok(snapshot.next_available())
    }

    /// Carries the plan out; `updating` counts pods deleted for an update.
    async fn act(&self, snapshot: &Snapshot, updating: &mut i32) -> Result<(), Error> {
        let plan = plan::next(snapshot);
        self.run_phase(snapshot, &plan.living).await?;
        for pod in &plan.claims {
            self.own_claims(&snapshot.set, pod).await?;
        }
        self.run_phase(snapshot, &plan.condemned).await?;
        for pod in &plan.update {
            self.delete(&snapshot.set, pod).await?;
            *updating += i32::from(identity::revision(pod) == snapshot.current());
        }
        Ok(())
    }

    async fn run_phase(&self, snapshot: &Snapshot, steps: &[Step]) -> Result<(), Error> {
        if snapshot.ordered() {
            for step in steps {
                self.take(&snapshot.set, step).await?;
            }
            return Ok(());
        }
        let (_, error) = slow_start(steps.len(), |at| self.take(&snapshot.set, &steps[at])).await;
        error.map_or(Ok(()), Err)
    }

    /// Writes the status if it says something new.
    async fn write_status(
        &self,
        set: &StatefulSet,
        status: StatefulSetStatus,
    ) -> Result<(), Error> {
        // Absent counts are zeros, however the server stores them.
        let normal = |mut status: StatefulSetStatus| {
            for count in [
                &mut status.ready_replicas,
                &mut status.available_replicas,
                &mut status.current_replicas,
                &mut status.updated_replicas,
                &mut status.collision_count,
            ] {
                *count = Some(count.unwrap_or(0));
            }
            status
        };
        let known = set.status.clone();
        if known.is_some_and(|known| normal(known) == normal(status.clone())) {
            return Ok(());
        }
        let mut changed = set.clone();
        changed.status = Some(status);
        let api = self.context.api::<StatefulSet>(meta::namespace(set));
        let params = PostParams::default();
        match api.replace_subresource("status", meta::name(set), &params, &changed).await {
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(written) => {
                self.written.note(&written);
                Ok(())
            }
        }
    }
}

//! Runs a pod on every node, or on every node of a kind.

mod backoff;
mod events;
mod manage;
mod revisions;
mod rolling;
mod snapshot;
mod template;
#[cfg(test)]
mod testing;

use std::sync::Arc;

use client::EventType::Warning;
use client::helpers::is_not_found;
use client::informer::Informer;
use client::{ObjectKey, Store, WorkQueue};
use futures::future::join_all;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;

use crate::common::batch::slow_start;
use crate::common::expectations::Expectations;
use crate::common::written::Written;
use crate::common::{claim, meta, pod_control};
use crate::{Context, Error, Outcome};
use rules::selector::Selector;
use snapshot::{Plan, Snapshot};

const WORKERS: usize = 2;
/// Pods made or deleted in one go (upstream's `BurstReplicas`).
const BURST: usize = 250;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    expectations: Expectations,
    backoffs: backoff::Backoffs,
    written: Written,
    sets: Store<DaemonSet>,
    revisions: Store<ControllerRevision>,
    pods: Store<Pod>,
    nodes: Store<Node>,
}

pub(crate) async fn run(context: Context) {
    let sets: Informer<DaemonSet> = context.informers.informer();
    let revisions: Informer<ControllerRevision> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let nodes: Informer<Node> = context.informers.informer();
    claim::index(pods.store());
    claim::index(revisions.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("daemonset"),
        expectations: Expectations::default(),
        backoffs: backoff::Backoffs::default(),
        written: Written::default(),
        sets: sets.store().clone(),
        revisions: revisions.store().clone(),
        pods: pods.store().clone(),
        nodes: nodes.store().clone(),
    });
    sets.wait_synced().await;
    revisions.wait_synced().await;
    pods.wait_synced().await;
    nodes.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&sets, move |event| handler.set_event(&event));
    let handler = controller.clone();
    context.subscribe(&revisions, move |event| handler.revision_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let handler = controller.clone();
    context.subscribe(&nodes, move |event| handler.node_event(&event));
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
            self.expectations.forget(&key);
            self.written.forget(&key);
            return Ok(None);
        };
        if !self.written.seen(&*set) {
            return Ok(None);
        }
        let selector = Selector::new(Some(&set.spec.selector));
        if selector.is_everything() {
            let text = "This daemon set is selecting all pods. A non-empty selector is required.";
            self.context.events.event(&*set, Warning, "SelectingAll", text);
            return Ok(None);
        }
        // Its pods and revisions are the garbage collector's then.
        if meta::deleting(&*set) {
            return Ok(None);
        }
        // Before the pods are looked at: one that appears in between must not satisfy it.
        let may_act = self.expectations.satisfied(&key);
        let matches = |pod: &Pod| selector.matches(pod);
        let pods = claim::claim(&self.context, &*set, &self.pods, matches).await?;
        let history = self.history(&set, &selector, &pods).await?;
        let nodes = self.nodes.list();
        let hash = history.hash.clone();
        let snapshot = Snapshot::new(set.clone(), hash, &nodes, pods.clone(), Timestamp::now());
        let acted = if may_act { self.act(&snapshot).await } else { Ok(None) };
        if may_act && acted.is_ok() {
            self.clean_up(&set, &history, &pods).await?;
        }
        let mut status = snapshot.status();
        status.collision_count = history.collisions;
        if may_act {
            status.observed_generation = set.metadata.generation;
        }
        self.write_status(&set, status).await?;
        Ok(acted?.into_iter().chain(snapshot.next_available()).min())
    }

    async fn act(&self, snapshot: &Snapshot) -> Outcome {
        let managed = manage::plan(snapshot, &self.backoffs);
        for (kind, reason, text) in managed.events {
            self.context.events.event(&*snapshot.set, kind, reason, text);
        }
        // Pods that are created or deleted now must be observed before more are updated.
        let plan = if !managed.plan.is_empty() || snapshot.rolling().is_none() {
            managed.plan
        } else {
            rolling::plan(snapshot)
        };
        self.carry_out(snapshot, plan).await?;
        Ok(managed.again)
    }

    async fn carry_out(&self, snapshot: &Snapshot, mut plan: Plan) -> Result<(), Error> {
        plan.create.truncate(BURST);
        plan.delete.truncate(BURST);
        let (set, key) = (&*snapshot.set, ObjectKey::of(&*snapshot.set));
        let uids = plan.delete.iter().map(|pod| meta::uid(&**pod).to_owned());
        self.expectations.expect(&key, plan.create.len(), uids);
        let (made, error) = slow_start(plan.create.len(), |at| {
            let pod = template::pod_for(set, &snapshot.hash, &plan.create[at]);
            let key = &key;
            async move {
                match pod_control::create(&self.context, set, &pod).await {
                    Err(e) if e.api().is_some_and(pod_control::is_namespace_terminating) => {
                        // Nothing will appear, and nothing is to be done about it.
                        self.expectations.created(key);
                        Ok(())
                    }
                    other => other.map(drop),
                }
            }
        })
        .await;
        self.expectations.not_created(&key, plan.create.len() - made);
        let results = join_all(plan.delete.iter().map(|pod| async {
            let result = pod_control::delete(&self.context, set, pod).await;
            if result.is_err() {
                self.expectations.deleted(&key, meta::uid(&**pod));
            }
            result
        }))
        .await;
        let gone = |error: &Error| error.api().is_some_and(is_not_found);
        let failed = results.into_iter().filter_map(Result::err).find(|error| !gone(error));
        error.or(failed).map_or(Ok(()), Err)
    }

    /// Writes the status if it says something new.
    async fn write_status(&self, set: &DaemonSet, status: DaemonSetStatus) -> Result<(), Error> {
        // Absent counts are zeros, however the server stores them.
        let normal = |mut status: DaemonSetStatus| {
            for count in [
                &mut status.updated_number_scheduled,
                &mut status.number_available,
                &mut status.number_unavailable,
            ] {
                *count = Some(count.unwrap_or(0));
            }
            status
        };
        if normal(set.status.clone().unwrap_or_default()) == normal(status.clone()) {
            return Ok(());
        }
        let mut changed = set.clone();
        changed.status = Some(status);
        let api = self.context.api::<DaemonSet>(meta::namespace(set));
        let name = meta::name(set);
        match api.replace_subresource("status", name, &PostParams::default(), &changed).await {
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(written) => {
                self.written.note(&written);
                Ok(())
            }
        }
    }
}

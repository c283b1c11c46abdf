//! Says how many pods of an application may be evicted.

mod scale;
mod stale;
mod status;

use std::sync::Arc;

use client::EventType::{Normal, Warning};
use client::helpers::is_conflict;
use client::informer::{Informer, Kind};
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use kube::api::PostParams;

use crate::common::written::Written;
use crate::common::{meta, namespaced};
use crate::{Context, Error, Outcome};
use rules::selector::Selector;
use scale::Expected;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    stale: WorkQueue<ObjectKey>,
    written: Written,
    budgets: Store<PodDisruptionBudget>,
    pods: Store<Pod>,
    sets: Store<ReplicaSet>,
    deployments: Store<Deployment>,
    stateful: Store<StatefulSet>,
    controllers: Store<ReplicationController>,
}

pub(crate) async fn run(context: Context) {
    let budgets: Informer<PodDisruptionBudget> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    let sets: Informer<ReplicaSet> = context.informers.informer();
    let deployments: Informer<Deployment> = context.informers.informer();
    let stateful: Informer<StatefulSet> = context.informers.informer();
    let controllers: Informer<ReplicationController> = context.informers.informer();
    namespaced::index(pods.store());
    namespaced::index(budgets.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("disruption"),
        stale: context.queue("stale_pod_disruption"),
        written: Written::default(),
        budgets: budgets.store().clone(),
        pods: pods.store().clone(),
        sets: sets.store().clone(),
        deployments: deployments.store().clone(),
        stateful: stateful.store().clone(),
        controllers: controllers.store().clone(),
    });
    budgets.wait_synced().await;
    pods.wait_synced().await;
    sets.wait_synced().await;
    deployments.wait_synced().await;
    stateful.wait_synced().await;
    controllers.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&budgets, move |event: Event<PodDisruptionBudget>| {
        handler.queue.add(ObjectKey::of(&**event.object()));
    });
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    controller.follow(&sets, |set| set.spec.replicas);
    controller.follow(&deployments, |deployment| deployment.spec.replicas);
    controller.follow(&stateful, |set| set.spec.replicas);
    controller.follow(&controllers, |controller| controller.spec.as_ref()?.replicas);
    let (queue, stale) = (controller.queue.clone(), controller.stale.clone());
    let for_stale = controller.clone();
    let take_back = move |key| {
        let controller = for_stale.clone();
        async move { controller.sync_stale(key).await }
    };
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    futures::join!(context.work(&queue, 1, work), context.work(&stale, 1, take_back));
}

fn covers(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    Selector::new(selector).matches(pod)
}

impl Controller {
    /// Looks at budgets again when the scale of a workload of their namespace changes.
    fn follow<K: Kind + Resource<DynamicType = ()>>(
        self: &Arc<Self>,
        informer: &Informer<K>,
        scale: fn(&K) -> Option<i32>,
    ) {
        let controller = self.clone();
        self.context.subscribe(informer, move |event: Event<K>| {
            if matches!(&event, Event::Modified { old, new } if scale(old) == scale(new)) {
                return;
            }
            let namespace = meta::namespace(&**event.object());
            for budget in namespaced::list(&controller.budgets, namespace) {
                if budget.spec.as_ref().is_some_and(status::needs_scale) {
                    controller.queue.add(ObjectKey::of(&*budget));
                }
            }
        });
    }

    fn pod_event(&self, event: &Event<Pod>) {
        let pod = event.object();
        let before = match event {
            Event::Modified { old, .. } if old.metadata.labels != pod.metadata.labels => Some(old),
            _ => None,
        };
        let mut covering = Vec::new();
        for budget in namespaced::list(&self.budgets, meta::namespace(&**pod)) {
            let covers_now = covers(&budget, pod);
            if covers_now || before.is_some_and(|before| covers(&budget, before)) {
                self.queue.add(ObjectKey::of(&*budget));
            }
            covering.extend(covers_now.then_some(budget));
        }
        if matches!(event, Event::Added(_))
            && let [chosen, _, ..] = &covering[..]
        {
            let text = format!(
                "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {:?} arbitrarily.",
                meta::namespace(&**pod),
                meta::name(&**pod),
                meta::name(&**chosen),
            );
            self.context.events.event(&**pod, Warning, "MultiplePodDisruptionBudgets", text);
        }
        if !matches!(event, Event::Deleted(_))
            && let Some(wait) = stale::left(pod, Timestamp::now())
        {
            self.stale.add_after(ObjectKey::of(&**pod), wait);
        }
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(budget) = self.budgets.get(&key) else {
            self.written.forget(&key);
            return Ok(None);
        };
        if !self.written.seen(&*budget) {
            return Ok(None);
        }
        match self.budget(&budget).await {
            Err(error) if !error.api().is_some_and(is_conflict) => {
                let text = error.to_string();
                tracing::warn!(budget = %key, error = %text, "no disruption allowed");
                let now = client::helpers::now();
                self.write_status(&budget, status::failed(&budget, &text, &now)).await?;
                Ok(None)
            }
            outcome => outcome,
        }
    }

    async fn budget(&self, budget: &PodDisruptionBudget) -> Outcome {
        let events = &self.context.events;
        let spec = budget.spec.clone().unwrap_or_default();
        let mut pods = namespaced::list(&self.pods, meta::namespace(budget));
        pods.retain(|pod| covers(budget, pod));
        if pods.is_empty() {
            events.event(budget, Normal, "NoPods", "No matching pods found");
        }
        let expected = if status::needs_scale(&spec) {
            match self.expected(&pods).await {
                Ok(expected) => expected,
                Err(error) => {
                    let text = format!("Failed to calculate the number of expected pods: {error}");
                    events.event(budget, Warning, "CalculateExpectedPodCountFailed", text);
                    return Err(error);
                }
            }
        } else {
            Expected { count: i32::try_from(pods.len()).unwrap_or(i32::MAX), unmanaged: false }
        };
        if expected.unmanaged {
            let selector = serde_json::to_string(&spec.selector).unwrap_or_default();
            let text = format!(
                "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to \
                 be unmanaged. As a result, the status of the PDB cannot be calculated correctly, \
                 which may result in undefined behavior. To account for these pods please set \
                 \".spec.minAvailable\" field of the PDB to an integer value."
            );
            events.event(budget, Warning, "UnmanagedPods", text);
        }
        let now = client::helpers::now();
        let evicted = status::evicted(budget, &pods, &now);
        for spared in &evicted.spared {
            let Some(pod) = pods.iter().find(|pod| meta::name(&***pod) == spared) else { continue };
            let (namespace, name) = (meta::namespace(budget), meta::name(budget));
            let text =
                format!("Pod was expected by PDB {namespace}/{name} to be deleted but it wasn't");
            events.event(&**pod, Warning, "NotDeleted", text);
        }
        let status = status::calculate(budget, &pods, &evicted, expected.count, &now);
        self.write_status(budget, status).await?;
        Ok(evicted.due)
    }

    /// Writes the status if it says something new.
    async fn write_status(
        &self,
        budget: &PodDisruptionBudget,
        status: PodDisruptionBudgetStatus,
    ) -> Result<(), Error> {
        let normal = |mut status: PodDisruptionBudgetStatus| {
            status.disrupted_pods = status.disrupted_pods.filter(|pods| !pods.is_empty());
            status
        };
        let known = budget.status.clone();
        if known.is_some_and(|known| normal(known) == status) {
            return Ok(());
        }
        let mut changed = budget.clone();
        changed.status = Some(status);
        let api = self.context.api::<PodDisruptionBudget>(meta::namespace(budget));
        let params = PostParams::default();
        let name = meta::name(budget);
        match api.replace_subresource("status", name, &params, &changed).await {
            Err(error) if client::helpers::is_not_found(&error) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(written) => {
                self.written.note(&written);
                Ok(())
            }
        }
    }
}

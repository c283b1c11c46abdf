//! Rolls Deployments out: makes a ReplicaSet for each template and moves the replicas over.

mod annotations;
mod conditions;
mod events;
mod fleet;
mod new_set;
mod progress;
mod recreate;
mod rolling;
mod scale;
mod status;
mod update;

use std::sync::Arc;

use client::EventType::Warning;
use client::informer::Informer;
use client::{ObjectKey, Store, WorkQueue};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;

use crate::common::{claim, meta};
use crate::{Context, Error, Outcome};
use fleet::Fleet;
use rules::selector::Selector;

const WORKERS: usize = 5;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    deployments: Store<Deployment>,
    sets: Store<ReplicaSet>,
    pods: Store<Pod>,
}

pub(crate) async fn run(context: Context) {
    let deployments: Informer<Deployment> = context.informers.informer();
    let sets: Informer<ReplicaSet> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    claim::index(sets.store());
    claim::index(pods.store());
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("deployment"),
        deployments: deployments.store().clone(),
        sets: sets.store().clone(),
        pods: pods.store().clone(),
    });
    deployments.wait_synced().await;
    sets.wait_synced().await;
    pods.wait_synced().await;
    let handler = controller.clone();
    context.subscribe(&deployments, move |event| handler.deployment_event(&event));
    let handler = controller.clone();
    context.subscribe(&sets, move |event| handler.set_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, WORKERS, work).await;
}

/// One reconciliation of one Deployment; `deployment` is kept up to date with what is written.
struct Rollout<'a> {
    controller: &'a Controller,
    context: &'a Context,
    deployment: Deployment,
}

impl Controller {
    async fn sync(&self, key: ObjectKey) -> Outcome {
        let Some(deployment) = self.deployments.get(&key) else { return Ok(None) };
        let mut rollout =
            Rollout { controller: self, context: &self.context, deployment: (*deployment).clone() };
        rollout.run().await
    }
}

impl Rollout<'_> {
    async fn run(&mut self) -> Outcome {
        let selector = Selector::new(Some(&self.deployment.spec.selector));
        if selector.is_everything() {
            self.context.events.event(
                &self.deployment,
                Warning,
                "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.",
            );
            return self.observe_generation().await;
        }
        let matches = |set: &ReplicaSet| selector.matches(set);
        let sets =
            claim::claim(self.context, &self.deployment, &self.controller.sets, matches).await?;
        let sets: Vec<ReplicaSet> = sets.iter().map(|set| (**set).clone()).collect();
        if meta::deleting(&self.deployment) {
            let fleet = Fleet::find(&self.deployment, sets);
            return self.write_status_of(&fleet).await;
        }
        self.check_pause().await?;
        if self.paused() || self.is_scaling(&sets) {
            return self.sync_scale(sets).await;
        }
        if update::recreates(&self.deployment) {
            self.recreate(sets).await
        } else {
            self.roll(sets).await
        }
    }

    fn paused(&self) -> bool {
        self.deployment.spec.paused == Some(true)
    }

    /// Replaces the status (and annotations) on the server by ours.
    async fn write_deployment_status(&mut self) -> Result<(), Error> {
        let api = self.context.api::<Deployment>(meta::namespace(&self.deployment));
        let name = meta::name(&self.deployment);
        self.deployment =
            api.replace_subresource("status", name, &Default::default(), &self.deployment).await?;
        Ok(())
    }
}

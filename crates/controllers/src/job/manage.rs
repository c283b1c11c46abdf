//! Making and deleting the pods of a Job.

use std::sync::Arc;
use std::time::Duration;

use client::ObjectKey;
use client::helpers::is_not_found;
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;

use super::step::{self, Step};
use super::sync::{SyncContext, count};
use super::{Controller, finalizer, index};
use crate::Error;
use crate::common::batch::slow_start;
use crate::common::{meta, pod, pod_control};

/// The result of a step.
#[derive(Default)]
pub(super) struct Done {
    /// Active pods there are now.
    pub(super) active: i32,
    /// When to try again.
    pub(super) wait: Option<Duration>,
    pub(super) error: Option<Error>,
    /// Upstream's word for what was done, in metrics.
    pub(super) action: Option<&'static str>,
}

impl Controller {
    /// Takes the next step.
    pub(super) async fn manage(&self, sync: &mut SyncContext) -> Done {
        let active = count(&sync.active);
        match step::next(sync) {
            Step::Rest => Done { active, action: Some("tracking"), ..Done::default() },
            Step::Wait(wait) => {
                Done { active, wait: Some(wait), error: None, action: Some("pods_created") }
            }
            Step::Delete(pods) => {
                let (deleted, error) = self.delete_uncounted(sync, &pods).await;
                Done { active: active - deleted, wait: None, error, action: Some("pods_deleted") }
            }
            Step::Create(indexes) => {
                let (made, error) = self.create(sync, &indexes).await;
                Done { active: active + made, wait: None, error, action: Some("pods_created") }
            }
        }
    }

    async fn create(&self, sync: &SyncContext, indexes: &[Option<i32>]) -> (i32, Option<Error>) {
        let (job, spec) = (&sync.job, &sync.spec);
        let key = ObjectKey::of(job);
        self.expectations.expect(&key, indexes.len(), []);
        let mut template = pod_control::pod_from(job, &spec.template);
        let finalizers = template.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == finalizer::FINALIZER) {
            finalizers.push(finalizer::FINALIZER.into());
        }
        let (done, error) = slow_start(indexes.len(), |at| {
            let mut pod = template.clone();
            if let (Some(index), Some(known)) = (indexes[at], &sync.indexes) {
                let replaced = known.delayed.get(&index);
                index::assign(&mut pod, meta::name(job), spec, index, replaced);
            }
            let key = &key;
            async move {
                match pod_control::create(&self.context, job, &pod).await {
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
        self.expectations.not_created(&key, indexes.len() - done);
        (i32::try_from(done).unwrap_or(i32::MAX), error)
    }

    /// Deletes pods that are not to be counted as failed.
    async fn delete_uncounted(
        &self,
        sync: &mut SyncContext,
        pods: &[Arc<Pod>],
    ) -> (i32, Option<Error>) {
        let key = ObjectKey::of(&sync.job);
        let uids = pods.iter().map(|pod| meta::uid(&**pod).to_owned());
        self.expectations.expect(&key, 0, uids);
        let job = &sync.job;
        let results = join_all(pods.iter().map(|pod| async {
            let result = match finalizer::remove_strictly(&self.context, pod).await {
                Ok(()) => pod_control::delete(&self.context, job, pod).await,
                error => error,
            };
            if result.is_err() {
                self.expectations.deleted(&key, meta::uid(&**pod));
            }
            result
        }))
        .await;
        settle(sync, pods, results)
    }

    /// Deletes all active pods of a Job that ends; their finalizers go when they are counted.
    pub(super) async fn delete_active(&self, sync: &mut SyncContext) -> (i32, Option<Error>) {
        let pods = sync.active.clone();
        let job = &sync.job;
        let delete = |pod: &'_ Arc<Pod>| {
            let pod = pod.clone();
            async move { pod_control::delete(&self.context, job, &pod).await }
        };
        let results = join_all(pods.iter().map(delete)).await;
        settle(sync, &pods, results)
    }
}

/// Takes note of deletions; gives their number and the first error.
fn settle(
    sync: &mut SyncContext,
    pods: &[Arc<Pod>],
    results: Vec<Result<(), Error>>,
) -> (i32, Option<Error>) {
    let (mut deleted, mut failure) = (0, None);
    for (pod, result) in pods.iter().zip(results) {
        match result {
            Err(error) if !error.api().is_some_and(is_not_found) => {
                failure = failure.or(Some(error));
            }
            _ => {
                deleted += 1;
                sync.terminating += 1;
                sync.ready -= i32::from(pod::is_ready(pod));
            }
        }
    }
    (deleted, failure)
}

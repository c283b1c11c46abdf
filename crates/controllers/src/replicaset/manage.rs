//! Too few pods, or too many.

use std::collections::HashMap;
use std::sync::Arc;

use client::ObjectKey;
use client::helpers::{controller_of, is_not_found};
use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;

use super::Controller;
use super::kinds::{Replicated, Spec};
use crate::Error;
use crate::common::batch::slow_start;
use crate::common::{claim, meta, pod, pod_control, ranking};

/// Pods made or deleted in one go (upstream's `BurstReplicas`).
const BURST: usize = 500;

impl<K: Replicated> Controller<K> {
    /// Makes or deletes pods until there are as many as wanted.
    pub(super) async fn manage(
        &self,
        owner: &K,
        spec: &Spec,
        active: &[Arc<Pod>],
    ) -> Result<(), Error> {
        let wanted = usize::try_from(spec.replicas).unwrap_or(0);
        if active.len() < wanted {
            self.create(owner, spec, (wanted - active.len()).min(BURST)).await
        } else {
            self.delete(owner, active, (active.len() - wanted).min(BURST)).await
        }
    }

    async fn create(&self, owner: &K, spec: &Spec, count: usize) -> Result<(), Error> {
        let key = ObjectKey::of(owner);
        self.expectations.expect(&key, count, []);
        let pod = pod_control::pod_from(owner, &spec.template);
        let (done, error) = slow_start(count, |_| async {
            match pod_control::create(&self.context, owner, &pod).await {
                Err(error) if error.api().is_some_and(pod_control::is_namespace_terminating) => {
                    // Nothing will appear, and nothing is to be done about it.
                    self.expectations.created(&key);
                    Ok(())
                }
                other => other.map(drop),
            }
        })
        .await;
        self.expectations.not_created(&key, count - done);
        error.map_or(Ok(()), Err)
    }

    async fn delete(&self, owner: &K, active: &[Arc<Pod>], count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let key = ObjectKey::of(owner);
        let victims = self.victims(owner, active, count);
        let uids = victims.iter().map(|pod| meta::uid(&**pod).to_owned());
        self.expectations.expect(&key, 0, uids);
        let results = join_all(victims.iter().map(|pod| async {
            let result = pod_control::delete(&self.context, owner, pod).await;
            if result.is_err() {
                self.expectations.deleted(&key, meta::uid(&**pod));
            }
            result
        }))
        .await;
        let gone = |error: &Error| error.api().is_some_and(is_not_found);
        match results.into_iter().filter_map(Result::err).find(|error| !gone(error)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn victims(&self, owner: &K, active: &[Arc<Pod>], count: usize) -> Vec<Arc<Pod>> {
        let mut pods = active.to_vec();
        if count < pods.len() {
            let crowd = self.pods_per_node(owner);
            let doubled = |p: &Pod| pod::node(p).and_then(|n| crowd.get(n)).copied().unwrap_or(0);
            let now = Timestamp::now();
            pods.sort_by(|a, b| ranking::compare((&**a, doubled(a)), (&**b, doubled(b)), now));
            pods.truncate(count);
        }
        pods
    }

    /// Active pods by node, of all owners with the same controller (the ReplicaSets of one
    /// Deployment).
    fn pods_per_node(&self, owner: &K) -> HashMap<String, usize> {
        let family = match controller_of(owner) {
            Some(parent) => claim::controlled_by(&self.owners, &parent.uid),
            None => Vec::new(),
        };
        let mut uids: Vec<&str> = family.iter().map(|member| meta::uid(&**member)).collect();
        if uids.is_empty() {
            uids.push(meta::uid(owner));
        }
        let mut count = HashMap::new();
        for uid in uids {
            for member in claim::controlled_by(&self.pods, uid) {
                if pod::is_active(&member)
                    && let Some(node) = pod::node(&member)
                {
                    *count.entry(node.to_owned()).or_insert(0) += 1;
                }
            }
        }
        count
    }
}

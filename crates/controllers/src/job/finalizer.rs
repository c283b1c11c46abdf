//! The finalizer that keeps a pod until it has been counted.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/job/#job-tracking-with-finalizers>

use std::collections::{HashMap, HashSet};

use client::ObjectKey;
use client::helpers::is_not_found;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::json;

use crate::common::meta;
use crate::{Context, Error};

pub(super) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// Returns true if a pod is still to be counted.
pub(super) fn present(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Takes the finalizer off; a pod that is gone is an error.
pub(super) async fn remove_strictly(context: &Context, pod: &Pod) -> Result<(), Error> {
    if present(pod) {
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        let api = context.api::<Pod>(meta::namespace(pod));
        api.patch(meta::name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await?;
    }
    Ok(())
}

/// Takes the finalizer off, unless the pod is gone.
pub(super) async fn remove(context: &Context, pod: &Pod) -> Result<(), Error> {
    match remove_strictly(context, pod).await {
        Err(error) if error.api().is_some_and(is_not_found) => Ok(()),
        result => result,
    }
}

/// Removals that were done but not yet seen: such pods are counted already.
#[derive(Default)]
pub(super) struct Removals(Mutex<HashMap<ObjectKey, HashSet<String>>>);

impl Removals {
    /// Uids of a Job's pods whose finalizer is gone, though the cache has it.
    pub(super) fn pending(&self, job: &ObjectKey) -> HashSet<String> {
        self.0.lock().get(job).cloned().unwrap_or_default()
    }

    pub(super) fn expect(&self, job: &ObjectKey, uids: impl IntoIterator<Item = String>) {
        self.0.lock().entry(job.clone()).or_default().extend(uids);
    }

    /// The removal was seen, or failed.
    pub(super) fn settle(&self, job: &ObjectKey, uid: &str) {
        if let Some(pending) = self.0.lock().get_mut(job) {
            pending.remove(uid);
        }
    }

    pub(super) fn forget(&self, job: &ObjectKey) {
        self.0.lock().remove(job);
    }
}

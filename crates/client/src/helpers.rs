//! Small things every component does with objects.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource};
use serde_json::json;

use crate::informer::Kind;

/// Attempts of [`retry_on_conflict`], as upstream's `retry.DefaultRetry`.
const CONFLICT_ATTEMPTS: u32 = 5;
const CONFLICT_DELAY: Duration = Duration::from_millis(10);

/// The present as the API writes it, whole seconds.
pub fn now() -> Time {
    let now = k8s_openapi::jiff::Timestamp::now();
    Time(k8s_openapi::jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// A reference that makes `owner` the managing controller of what carries it.
pub fn owner_ref<K: Resource<DynamicType = ()>>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::api_version(&()).into_owned(),
        kind: K::kind(&()).into_owned(),
        name: owner.meta().name.clone().unwrap_or_default(),
        uid: owner.meta().uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The reference to the managing controller, if there is one.
pub fn controller_of<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Merge-patches the status subresource. With `version` the patch only succeeds on that
/// resourceVersion.
///
/// # Errors
/// As the API server answers.
pub async fn patch_status<K: Kind>(
    api: &Api<K>,
    name: &str,
    status: &impl serde::Serialize,
    version: Option<&str>,
) -> kube::Result<K> {
    let mut patch = json!({ "status": status });
    if let Some(version) = version {
        patch["metadata"] = json!({ "resourceVersion": version });
    }
    let request = kube::core::Request::new(api.resource_url());
    let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
    let request = request.patch_subresource("status", name, &params, &patch);
    let request = request.map_err(kube::Error::BuildRequest)?;
    let text = api.clone().into_client().request_text(request).await?;
    K::decode(&text).map_err(kube::Error::SerdeError)
}

/// Calls `attempt` again, after a short wait, while it fails with 409 Conflict. It must read the
/// object afresh each time.
///
/// # Errors
/// The last conflict, or any other error at once.
pub async fn retry_on_conflict<T, F, R>(mut attempt: F) -> kube::Result<T>
where
    F: FnMut() -> R,
    R: Future<Output = kube::Result<T>>,
{
    let mut tries = 1;
    loop {
        match attempt().await {
            Err(kube::Error::Api(status)) if status.is_conflict() && tries < CONFLICT_ATTEMPTS => {
                tries += 1;
                tokio::time::sleep(CONFLICT_DELAY).await;
            }
            result => return result,
        }
    }
}

/// Returns true if an error says that the object does not exist.
pub fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Returns true if an error says that the object exists already.
pub fn is_already_exists(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_already_exists())
}

/// Returns true if an error is an optimistic-concurrency conflict.
pub fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_conflict())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn failure(code: u16, reason: &str) -> kube::Error {
        kube::Error::Api(Box::new(Status::failure("m", reason).with_code(code)))
    }

    #[tokio::test(start_paused = true)]
    async fn only_conflicts_are_retried() {
        for (code, reason, expected) in [(409, "Conflict", 5), (404, "NotFound", 1)] {
            let mut calls = 0;
            let result: kube::Result<()> = retry_on_conflict(|| {
                calls += 1;
                async move { Err(failure(code, reason)) }
            })
            .await;
            assert!(result.is_err());
            assert_eq!(calls, expected, "{reason}");
        }
    }
}

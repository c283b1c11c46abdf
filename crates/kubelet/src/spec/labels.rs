//! Labels and annotations by which a restarted kubelet knows its containers again.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use runtime::ContainerStatus;
use sha2::{Digest, Sha256};

use crate::pod::{name, namespace, spec, uid};

pub(crate) const POD_NAME: &str = "io.kubernetes.pod.name";
pub(crate) const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
pub(crate) const POD_UID: &str = "io.kubernetes.pod.uid";
pub(crate) const CONTAINER_NAME: &str = "io.kubernetes.container.name";
const HASH: &str = "io.kubernetes.container.hash";
const RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
const TERMINATION_PATH: &str = "io.kubernetes.container.terminationMessagePath";
const TERMINATION_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
const GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

type Pairs = BTreeMap<String, String>;

/// Labels of a pod's sandbox.
pub(crate) fn of_sandbox(pod: &Pod) -> Pairs {
    let mut labels = crate::pod::labels(pod).clone();
    labels.insert(POD_NAME.into(), name(pod).into());
    labels.insert(POD_NAMESPACE.into(), namespace(pod).into());
    labels.insert(POD_UID.into(), uid(pod).into());
    labels
}

/// Labels of a container.
pub(crate) fn of_container(pod: &Pod, container: &Container) -> Pairs {
    [
        (POD_NAME, name(pod)),
        (POD_NAMESPACE, namespace(pod)),
        (POD_UID, uid(pod)),
        (CONTAINER_NAME, &container.name),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// Annotations of a container.
pub(crate) fn annotations(pod: &Pod, container: &Container, restarts: u32) -> Pairs {
    let mut pairs: Pairs = [
        (HASH.to_owned(), hash(container)),
        (RESTART_COUNT.to_owned(), restarts.to_string()),
        (
            TERMINATION_PATH.to_owned(),
            container.termination_message_path.clone().unwrap_or_default(),
        ),
        (
            TERMINATION_POLICY.to_owned(),
            container.termination_message_policy.clone().unwrap_or_default(),
        ),
    ]
    .into();
    if let Some(grace) = spec(pod).termination_grace_period_seconds {
        pairs.insert(GRACE_PERIOD.to_owned(), grace.to_string());
    }
    pairs
}

/// Changes when a running container has to be replaced: with its name or its image, the only
/// fields of it that the API lets change besides its resources.
pub(crate) fn hash(container: &Container) -> String {
    let mut digest = Sha256::new();
    digest.update(container.name.as_bytes());
    digest.update([0]);
    digest.update(container.image.as_deref().unwrap_or_default().as_bytes());
    let bytes = digest.finalize();
    hex::encode(&bytes[..4])
}

/// The hash a container was made with.
pub(crate) fn recorded_hash(status: &ContainerStatus) -> Option<&str> {
    status.annotations.get(HASH).map(String::as_str)
}

/// The grace period a container's pod had when it was made, in seconds.
pub(crate) fn recorded_grace(status: &ContainerStatus) -> Option<i64> {
    status.annotations.get(GRACE_PERIOD)?.parse().ok()
}

/// Path inside the container where it leaves its last words; empty for none.
pub(crate) fn termination_path(status: &ContainerStatus) -> &str {
    status.annotations.get(TERMINATION_PATH).map_or("", String::as_str)
}

/// Returns true if the end of its log replaces a missing termination message.
pub(crate) fn falls_back_to_logs(status: &ContainerStatus) -> bool {
    status.annotations.get(TERMINATION_POLICY).is_some_and(|p| p == "FallbackToLogsOnError")
}

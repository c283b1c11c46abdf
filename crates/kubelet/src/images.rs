//! Bringing images to the node.

pub(crate) mod auth;
pub(crate) mod records;

use std::sync::Arc;
use std::time::Duration;

use client::{EventRecorder, EventType};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Secret};
use k8s_openapi::jiff::Timestamp;
use parking_lot::Mutex;
use runtime::{Error, Image, PullError, Runtime};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::pod::uid;
use auth::Credential;
use records::PullRecords;

/// Why there is no image: a waiting reason, its message, and when to try again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) retry_in: Duration,
}

/// Pulls images and remembers failures.
pub(crate) struct Images {
    runtime: Arc<dyn Runtime>,
    recorder: EventRecorder,
    pub(crate) records: PullRecords,
    backoff: Mutex<Backoff>,
    last_errors: Mutex<std::collections::HashMap<String, String>>,
    opened: (Instant, Timestamp),
}

impl Images {
    pub(crate) fn new(
        runtime: Arc<dyn Runtime>,
        recorder: EventRecorder,
        records: PullRecords,
    ) -> Self {
        Self {
            runtime,
            recorder,
            records,
            backoff: Mutex::default(),
            last_errors: Mutex::default(),
            opened: (Instant::now(), Timestamp::now()),
        }
    }

    /// Goes as the clock does by which retries are waited for, whatever happens to the machine's.
    fn now(&self) -> Timestamp {
        let (instant, timestamp) = self.opened;
        timestamp.saturating_add(instant.elapsed()).unwrap_or(timestamp)
    }

    /// Makes sure that an image is there and may be used by the pod, by its pull policy.
    ///
    /// # Errors
    /// It is not there: in upstream's words, after the event was recorded.
    pub(crate) async fn ensure(
        &self,
        pod: &Pod,
        (named, policy): (&str, Option<&str>),
        about: ObjectReference,
        secrets: &[Arc<Secret>],
    ) -> Result<Image, Failure> {
        let event = |kind, reason: &str, message: &str| {
            self.recorder.event_about(about.clone(), kind, reason, message);
        };
        let warn = |reason: &str, message: &str| event(EventType::Warning, reason, message);
        let reference = with_default_tag(named);
        if let Err(error) = runtime::repository_of(&reference) {
            let message = format!("Failed to apply default image tag {named:?}: {error}");
            warn("InspectFailed", &message);
            return Err(failure("InvalidImageName", message));
        }
        let credentials = auth::for_image(secrets, &reference);
        let present = match self.runtime.image_status(&reference).await {
            Ok(present) => present,
            Err(Error::ImagePull(error @ PullError::InvalidName { .. })) => {
                let message = format!("Failed to apply default image tag {named:?}: {error}");
                warn("InspectFailed", &message);
                return Err(failure("InvalidImageName", message));
            }
            Err(error) => {
                let message = format!("Failed to inspect image {named:?}: {error}");
                warn("InspectFailed", &message);
                return Err(failure("ImageInspectError", message));
            }
        };
        let policy = policy.unwrap_or_else(|| {
            if reference.ends_with(":latest") { "Always" } else { "IfNotPresent" }
        });
        // An image that the pod may not use is reported as absent, to keep its presence secret.
        let usable = |image: &Image| !self.records.must_pull(named, &image.id, &credentials);
        match (policy, present.filter(|image| policy != "Always" && usable(image))) {
            ("Never" | "IfNotPresent", Some(image)) => {
                let message = format!(
                    "Container image {named:?} already present on machine and can be accessed by \
                     the pod"
                );
                event(EventType::Normal, "Pulled", &message);
                return Ok(image);
            }
            ("Never", None) => {
                let message =
                    format!("Container image {named:?} is not present with pull policy of Never");
                warn("ErrImageNeverPull", &message);
                return Err(failure("ErrImageNeverPull", message));
            }
            _ => {}
        }
        let key = format!("{}_{reference}", uid(pod));
        if let Some(left) = self.backoff.lock().remaining_since_update(&key, self.now()) {
            let message = format!("Back-off pulling image {named:?}");
            event(EventType::Normal, "BackOff", &message);
            let last = self.last_errors.lock().get(&key).cloned();
            let message = match last {
                Some(last) => format!("{message}: ErrImagePull: {last}"),
                None => message,
            };
            return Err(Failure { reason: "ImagePullBackOff", message, retry_in: left });
        }
        event(EventType::Normal, "Pulling", &format!("Pulling image {named:?}"));
        let started = std::time::Instant::now();
        match self.pull(named, &reference, credentials).await {
            Ok(image) => {
                let took = seconds(started.elapsed());
                let message = format!(
                    "Successfully pulled image {named:?} in {took} ({took} including waiting). \
                     Image size: {} bytes.",
                    image.size
                );
                event(EventType::Normal, "Pulled", &message);
                self.last_errors.lock().remove(&key);
                self.backoff.lock().forget(&key);
                Ok(image)
            }
            Err(error) => {
                warn("Failed", &format!("Failed to pull image {named:?}: {error}"));
                let now = self.now();
                let mut backoff = self.backoff.lock();
                backoff.next(&key, now, now);
                let retry_in = backoff.remaining_since_update(&key, now).unwrap_or_default();
                self.last_errors.lock().insert(key, error.to_string());
                let (reason, message) = worded(named, &error);
                Err(Failure { reason, message, retry_in })
            }
        }
    }

    /// Tries each credential for the image's registry, or none.
    async fn pull(
        &self,
        named: &str,
        reference: &str,
        credentials: Vec<Credential>,
    ) -> runtime::Result<Image> {
        let pull = self
            .records
            .begin(named)
            .map_err(|error| Error::Internal(format!("record of the pull: {error}")))?;
        let pulled = self.pull_with(reference, credentials).await;
        let record = pulled.as_ref().ok().map(|(image, used)| (&*image.id, used.as_ref()));
        pull.end(record);
        pulled.map(|(image, _)| image)
    }

    async fn pull_with(
        &self,
        reference: &str,
        credentials: Vec<Credential>,
    ) -> runtime::Result<(Image, Option<Credential>)> {
        let mut credentials: Vec<_> = credentials.into_iter().map(Some).collect();
        if credentials.is_empty() {
            credentials.push(None);
        }
        let mut last = Error::NotFound(reference.to_owned());
        for credential in credentials {
            let auth = credential.as_ref().map(|credential| credential.auth.clone());
            match self.runtime.pull_image(reference, auth).await {
                Ok(pulled) => {
                    let image = self.runtime.image_status(&pulled.id).await?;
                    let image = image.ok_or(Error::NotFound(pulled.id))?;
                    return Ok((image, credential));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Forgets what failed for a pod.
    pub(crate) fn forget(&self, pod: &Pod) {
        let prefix = format!("{}_", uid(pod));
        self.backoff.lock().forget(&prefix);
        self.last_errors.lock().retain(|key, _| !key.starts_with(&prefix));
    }
}

fn failure(reason: &'static str, message: String) -> Failure {
    Failure { reason, message, retry_in: crate::backoff::FIRST }
}

/// Waiting reason and message for a failed pull.
fn worded(named: &str, error: &Error) -> (&'static str, String) {
    match error {
        Error::ImagePull(PullError::RegistryUnavailable { .. }) => (
            "ErrImagePull",
            format!("image pull failed for {named} because the registry is unavailable: {error}"),
        ),
        error => ("ErrImagePull", error.to_string()),
    }
}

/// The reference with `:latest` where it has neither tag nor digest.
pub(crate) fn with_default_tag(reference: &str) -> String {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    if reference.contains('@') || last.contains(':') || reference.is_empty() {
        reference.to_owned()
    } else {
        format!("{reference}:latest")
    }
}

/// A duration as Go prints it rounded to milliseconds.
fn seconds(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return format!("{millis}ms");
    }
    let text = format!("{}.{:03}", millis / 1000, millis % 1000);
    format!("{}s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_tags() {
        let table = [
            ("busybox", "busybox:latest"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
            ("host:5000/a/b:1", "host:5000/a/b:1"),
            ("a@sha256:00", "a@sha256:00"),
        ];
        for (from, to) in table {
            assert_eq!(with_default_tag(from), to);
        }
    }

    #[test]
    fn durations() {
        for (millis, text) in [(5, "5ms"), (1000, "1s"), (1230, "1.23s"), (61005, "61.005s")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }
}

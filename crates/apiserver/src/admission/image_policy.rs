//! ImagePolicyWebhook: another server reviews the images of pods.
//!
//! Unlike upstream's, a pod that is let in because nobody could be asked gets no annotation: what
//! validates changes nothing here. The log says so.

use std::path::Path;
use std::time::{Duration, Instant};

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::configuration::{Document, Invalid};
use super::{Operation, Plugin, Request};
use crate::expiring::Expiring;
use crate::registry::Sub;
use crate::webhook::{self, CallError, Retries, Target};

/// Prefix of audit annotations.
const AUDIT_PREFIX: &str = "imagepolicywebhook.image-policy.k8s.io/";

/// Reviews that are kept (upstream's number).
const KEPT: usize = 1024;
/// Bytes of their reasons.
const KEPT_BYTES: usize = 4 << 20;
/// How long one call may take (upstream's number).
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Configuration {
    image_policy: Settings,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    #[serde(rename = "kubeConfigFile")]
    kubeconfig: String,
    #[serde(rename = "allowTTL")]
    allow_ttl: i64,
    #[serde(rename = "denyTTL")]
    deny_ttl: i64,
    #[serde(rename = "retryBackoff")]
    retry_backoff: i64,
    #[serde(rename = "defaultAllow")]
    default_allow: bool,
}

struct ImagePolicy {
    target: Target,
    allow: Duration,
    deny: Duration,
    backoff: Duration,
    default_allow: bool,
    reviews: Mutex<Expiring<Review>>,
}

pub(super) fn configure(document: Option<&Document>) -> Result<Box<dyn Plugin>, Invalid> {
    let refused = |why: String| Invalid::Document(why);
    let document = document.ok_or_else(|| refused("no config specified".to_owned()))?;
    let settings = document.read_unversioned::<Configuration>()?.image_policy;
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let second = Duration::from_secs(1);
    let (milli, nano) = (Duration::from_millis(1), Duration::from_nanos(1));
    let ttl = (second, second, minutes(30));
    let backoff =
        duration(settings.retry_backoff, (milli, nano, minutes(5)), Duration::from_millis(500))?;
    let allow = duration(settings.allow_ttl, ttl, minutes(5))?;
    let deny = duration(settings.deny_ttl, ttl, Duration::from_secs(30))?;
    let target = Target::of_kubeconfig(Path::new(&settings.kubeconfig))
        .map_err(|why| refused(why.to_string()))?;
    Ok(Box::new(ImagePolicy {
        target,
        allow,
        deny,
        backoff,
        default_allow: settings.default_allow,
        reviews: Mutex::new(Expiring::new(KEPT, KEPT_BYTES)),
    }))
}

/// A time of the configuration: 0 stands for the default, -1 for none.
fn duration(
    value: i64,
    (unit, least, most): (Duration, Duration, Duration),
    default: Duration,
) -> Result<Duration, Invalid> {
    match value {
        0 => return Ok(default),
        -1 => return Ok(Duration::ZERO),
        _ => {}
    }
    let given = u32::try_from(value).ok().and_then(|value| unit.checked_mul(value));
    given.filter(|given| (least..=most).contains(given)).ok_or_else(|| {
        let (least, most) = (least.as_secs_f64(), most.as_secs_f64());
        let given = unit.as_secs_f64() * value as f64;
        Invalid::Document(format!("valid value is between {least}s and {most}s, got {given}s"))
    })
}

/// The webhook's word on a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Review {
    allowed: bool,
    reason: String,
}

#[async_trait]
impl Plugin for ImagePolicy {
    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let concerned = writes && request.is("", "pods");
        let lists: &[&str] = match request.sub {
            None => &["containers", "initContainers"],
            Some(Sub::EphemeralContainers) => &["ephemeralContainers"],
            Some(_) => return Ok(()),
        };
        let Some(pod) = pod.filter(|_| concerned) else { return Ok(()) };
        let spec = review_spec(pod, lists, request.namespace);
        let review = match self.review(request, &spec).await {
            Ok(review) => review,
            Err(why) if self.default_allow => {
                let (namespace, name) = (request.namespace, request.name);
                let key = format!("{AUDIT_PREFIX}failed-open");
                request.call.audit.annotate(&key, "true");
                tracing::warn!(%why, namespace, name, "images were not reviewed");
                return Ok(());
            }
            Err(why) => return Err(request.forbidden(why)),
        };
        if review.allowed {
            return Ok(());
        }
        Err(request.forbidden(match review.reason.as_str() {
            "" => "one or more images rejected by webhook backend".to_owned(),
            why => format!("image policy webhook backend denied one or more images: {why}"),
        }))
    }
}

fn review_spec(pod: &Object, lists: &[&str], namespace: &str) -> Value {
    let containers = lists.iter().flat_map(|list| pod["spec"][*list].as_array());
    let containers: Vec<Value> =
        containers.flatten().map(|container| json!({"image": container["image"]})).collect();
    let annotations: Map<String, Value> = pod
        .annotations()
        .filter(|(key, _)| key.contains(".image-policy.k8s.io/"))
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .collect();
    let mut spec = json!({"namespace": namespace});
    if !containers.is_empty() {
        spec["containers"] = containers.into();
    }
    if !annotations.is_empty() {
        spec["annotations"] = annotations.into();
    }
    spec
}

impl ImagePolicy {
    async fn review(&self, request: &Request<'_>, spec: &Value) -> Result<Review, CallError> {
        let key: [u8; 32] = Sha256::digest(spec.to_string()).into();
        if let Some(known) = self.reviews.lock().get(&key, Instant::now()).cloned() {
            return Ok(known);
        }
        let asked = json!({
            "kind": "ImageReview", "apiVersion": "imagepolicy.k8s.io/v1alpha1", "spec": spec,
        });
        let body = bytes::Bytes::from(asked.to_string());
        let mut retries = Retries::after(self.backoff);
        let answer = loop {
            let answer = webhook::post(request.server, &self.target, body.clone(), PATIENCE).await;
            let again = answer.as_ref().is_err_and(CallError::may_pass) && retries.wait().await;
            if !again {
                break answer?;
            }
        };
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|why| CallError::Answer(format!("couldn't read the review: {why}")))?;
        if answer.kind() != "ImageReview" || answer.api_version() != asked.api_version() {
            return Err(CallError::Answer("the answer is no ImageReview".to_owned()));
        }
        for (key, text) in answer["status"]["auditAnnotations"].as_object().into_iter().flatten() {
            let text = text.as_str().unwrap_or_default();
            request.call.audit.annotate_as_asked(&format!("{AUDIT_PREFIX}{key}"), text);
        }
        let review = Review {
            allowed: answer["status"]["allowed"] == true,
            reason: answer.str_at(&["status", "reason"]).to_owned(),
        };
        let ttl = if review.allowed { self.allow } else { self.deny };
        let size = review.reason.len();
        self.reviews.lock().keep(key, (review.clone(), size), ttl, Instant::now());
        Ok(review)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_bounds() {
        let second = Duration::from_secs(1);
        let of = |value| duration(value, (second, second, second * 60), second * 5);
        assert_eq!(of(0), Ok(second * 5));
        assert_eq!(of(-1), Ok(Duration::ZERO));
        assert_eq!(of(60), Ok(second * 60));
        let refused =
            Err(Invalid::Document("valid value is between 1s and 60s, got 61s".to_owned()));
        assert_eq!(of(61), refused);
        assert!(of(-2).is_err() && of(i64::MAX).is_err());
    }
}

//! The webhook authorizer: another server is asked by a SubjectAccessReview.
//!
//! Requests that its conditions exclude, and those that it has answered a moment ago, are decided at
//! once; only then is there a question to wait for.

mod conditions;
mod review;

use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use super::config::WebhookConfiguration;
use super::{Attributes, Opinion};
use crate::expiring::{Expiring, Key};
use crate::metrics::AuthorizationWebhooks as Metrics;
use crate::server::Server;
use crate::webhook::{self, CallError, Retries, Target, Unusable};

pub(super) use conditions::Conditions;
use review::Status;

const GROUP: &str = "authorization.k8s.io";
const KIND: &str = "SubjectAccessReview";

/// Answers that are kept (upstream's number).
const KEPT: usize = 8192;
/// Bytes of their reasons.
const KEPT_BYTES: usize = 4 << 20;
/// Answers about more than so many bytes that the client chose are not kept (upstream's number).
const MAX_CHOSEN: usize = 10_000;
/// Calls under way at once; others wait. A webhook that hangs holds no more than these.
const UNDER_WAY: usize = 256;
/// The wait before the second attempt (upstream's number).
const BACKOFF: Duration = Duration::from_millis(500);

/// One webhook.
pub(super) struct Webhook {
    name: String,
    target: Target,
    configuration: WebhookConfiguration,
    answers: Mutex<Expiring<Status>>,
    calls: Semaphore,
    metrics: Metrics,
}

/// A question that only the webhook can answer.
pub(super) struct Question {
    spec: Value,
    key: Key,
    kept: bool,
}

impl Webhook {
    /// Reads where it is.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(super) fn new(
        name: &str,
        configuration: WebhookConfiguration,
        metrics: &Metrics,
    ) -> Result<Self, Unusable> {
        Ok(Self {
            name: name.to_owned(),
            target: Target::of_kubeconfig(&configuration.kubeconfig)?,
            configuration,
            answers: Mutex::new(Expiring::new(KEPT, KEPT_BYTES)),
            calls: Semaphore::new(UNDER_WAY),
            metrics: metrics.clone(),
        })
    }

    /// Its opinion, if that is known without asking.
    pub(super) fn now(&self, attributes: &Attributes<'_>) -> Result<Opinion, Question> {
        let spec = review::spec(attributes);
        let conditions = &self.configuration.conditions;
        if !conditions.is_empty() {
            let begun = Instant::now();
            let held = conditions.hold(&spec);
            self.metrics.matched(&self.name, begun.elapsed(), held.as_ref().ok().copied());
            match held {
                Ok(true) => {}
                Ok(false) => return Ok(Opinion::none("")),
                Err(why) => return Ok(self.failed(why.to_string())),
            }
        }
        let key: Key = Sha256::digest(spec.to_string()).into();
        if let Some(status) = self.answers.lock().get(&key, Instant::now()) {
            return Ok(opinion(status.clone()));
        }
        let a = attributes;
        let chosen =
            [a.namespace, a.verb, a.group, a.version, a.resource, a.subresource, a.name, a.path];
        let kept = chosen.iter().map(|text| text.len()).sum::<usize>() < MAX_CHOSEN;
        Err(Question { spec, key, kept })
    }

    /// Asks it.
    pub(super) async fn ask(&self, server: &Server, question: Question) -> Opinion {
        let Question { spec, key, kept } = question;
        let configuration = &self.configuration;
        let document = review::document(spec, configuration.version).to_string();
        let mut result = "error";
        match self.call(server, Bytes::from(document), &mut result).await {
            Ok(status) => {
                let ttl = match status.allowed {
                    true => configuration.authorized_ttl,
                    false => configuration.unauthorized_ttl,
                };
                if kept {
                    let entry = (status.clone(), status.reason.len());
                    self.answers.lock().keep(key, entry, ttl, Instant::now());
                }
                opinion(status)
            }
            Err(why) => {
                tracing::warn!(%why, webhook = self.name, "failed to make webhook authorizer request");
                if !configuration.denies_on_failure {
                    self.metrics.failed_open(&self.name, result);
                }
                self.failed(why.to_string())
            }
        }
    }

    /// Calls it, and again if that may help; `result` is that of the last attempt.
    async fn call(
        &self,
        server: &Server,
        document: Bytes,
        result: &mut &'static str,
    ) -> Result<Status, CallError> {
        let patience = self.configuration.timeout;
        let version = format!("{GROUP}/{}", self.configuration.version);
        // For as long as the request has: a webhook that answers must not be left out because a client
        // asks much at once. The semaphore is never closed.
        let _place = self.calls.acquire().await;
        let mut retries = Retries::after(BACKOFF);
        loop {
            let mut call = Call {
                metrics: &self.metrics,
                name: &self.name,
                result: "canceled",
                begun: Instant::now(),
            };
            let of = (KIND, version.as_str());
            let answer =
                webhook::review(server, &self.target, of, document.clone(), patience).await;
            call.result = match &answer {
                Ok(_) => "success",
                Err(why) if why.is_late() => "timeout",
                Err(_) => "error",
            };
            *result = call.result;
            drop(call);
            let again = answer.as_ref().is_err_and(CallError::may_pass) && retries.wait().await;
            if !again {
                return answer;
            }
        }
    }

    /// The opinion of one that cannot be asked.
    fn failed(&self, why: String) -> Opinion {
        match self.configuration.denies_on_failure {
            true => Opinion::Deny { reason: String::new(), error: Some(why) },
            false => Opinion::None { reason: String::new(), error: Some(why) },
        }
    }
}

fn opinion(status: Status) -> Opinion {
    let Status { allowed, denied, reason } = status;
    match (allowed, denied) {
        (true, true) => {
            let why = "webhook subject access review returned both allow and deny response";
            Opinion::Deny { reason, error: Some(why.to_owned()) }
        }
        (false, true) => Opinion::Deny { reason, error: None },
        (true, false) => Opinion::Allow(reason),
        (false, false) => Opinion::None { reason, error: None },
    }
}

/// A call under way, which is counted also when nobody waits for it any more.
struct Call<'a> {
    metrics: &'a Metrics,
    name: &'a str,
    result: &'static str,
    begun: Instant,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.metrics.called(self.name, self.result, self.begun.elapsed());
    }
}

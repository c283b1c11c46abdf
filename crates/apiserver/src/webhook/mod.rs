//! Calls to webhooks: admission, conversion, authentication, authorization and audit.
//!
//! A webhook is reached by URL, or through a service whose endpoint this server chooses itself. Its
//! certificate must be signed by the configuration's authority. No redirect is followed, an answer
//! has a bound, and connections are kept for the next call.

mod error;
mod kubeconfig;
mod pool;
mod retry;
mod target;

use std::time::Duration;

use apimachinery::object::without_nulls;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use error::CallError;
pub(crate) use kubeconfig::Unusable;
pub(crate) use pool::{Pool, connect};
pub(crate) use retry::Retries;
pub(crate) use target::{Target, ca_bundle};

use crate::server::Server;

/// Largest answer: a patch of the largest object, in base64.
const MAX_ANSWER: usize = 8 << 20;
/// Largest answer that says who someone is, or what someone may do.
const MAX_WORD: usize = 1 << 20;

/// The first version of a review that this server can send, of those that a webhook reads.
pub(crate) fn review_version(versions: &Value) -> Option<&'static str> {
    let mut versions = versions.as_array().into_iter().flatten();
    versions.find_map(|version| match version.as_str() {
        Some("v1") => Some("v1"),
        Some("v1beta1") => Some("v1beta1"),
        _ => None,
    })
}

/// Posts a JSON document to a webhook.
///
/// # Errors
/// It could not be reached in time, or did not answer with success.
pub(crate) async fn post(
    server: &Server,
    target: &Target,
    body: Bytes,
    time: Duration,
) -> Result<Bytes, CallError> {
    exchange(server, target, body, time, MAX_ANSWER).await
}

/// The same for a review of a user or a right: the `status` of the answer, which is of the kind and
/// version that was asked.
///
/// # Errors
/// As above, or the answer is of another kind or version.
pub(crate) async fn review<S: DeserializeOwned>(
    server: &Server,
    target: &Target,
    (kind, version): (&str, &str),
    body: Bytes,
    time: Duration,
) -> Result<S, CallError> {
    let answer = exchange(server, target, body, time, MAX_WORD).await?;
    // A field that is null is as good as absent, as in Go.
    let answer = serde_json::from_slice::<Value>(&answer).and_then(|mut answer| {
        without_nulls(&mut answer);
        Answer::<S>::deserialize(answer)
    });
    let answer =
        answer.map_err(|why| CallError::Answer(format!("couldn't read the {kind}: {why}")))?;
    // It does not contradict by saying nothing.
    let other = |said: &str, asked: &str| !said.is_empty() && said != asked;
    if other(&answer.kind, kind) || other(&answer.api_version, version) {
        return Err(CallError::Answer(format!("the answer is no {kind} of {version}")));
    }
    Ok(answer.status)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<S> {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    api_version: String,
    status: S,
}

async fn exchange(
    server: &Server,
    target: &Target,
    body: Bytes,
    time: Duration,
    most: usize,
) -> Result<Bytes, CallError> {
    let url = target.url(time);
    let exchange = server.webhooks.exchange(server, target, body, (time, most));
    match tokio::time::timeout(time, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.at(&url)),
        Err(_) => Err(CallError::Late("context deadline exceeded".to_owned()).at(&url)),
    }
}

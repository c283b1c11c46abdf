//! Calls to webhooks: admission and conversion.
//!
//! A webhook is reached by URL, or through a service whose endpoint this server chooses itself. Its
//! certificate must be signed by the configuration's authority. No redirect is followed, an answer
//! has a bound, and connections are kept for the next call.

mod error;
mod pool;
mod target;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

pub(crate) use error::CallError;
pub(crate) use pool::Pool;
pub(crate) use target::{Target, ca_bundle};

use crate::server::Server;

/// Largest answer: a patch of the largest object, in base64.
const MAX_ANSWER: usize = 8 << 20;

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
    let url = target.url(time);
    let answer = tokio::time::timeout(time, server.webhooks.exchange(server, target, body, time));
    match answer.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.at(&url)),
        Err(_) => Err(CallError::Transport("context deadline exceeded".to_owned()).at(&url)),
    }
}

//! Service account tokens bound to their pod, replaced before they expire.

use std::collections::HashMap;

use client::Client;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;

use crate::pod::{name, namespace, spec, uid};

const DEFAULT_SECONDS: i64 = 3600;
/// Older tokens are replaced whatever their lifetime.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[error("failed to fetch token: {0}")]
pub(crate) struct Error(#[from] RequestError);

/// Why the API server gave no token.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server sent no token")]
    NoToken,
}

/// A token and when to get the next one.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) refresh_at: Timestamp,
    expires: Timestamp,
}

/// Tokens of all pods on the node, by pod uid, audience and lifetime.
pub(crate) struct Tokens {
    client: Client,
    known: Mutex<HashMap<(String, String, i64), Token>>,
}

impl Tokens {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// The token for a projection: a known one until it is due, then a new one. If that fails the
    /// known one serves as long as it is valid.
    ///
    /// # Errors
    /// There is no valid token and the API server gives none.
    pub(crate) async fn get(
        &self,
        pod: &Pod,
        source: &ServiceAccountTokenProjection,
    ) -> Result<Token, Error> {
        let audience = source.audience.clone().unwrap_or_default();
        let seconds = source.expiration_seconds.unwrap_or(DEFAULT_SECONDS);
        let key = (uid(pod).to_owned(), audience.clone(), seconds);
        let known = self.known.lock().get(&key).cloned();
        let now = Timestamp::now();
        if let Some(token) = &known
            && now < token.refresh_at
        {
            return Ok(token.clone());
        }
        match self.request(pod, audience, seconds, now).await {
            Ok(token) => {
                self.known.lock().insert(key, token.clone());
                Ok(token)
            }
            Err(error) => match known {
                Some(token) if now < token.expires => {
                    tracing::warn!(pod = crate::pod::full_name(pod), %error, "token not renewed");
                    Ok(Token { refresh_at: now + SignedDuration::from_secs(30), ..token })
                }
                _ => Err(error.into()),
            },
        }
    }

    async fn request(
        &self,
        pod: &Pod,
        audience: String,
        seconds: i64,
        now: Timestamp,
    ) -> Result<Token, RequestError> {
        let account = spec(pod).service_account_name.as_deref().unwrap_or("default");
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![audience]).filter(|list| !list[0].is_empty()),
                expiration_seconds: Some(seconds),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(name(pod).to_owned()),
                    uid: Some(uid(pod).to_owned()),
                }),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let api = Api::<ServiceAccount>::namespaced(self.client.clone(), namespace(pod));
        let answer: TokenRequest =
            api.create_subresource("token", account, &PostParams::default(), &request).await?;
        let given = answer.status.and_then(|s| Some((s.token?, s.expiration_timestamp?.0)));
        let (text, expires) = given.ok_or(RequestError::NoToken)?;
        Ok(Token { text, refresh_at: refresh_at(now, expires), expires })
    }

    /// Forgets the tokens of a pod.
    pub(crate) fn forget(&self, pod_uid: &str) {
        self.known.lock().retain(|(uid, _, _), _| uid != pod_uid);
    }
}

/// 80 % into its lifetime, and never later than a day after it was issued.
fn refresh_at(issued: Timestamp, expires: Timestamp) -> Timestamp {
    let lifetime = expires.duration_since(issued);
    issued + (lifetime * 4 / 5).min(MAX_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced_at_four_fifths_and_within_a_day() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(refresh_at(at(0), at(3600)), at(2880));
        assert_eq!(refresh_at(at(100), at(700)), at(580));
        assert_eq!(refresh_at(at(0), at(365 * 86400)), at(86400));
    }
}

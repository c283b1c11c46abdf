//! One issuer: where its keys are, and how a token of it becomes a user.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apimachinery::text::quote;
use pki::jwt::Unverified;
use serde::Deserialize;
use telemetry::task;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::claims::{self, Refused};
use super::fetch::{FetchError, get};
use super::keys::{KeySet, NoKey};
use crate::authn::config::{JwtAuthenticator, Mapper};
use crate::metrics::Jwt;
use crate::user::User;

/// Time between attempts to find out about an issuer.
const AGAIN: Duration = Duration::from_secs(10);

/// Why an issuer cannot be used, whatever it answers.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unusable {
    /// Its authority is no certificate.
    #[error("Failed to read the CA contents: {0}")]
    Authority(String),
    /// It is to be reached in a way that is not configured.
    #[error("oidc: egress lookup required with egress selector type {0:?}")]
    Egress(String),
}

/// Why a token of an issuer is refused.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::authn) enum TokenRefused {
    #[error("oidc: authenticator not initialized")]
    NotReady,
    #[error("oidc: verify token: oidc: malformed jwt")]
    Malformed,
    #[error(
        "oidc: verify token: oidc: id token signed with unsupported algorithm, expected {expected} \
         got {found}"
    )]
    Algorithm { expected: String, found: String },
    #[error("oidc: verify token: failed to verify signature: {0}")]
    Key(#[from] NoKey),
    #[error(transparent)]
    Claims(#[from] Refused),
}

/// An issuer that cannot verify tokens yet, and why.
#[derive(Clone, Debug, thiserror::Error)]
#[error("oidc: authenticator for issuer {issuer} is not healthy: {why}")]
pub(in crate::authn) struct NotReady {
    issuer: String,
    why: String,
}

/// Why nothing is known about an issuer yet.
#[derive(Clone, Debug, thiserror::Error)]
enum Unknown {
    #[error("not initialized")]
    New,
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("oidc: failed to decode provider discovery object")]
    Malformed,
    #[error("oidc: issuer did not match the issuer returned by provider, expected {0} got {1}")]
    Other(String, String),
    #[error("provider did not return JWKS URL")]
    NoKeys,
}

/// An issuer that is configured.
pub(in crate::authn) struct Issuer {
    config: JwtAuthenticator,
    mapper: Mapper,
    algorithms: Vec<String>,
    tls: Arc<rustls::ClientConfig>,
    keys: OnceLock<KeySet>,
    health: watch::Sender<Option<Unknown>>,
    metrics: Jwt,
    /// Ends the search for its keys.
    _life: DropGuard,
}

impl Issuer {
    /// An issuer whose keys are looked for from now on, until it is dropped.
    pub(super) fn start(
        config: JwtAuthenticator,
        mapper: Mapper,
        algorithms: &[String],
        metrics: &Jwt,
    ) -> Result<Arc<Self>, Unusable> {
        let wanted = &config.issuer;
        if !wanted.egress_selector_type.is_empty() {
            return Err(Unusable::Egress(wanted.egress_selector_type.clone()));
        }
        let tls = match wanted.certificate_authority.as_str() {
            "" => pki::tls::trusting_machine(),
            authority => pki::tls::trusting(authority),
        };
        let tls = tls.map_err(|why| Unusable::Authority(why.to_string()))?;
        let life = CancellationToken::new();
        let issuer = Arc::new(Self {
            config,
            mapper,
            algorithms: algorithms.to_vec(),
            tls: Arc::new(tls),
            keys: OnceLock::new(),
            health: watch::Sender::new(Some(Unknown::New)),
            metrics: metrics.clone(),
            _life: life.clone().drop_guard(),
        });
        let weak = Arc::downgrade(&issuer);
        let discover = async move {
            loop {
                let Some(issuer) = weak.upgrade() else { return };
                match issuer.discover().await {
                    Ok(keys) => {
                        let _ = issuer.keys.set(keys);
                        issuer.health.send_replace(None);
                        return;
                    }
                    Err(why) => {
                        let url = issuer.url();
                        tracing::warn!(issuer = url, %why, "initializing an issuer of tokens");
                        issuer.health.send_replace(Some(why));
                    }
                }
                drop(issuer);
                tokio::time::sleep(AGAIN).await;
            }
        };
        task::spawn("issuer-discovery", async move {
            life.run_until_cancelled(discover).await;
        });
        Ok(issuer)
    }

    /// The issuer as its tokens name it.
    pub(in crate::authn) fn url(&self) -> &str {
        &self.config.issuer.url
    }

    /// Waits until it can verify tokens.
    ///
    /// # Errors
    /// It could not before the deadline, for this reason.
    pub(in crate::authn) async fn ready(&self, deadline: Instant) -> Result<(), NotReady> {
        let mut health = self.health.subscribe();
        let ready = health.wait_for(Option::is_none);
        if tokio::time::timeout_at(deadline, ready).await.is_ok() {
            return Ok(());
        }
        let why = self.health.borrow().as_ref().map(ToString::to_string).unwrap_or_default();
        Err(NotReady { issuer: quote(self.url()), why })
    }

    async fn discover(&self) -> Result<KeySet, Unknown> {
        #[derive(Deserialize)]
        struct Provider {
            #[serde(default)]
            issuer: String,
            #[serde(default)]
            jwks_uri: String,
        }
        let wanted = &self.config.issuer;
        let url = match wanted.discovery_url.as_str() {
            "" => {
                let base = wanted.url.strip_suffix('/').unwrap_or(&wanted.url);
                format!("{base}/.well-known/openid-configuration")
            }
            url => url.to_owned(),
        };
        let document = get(&url, &self.tls).await?;
        let provider: Provider =
            serde_json::from_slice(&document).map_err(|_| Unknown::Malformed)?;
        if provider.issuer != wanted.url {
            return Err(Unknown::Other(quote(&wanted.url), quote(&provider.issuer)));
        }
        if provider.jwks_uri.is_empty() {
            return Err(Unknown::NoKeys);
        }
        Ok(KeySet::new(provider.jwks_uri, self.tls.clone()))
    }

    /// The user of a token that says it is of this issuer.
    pub(in crate::authn) async fn authenticate(&self, token: &str) -> Result<User, TokenRefused> {
        let begun = Instant::now();
        let outcome = self.verify(token).await;
        self.metrics.authenticated(self.url(), outcome.is_ok(), begun.elapsed());
        outcome
    }

    async fn verify(&self, token: &str) -> Result<User, TokenRefused> {
        let keys = self.keys.get().ok_or(TokenRefused::NotReady)?;
        let token = Unverified::parse(token).map_err(|_| TokenRefused::Malformed)?;
        if !self.algorithms.contains(&token.algorithm) {
            let expected: Vec<String> = self.algorithms.iter().map(|a| quote(a)).collect();
            let expected = format!("[{}]", expected.join(" "));
            return Err(TokenRefused::Algorithm { expected, found: quote(&token.algorithm) });
        }
        let noted = |fetched: Result<&[u8], &NoKey>| self.metrics.fetched(self.url(), fetched.ok());
        keys.verify(&token, noted).await?;
        Ok(claims::user(&self.config, &self.mapper, &token.payload)?)
    }
}

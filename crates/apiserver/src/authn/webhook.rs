//! Tokens that another server knows, which is asked by a TokenReview.
//!
//! It is asked last, and only about tokens that nobody else knows, valid or not: those of this
//! cluster leave it on no account.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::TokenOutcome;
use super::options::{OptionsError, TokenWebhook as Options};
use crate::expiring::{Expiring, Key};
use crate::metrics::TokenCache as Metrics;
use crate::server::Server;
use crate::user::User;
use crate::webhook::{self, CallError, Retries, Target};

const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenReview";
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Answers that are kept.
const KEPT: usize = 32 << 10;
/// Bytes of the users in them.
const KEPT_BYTES: usize = 16 << 20;
/// The longest token that is sent: whoever sends more is not believed by anybody.
const MAX_TOKEN: usize = 64 << 10;
/// Calls under way at once; others wait. Who sends a token is not known yet, so that nothing else
/// holds back a flood of them.
const UNDER_WAY: usize = 64;
/// The time for an answer, with all attempts (upstream's `sharedLookupTimeout`).
const PATIENCE: Duration = Duration::from_secs(30);
/// The wait before the second attempt (upstream's number).
const BACKOFF: Duration = Duration::from_millis(500);

/// The webhook's word: the user and the audiences of a token, if it is good.
type Word = Option<Arc<(User, Vec<String>)>>;
/// The same, or the reason why there is none.
type Outcome = Result<Word, Arc<str>>;
type Asked = BoxFuture<'static, Outcome>;

/// The webhook that knows tokens.
pub(super) struct TokenWebhook {
    target: Target,
    version: &'static str,
    ttl: Duration,
    /// Makes the digests of tokens unpredictable.
    salt: [u8; 32],
    answers: Mutex<Expiring<Word>>,
    /// Questions that somebody waits for, so that one token is asked about once.
    open: Mutex<HashMap<Key, WeakShared<Asked>>>,
    calls: Semaphore,
    metrics: Metrics,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    authenticated: bool,
    user: UserInfo,
    audiences: Vec<String>,
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserInfo {
    username: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

impl TokenWebhook {
    /// Reads where it is.
    ///
    /// # Errors
    /// The file cannot be used.
    pub(super) fn new(options: &Options, metrics: &Metrics) -> Result<Self, OptionsError> {
        let version = VERSIONS.into_iter().find(|known| *known == options.version);
        let unusable = |why: webhook::Unusable| OptionsError::Webhook(why.to_string());
        Ok(Self {
            target: Target::of_kubeconfig(&options.config_file).map_err(unusable)?,
            version: version
                .ok_or_else(|| OptionsError::WebhookVersion(options.version.clone()))?,
            ttl: options.cache_ttl,
            salt: rand::random(),
            answers: Mutex::new(Expiring::new(KEPT, KEPT_BYTES)),
            open: Mutex::default(),
            calls: Semaphore::new(UNDER_WAY),
            metrics: metrics.clone(),
        })
    }

    /// Depends on the token and on the audiences, and tells nothing of them.
    fn key(&self, token: &str, audiences: &[String]) -> Key {
        let mut digest = Sha256::new_with_prefix(self.salt);
        for text in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
            digest.update((text.len() as u64).to_be_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }
}

/// Authenticates a token for one of `audiences`; none means this server.
pub(super) async fn authenticate(
    server: &Arc<Server>,
    webhook: &Arc<TokenWebhook>,
    token: &str,
    audiences: &[String],
) -> TokenOutcome {
    if token.len() > MAX_TOKEN {
        return TokenOutcome::Invalid("the token is too long".to_owned());
    }
    let wanted = if audiences.is_empty() { &server.authn.audiences } else { audiences };
    let key = webhook.key(token, wanted);
    let known = webhook.answers.lock().get(&key, Instant::now()).cloned();
    let begun = Instant::now();
    let outcome = match &known {
        Some(word) => Ok(word.clone()),
        None => question(server, webhook, key, token, wanted).await,
    };
    webhook.metrics.asked(known.is_some(), begun.elapsed());
    match outcome {
        Ok(None) => TokenOutcome::Unknown,
        Ok(Some(found)) => {
            let (user, audiences) = (*found).clone();
            TokenOutcome::Valid(user.with_standing(), audiences)
        }
        Err(why) => TokenOutcome::Invalid(why.to_string()),
    }
}

/// The question about a token, which others may have asked already.
fn question(
    server: &Arc<Server>,
    webhook: &Arc<TokenWebhook>,
    key: Key,
    token: &str,
    audiences: &[String],
) -> Shared<Asked> {
    let mut open = webhook.open.lock();
    if let Some(asked) = open.get(&key).and_then(WeakShared::upgrade) {
        return asked;
    }
    let (server, of) = (server.clone(), webhook.clone());
    let (token, audiences) = (token.to_owned(), audiences.to_vec());
    let ask = async move {
        let fetching = of.metrics.fetching();
        let late = || CallError::Late("the token webhook has not answered in time".to_owned());
        let outcome = timeout(PATIENCE, of.ask(&server, &token, &audiences)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(late().to_string().into()));
        fetching.done(outcome.is_ok());
        if let Ok(word) = &outcome {
            let entry = (word.clone(), word.as_deref().map_or(0, size));
            of.answers.lock().keep(key, entry, of.ttl, Instant::now());
        }
        of.open.lock().remove(&key);
        outcome
    };
    let asked: Shared<Asked> = ask.boxed().shared();
    // Those that everybody has left.
    open.retain(|_, asked| asked.upgrade().is_some());
    open.extend(asked.downgrade().map(|weak| (key, weak)));
    asked
}

/// The bytes of a user and its audiences.
fn size((user, audiences): &(User, Vec<String>)) -> usize {
    let texts = |texts: &[String]| texts.iter().map(|text| text.len() + 24).sum::<usize>();
    let extra = user.extra.iter().map(|(key, values)| key.len() + texts(values));
    let own = user.name.len() + user.uid.len();
    own + texts(&user.groups) + extra.sum::<usize>() + texts(audiences)
}

impl TokenWebhook {
    async fn ask(&self, server: &Server, token: &str, audiences: &[String]) -> Outcome {
        let status = self.call(server, token, audiences).await.map_err(|why| {
            tracing::warn!(%why, "failed to make webhook authenticator request");
            Arc::from(why.to_string())
        })?;
        // One that says nothing of audiences means this server's own.
        let named = match status.audiences.is_empty() {
            true => &server.authn.audiences,
            false => &status.audiences,
        };
        let good: Vec<String> = audiences.iter().filter(|a| named.contains(a)).cloned().collect();
        if good.is_empty() {
            return Ok(None);
        }
        if !status.authenticated {
            return match status.error.as_str() {
                "" => Ok(None),
                why => Err(why.into()),
            };
        }
        let UserInfo { username: name, uid, groups, extra } = status.user;
        if name.is_empty() {
            return Err("the token webhook authenticated a user without a name".into());
        }
        Ok(Some(Arc::new((User { name, uid, groups, extra }, good))))
    }

    async fn call(
        &self,
        server: &Server,
        token: &str,
        audiences: &[String],
    ) -> Result<Status, CallError> {
        let version = format!("{GROUP}/{}", self.version);
        let review = json!({
            "kind": KIND, "apiVersion": version, "metadata": {},
            "spec": {"token": token, "audiences": audiences}, "status": {"user": {}},
        });
        let review = Bytes::from(review.to_string());
        // The semaphore is never closed.
        let _place = self.calls.acquire().await;
        let mut retries = Retries::after(BACKOFF);
        loop {
            let of = (KIND, version.as_str());
            let answer = webhook::review(server, &self.target, of, review.clone(), PATIENCE).await;
            let again = answer.as_ref().is_err_and(CallError::may_pass) && retries.wait().await;
            if !again {
                return answer;
            }
        }
    }
}

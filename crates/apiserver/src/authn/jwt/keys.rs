//! The keys of an issuer: fetched when a token is signed with one that is not known, at a bounded
//! rate, by one request at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pki::jwt::{PublicKey, Unverified};
use serde_json::Value;
use tokio::time::Instant;

use super::fetch::{FetchError, get};

/// Most keys of an issuer.
const MAX_KEYS: usize = 100;
/// Everybody can make up tokens with unknown keys, and each asks for the keys. So many times they
/// are fetched at once; after that, once in so long.
const BURST: u32 = 3;
const INTERVAL: Duration = Duration::from_secs(10);

/// Why no key verifies a token.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::authn) enum NoKey {
    #[error("failed to verify id token signature")]
    Signature,
    #[error("fetching keys oidc: get keys failed: {0}")]
    Fetch(#[from] FetchError),
    #[error("fetching keys oidc: failed to decode keys")]
    Malformed,
    #[error("fetching keys oidc: the key set has more than {MAX_KEYS} keys")]
    TooMany,
}

/// Fetches that are left, and when that was so.
struct Allowance {
    left: u32,
    at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: BURST, at: now }
    }

    /// Takes one, if there is one.
    fn take(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs() / INTERVAL.as_secs();
        if gained > 0 {
            self.left = BURST.min(self.left.saturating_add(u32::try_from(gained).unwrap_or(BURST)));
            self.at = now;
        }
        let granted = self.left > 0;
        self.left -= u32::from(granted);
        granted
    }
}

/// The keys behind a URL.
pub(super) struct KeySet {
    url: String,
    tls: Arc<rustls::ClientConfig>,
    known: ArcSwap<Vec<PublicKey>>,
    /// Held while they are fetched; counts how often they were.
    fetching: tokio::sync::Mutex<u64>,
    fetched: AtomicU64,
    allowance: Mutex<Allowance>,
}

impl KeySet {
    pub(super) fn new(url: String, tls: Arc<rustls::ClientConfig>) -> Self {
        Self {
            url,
            tls,
            known: ArcSwap::default(),
            fetching: tokio::sync::Mutex::default(),
            fetched: AtomicU64::default(),
            allowance: Mutex::new(Allowance::new(Instant::now())),
        }
    }

    fn verifies(&self, token: &Unverified<'_>) -> bool {
        let known = self.known.load();
        let named = |key: &&PublicKey| token.key_id.is_empty() || key.id() == token.key_id;
        known.iter().filter(named).any(|key| token.is_signed_by(key))
    }

    /// Refuses a token that none of the keys has signed, having fetched them if that may help.
    /// `noted` is told of each fetch.
    pub(super) async fn verify(
        &self,
        token: &Unverified<'_>,
        noted: impl Fn(Result<&[u8], &NoKey>),
    ) -> Result<(), NoKey> {
        let before = self.fetched.load(Ordering::Acquire);
        if self.verifies(token) {
            return Ok(());
        }
        let mut fetches = self.fetching.lock().await;
        // Somebody may have fetched them meanwhile.
        if self.fetched.load(Ordering::Acquire) == before {
            if !self.allowance.lock().take(Instant::now()) {
                return Err(NoKey::Signature);
            }
            match self.fetch().await {
                Ok((document, keys)) => {
                    noted(Ok(&document));
                    self.known.store(Arc::new(keys));
                    *fetches += 1;
                    self.fetched.store(*fetches, Ordering::Release);
                }
                Err(why) => {
                    noted(Err(&why));
                    return Err(why);
                }
            }
        }
        drop(fetches);
        if self.verifies(token) { Ok(()) } else { Err(NoKey::Signature) }
    }

    async fn fetch(&self) -> Result<(bytes::Bytes, Vec<PublicKey>), NoKey> {
        let document = get(&self.url, &self.tls).await?;
        let set: Value = serde_json::from_slice(&document).map_err(|_| NoKey::Malformed)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(NoKey::Malformed)?;
        if keys.len() > MAX_KEYS {
            return Err(NoKey::TooMany);
        }
        // Keys of unknown kinds are for others.
        Ok((document.clone(), keys.iter().filter_map(PublicKey::from_jwk).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_at_a_bounded_rate() {
        let begun = Instant::now();
        let mut allowance = Allowance::new(begun);
        let mut taken = |at| (0..10).filter(|_| allowance.take(begun + at)).count();
        assert_eq!(taken(Duration::ZERO), BURST as usize);
        assert_eq!(taken(INTERVAL / 2), 0);
        assert_eq!(taken(INTERVAL), 1);
        assert_eq!(taken(INTERVAL * 1000), BURST as usize);
        assert_eq!(taken(INTERVAL), 0, "a clock that stands back");
    }
}

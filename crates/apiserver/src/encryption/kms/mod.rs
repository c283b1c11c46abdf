//! Keys that a plugin keeps (KMS v2): a seed is made here and encrypted by the plugin; every value
//! has a key of its own, derived of the seed, and carries the encrypted seed.

mod envelope;
mod probe;
mod service;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use prost::Message;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Seal;
use super::cipher::{CipherError, Form, Sealer};
use super::config::Plugin;
use crate::metrics::Encryption as Metrics;
use envelope::{DERIVED, EncryptedObject, InvalidEnvelope, WHOLE};
use probe::Checked;
use service::Service;

/// How long a decrypted seed is remembered.
const REMEMBER: Duration = Duration::from_secs(24 * 3600);

/// Why a plugin's keys seal or open nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum KmsError {
    #[error("got unexpected nil transformer")]
    NotReady,
    #[error("encryptedDEKSource with keyID hash {key:?} expired at {at} (current time is {now})")]
    Expired { key: String, at: String, now: String },
    #[error("{0}")]
    Envelope(#[from] InvalidEnvelope),
    #[error("proto: cannot parse invalid wire-format data")]
    Encoding,
    #[error("failed to decrypt DEK, error: {}", shown(.0))]
    Decrypt(tonic::Status),
    #[error("{0}")]
    Cipher(#[from] CipherError),
}

/// An error of a call as Go shows it.
fn shown(status: &tonic::Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}

/// A plugin's key identifier, which only its hash may tell.
pub(super) fn hashed(key: &str) -> String {
    match key {
        "" => String::new(),
        key => format!("sha256:{}", hex::encode(Sha256::digest(key))),
    }
}

/// The seed that values are sealed with now.
#[derive(Clone)]
struct Current {
    sealer: Arc<Sealer>,
    key_id: String,
    source: Vec<u8>,
    annotations: BTreeMap<String, Vec<u8>>,
    /// Nothing is sealed after this time, unless the plugin confirms the key before.
    expires: Instant,
    expires_at: Timestamp,
}

/// Seeds by the hash of how they were encrypted, and when they were decrypted.
type Seeds = HashMap<[u8; 32], (Instant, Arc<Sealer>)>;

/// One plugin.
pub(super) struct Kms {
    name: String,
    /// The beginning of values.
    prefix: String,
    service: Service,
    current: Mutex<Option<Current>>,
    checked: tokio::sync::Mutex<Checked>,
    seeds: Mutex<Seeds>,
    metrics: Arc<Metrics>,
    /// Told when the plugin answers as it should.
    ready: Arc<Notify>,
}

impl Kms {
    pub(super) fn new(
        plugin: &Plugin,
        prefix: String,
        metrics: Arc<Metrics>,
        ready: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: plugin.name.clone(),
            prefix,
            service: Service::new(plugin, metrics.clone()),
            current: Mutex::default(),
            checked: tokio::sync::Mutex::default(),
            seeds: Mutex::default(),
            metrics,
            ready,
        })
    }

    /// Asks the plugin for its key now, and then again and again until the end: that is the
    /// protocol, which has no other way to tell of a new key.
    pub(super) async fn start(self: &Arc<Self>, end: CancellationToken) {
        let first = self.check().await;
        if let Err(why) = &first {
            tracing::warn!(name = self.name, %why, "kms plugin failed health check probe");
        }
        probe::go_on(self.clone(), first.is_ok(), end);
    }

    fn current(&self) -> Result<Current, KmsError> {
        self.current.lock().clone().ok_or(KmsError::NotReady)
    }

    /// The mark of values that are sealed now; `None` until the plugin has a key.
    pub(super) fn seal_now(&self) -> Option<Seal> {
        let current = self.current.lock();
        current.as_ref().map(|current| self.mark(&current.key_id, DERIVED))
    }

    fn mark(&self, key_id: &str, kind: i32) -> Seal {
        let kind = kind.to_be_bytes();
        super::fingerprint(&[self.prefix.as_bytes(), &kind, key_id.as_bytes()])
    }

    /// Seals a value for a place.
    pub(super) fn seal(&self, value: &[u8], place: &[u8]) -> Result<(Vec<u8>, Seal), KmsError> {
        let current = self.current()?;
        if Instant::now() > current.expires {
            return Err(KmsError::Expired {
                key: hashed(&current.key_id),
                at: apimachinery::time::rfc3339(current.expires_at),
                now: apimachinery::time::now_rfc3339(),
            });
        }
        let object = EncryptedObject {
            encrypted_data: current.sealer.seal(value, place)?,
            key_id: current.key_id,
            encrypted_dek_source: current.source,
            annotations: current.annotations,
            encrypted_dek_source_type: DERIVED,
        };
        object.validate()?;
        self.metrics.used_key("to_storage", &self.name, &object.key_id);
        Ok((object.encode_to_vec(), self.mark(&object.key_id, DERIVED)))
    }

    /// Opens a value of a place; asks the plugin for a seed that is not known.
    pub(super) async fn open(
        &self,
        sealed: &[u8],
        place: &[u8],
    ) -> Result<(Vec<u8>, Seal), KmsError> {
        let object = EncryptedObject::decode(sealed).map_err(|_| KmsError::Encoding)?;
        object.validate()?;
        self.current()?;
        let by = object.cache_key();
        let known = self.seeds.lock().get(&by).map(|(_, sealer)| sealer.clone());
        let sealer = match known {
            Some(sealer) => sealer,
            None => {
                self.metrics.missed_key();
                let seed = self.service.decrypt(&object).await.map_err(KmsError::Decrypt)?;
                let form = match object.encrypted_dek_source_type {
                    WHOLE => Form::Gcm,
                    _ => Form::Derived,
                };
                let sealer = Arc::new(Sealer::new(form, seed)?);
                self.remember(by, sealer.clone());
                sealer
            }
        };
        self.metrics.used_key("from_storage", &self.name, &object.key_id);
        let value = sealer.open(&object.encrypted_data, place)?;
        Ok((value, self.mark(&object.key_id, object.encrypted_dek_source_type)))
    }

    fn remember(&self, by: [u8; 32], sealer: Arc<Sealer>) {
        let mut seeds = self.seeds.lock();
        let now = Instant::now();
        seeds.retain(|_, (since, _)| now.duration_since(*since) < REMEMBER);
        seeds.insert(by, (now, sealer));
        self.metrics.known_keys(&self.name, seeds.len());
    }
}

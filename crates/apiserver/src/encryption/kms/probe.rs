//! The health of a plugin, and the key that it wants values to be sealed with.

use std::sync::Arc;
use std::time::Duration;

use apimachinery::text::quote;
use jiff::Timestamp;
use rand::random;
use telemetry::task;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::envelope::{DERIVED, EncryptedObject, check_key_id};
use super::service::StatusResponse;
use super::{Current, Kms, hashed, shown};
use crate::encryption::cipher::{Form, SEED, Sealer};

/// Between questions to a plugin that is well, and to one that is not.
const WELL: Duration = Duration::from_secs(60);
const UNWELL: Duration = Duration::from_secs(10);
/// How long an answer stands in for the next.
const WELL_FOR: Duration = Duration::from_secs(20);
const UNWELL_FOR: Duration = Duration::from_secs(3);
/// How long values are sealed with a key that the plugin no longer confirms.
const COAST: Duration = Duration::from_secs(180);

/// Why a plugin is not well.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::encryption) struct Unwell(String);

/// The last answer.
#[derive(Default)]
pub(super) struct Checked {
    last: Option<(Instant, Result<(), Unwell>)>,
    /// The version of the first answer, which must not change.
    version: Option<String>,
}

/// Asks until the end.
pub(super) fn go_on(kms: Arc<Kms>, mut well: bool, end: CancellationToken) {
    // The plugin goes with its configuration.
    let kms = Arc::downgrade(&kms);
    let ask = async move {
        loop {
            tokio::time::sleep(if well { WELL } else { UNWELL }).await;
            let Some(kms) = kms.upgrade() else { return };
            let found = kms.check().await;
            well = found.is_ok();
            if let Err(why) = found {
                tracing::warn!(name = kms.name, %why, "kms plugin failed health check probe");
            }
        }
    };
    task::spawn("kms-probe", async move {
        let _ = end.run_until_cancelled(ask).await;
    });
}

impl Kms {
    /// Asks the plugin for its health and its key, unless it was asked a moment ago.
    ///
    /// # Errors
    /// It does not answer, or not as it should.
    pub(in crate::encryption) async fn check(&self) -> Result<(), Unwell> {
        let mut checked = self.checked.lock().await;
        if let Some((at, found)) = &checked.last {
            let stands = if found.is_ok() { WELL_FOR } else { UNWELL_FOR };
            if at.elapsed() < stands {
                return found.clone();
            }
        }
        let found = match self.service.status().await {
            Ok(status) => self.accept(&mut checked, &status).await,
            Err(why) => Err(Unwell(format!(
                "failed to perform status section of the healthz check for KMS Provider {}, error: \
                 {}",
                self.name,
                shown(&why)
            ))),
        };
        checked.last = Some((Instant::now(), found.clone()));
        if found.is_ok() {
            self.ready.notify_one();
        }
        found
    }

    async fn accept(&self, checked: &mut Checked, status: &StatusResponse) -> Result<(), Unwell> {
        let mut wrong = Vec::new();
        if status.healthz != "ok" {
            wrong.push(format!("got unexpected healthz status: {}", status.healthz));
        }
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            wrong.push(format!("expected KMSv2 API version v2, got {}", status.version));
        } else {
            let first = checked.version.get_or_insert_with(|| status.version.clone());
            if *first != status.version {
                wrong.push(format!(
                    "KMSv2 API version should not change after the initial status response version \
                     {first}, got {}",
                    status.version
                ));
            }
        }
        match check_key_id(&status.key_id) {
            Err(why) => {
                self.metrics.invalid_key(&self.name, why.word());
                let hash = quote(&hashed(&status.key_id));
                wrong.push(format!("got invalid KMSv2 KeyID hash {hash}: {why}"));
            }
            Ok(()) => {
                self.metrics.confirmed_key(&self.name, &status.key_id);
                wrong.extend(self.rotate(&status.key_id).await.err().map(|why| why.0));
            }
        }
        let text = match wrong.as_slice() {
            [] => return Ok(()),
            [one] => one.clone(),
            all => format!("[{}]", all.join(", ")),
        };
        Err(Unwell(format!("kmsv2 Provider {} is not healthy, error: {text}", self.name)))
    }

    /// Goes on with the present seed if it was encrypted with the key of this identifier, else makes
    /// another. If that fails, the present one is good until it expires.
    async fn rotate(&self, key_id: &str) -> Result<(), Unwell> {
        // From before the call: this is the bound.
        let (expires, expires_at) = (Instant::now() + COAST, Timestamp::now());
        let expires_at = apimachinery::time::after(expires_at, COAST.as_secs().cast_signed());
        let before = {
            let mut current = self.current.lock();
            match &mut *current {
                Some(current) if current.key_id == key_id => {
                    (current.expires, current.expires_at) = (expires, expires_at);
                    return Ok(());
                }
                Some(current) => current.key_id.clone(),
                None => String::new(),
            }
        };
        let failed = |why: &str, answered: &str| {
            Unwell(format!(
                "failed to rotate DEK, errGen={why}, statusKeyIDHash={}, encryptKeyIDHash={}, \
                 stateKeyIDHash={}",
                quote(&hashed(key_id)),
                quote(&hashed(answered)),
                quote(&hashed(&before))
            ))
        };
        let begun = std::time::Instant::now();
        let seed: Zeroizing<[u8; SEED]> = Zeroizing::new(random());
        let sealer = Sealer::new(Form::Derived, Zeroizing::new(seed.to_vec()));
        let sealer = Arc::new(sealer.map_err(|why| failed(&why.to_string(), ""))?);
        self.metrics.generated_key(begun.elapsed());
        let answer = self.service.encrypt(&*seed).await;
        let answer = answer
            .map_err(|why| failed(&format!("failed to encrypt DEK, error: {}", shown(&why)), ""))?;
        let envelope = EncryptedObject {
            encrypted_data: vec![0],
            key_id: answer.key_id,
            encrypted_dek_source: answer.ciphertext,
            annotations: answer.annotations,
            encrypted_dek_source_type: DERIVED,
        };
        envelope.validate().map_err(|why| failed(&why.to_string(), &envelope.key_id))?;
        if envelope.key_id != key_id {
            // Between two keys: the next answer will tell.
            return Err(failed("<nil>", &envelope.key_id));
        }
        self.remember(envelope.cache_key(), sealer.clone());
        tracing::info!(name = self.name, key = hashed(key_id), "a new seed for values");
        *self.current.lock() = Some(Current {
            sealer,
            key_id: envelope.key_id,
            source: envelope.encrypted_dek_source,
            annotations: envelope.annotations,
            expires,
            expires_at,
        });
        Ok(())
    }
}

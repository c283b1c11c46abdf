//! A sealed value as it is stored, with all that a plugin needs to decrypt its seed.

use std::collections::BTreeMap;

use apimachinery::names;
use sha2::{Digest, Sha256};

/// The seed is itself the key (an earlier form, which is read only).
pub(super) const WHOLE: i32 = 0;
/// Keys are derived of the seed by HKDF.
pub(super) const DERIVED: i32 = 1;

const MAX_KEY_ID: usize = 1 << 10;
const MAX_SOURCE: usize = 1 << 10;
const MAX_ANNOTATIONS: usize = 32 << 10;

/// Upstream's `EncryptedObject` (`kmsv2/v2/api.proto`).
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct EncryptedObject {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) encrypted_data: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) key_id: String,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) encrypted_dek_source: Vec<u8>,
    #[prost(btree_map = "string, bytes", tag = "4")]
    pub(super) annotations: BTreeMap<String, Vec<u8>>,
    #[prost(int32, tag = "5")]
    pub(super) encrypted_dek_source_type: i32,
}

/// Why an envelope, or what a plugin answers, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidEnvelope {
    #[error("unknown encryptedDEKSourceType: {0}")]
    Type(i32),
    #[error("encrypted data is empty")]
    NoData,
    #[error("failed to validate encrypted DEK source: encrypted DEK source is empty")]
    NoSource,
    #[error(
        "failed to validate encrypted DEK source: encrypted DEK source is {0} bytes, which exceeds \
         the max size of {MAX_SOURCE}"
    )]
    LongSource(usize),
    #[error("failed to validate key id: {0}")]
    KeyId(#[from] InvalidKeyId),
    #[error("failed to validate annotations: {0}")]
    Annotations(String),
}

/// Why a text is no identifier of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidKeyId {
    #[error("keyID is empty")]
    Empty,
    #[error("keyID is {0} bytes, which exceeds the max size of {MAX_KEY_ID}")]
    Long(usize),
}

impl InvalidKeyId {
    /// Upstream's word for metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Long(_) => "too_long",
        }
    }
}

/// Checks an identifier of a key.
pub(super) fn check_key_id(key_id: &str) -> Result<(), InvalidKeyId> {
    match key_id.len() {
        0 => Err(InvalidKeyId::Empty),
        len if len > MAX_KEY_ID => Err(InvalidKeyId::Long(len)),
        _ => Ok(()),
    }
}

impl EncryptedObject {
    /// Checks that it is complete, and no larger than it may be.
    pub(super) fn validate(&self) -> Result<(), InvalidEnvelope> {
        if !matches!(self.encrypted_dek_source_type, WHOLE | DERIVED) {
            return Err(InvalidEnvelope::Type(self.encrypted_dek_source_type));
        }
        if self.encrypted_data.is_empty() {
            return Err(InvalidEnvelope::NoData);
        }
        match self.encrypted_dek_source.len() {
            0 => return Err(InvalidEnvelope::NoSource),
            len if len > MAX_SOURCE => return Err(InvalidEnvelope::LongSource(len)),
            _ => {}
        }
        check_key_id(&self.key_id)?;
        let size: usize = self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MAX_ANNOTATIONS {
            return Err(InvalidEnvelope::Annotations(format!(
                "total size of annotations is {size}, which exceeds the max size of \
                 {MAX_ANNOTATIONS}"
            )));
        }
        let bad = |key: &&String| !key.contains('.') || !names::dns1123_subdomain(key).is_empty();
        match self.annotations.keys().find(bad) {
            Some(key) => Err(InvalidEnvelope::Annotations(format!(
                "annotations: Invalid value: {key:?}: should be a domain with at least two segments \
                 separated by dots"
            ))),
            None => Ok(()),
        }
    }

    /// Identifies the seed among others: all that the plugin is told of it.
    pub(super) fn cache_key(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        add(&self.encrypted_dek_source_type.to_be_bytes());
        add(&self.encrypted_dek_source);
        add(self.key_id.as_bytes());
        for (key, value) in &self.annotations {
            add(key.as_bytes());
            add(value);
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_bounded() {
        let good = EncryptedObject {
            encrypted_data: vec![1],
            key_id: "k".into(),
            encrypted_dek_source: vec![2],
            annotations: BTreeMap::from([("a.example.com".into(), vec![3])]),
            encrypted_dek_source_type: DERIVED,
        };
        assert_eq!(good.validate(), Ok(()));
        type Change = fn(&mut EncryptedObject);
        let changes: [Change; 7] = [
            |o| o.encrypted_dek_source_type = 7,
            |o| o.encrypted_data.clear(),
            |o| o.encrypted_dek_source.clear(),
            |o| o.encrypted_dek_source = vec![0; MAX_SOURCE + 1],
            |o| o.key_id = "k".repeat(MAX_KEY_ID + 1),
            |o| drop(o.annotations.insert("short".into(), vec![])),
            |o| drop(o.annotations.insert("b.example.com".into(), vec![0; MAX_ANNOTATIONS])),
        ];
        for change in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(bad.validate().is_err(), "{bad:?}");
            assert!(bad.encrypted_data.is_empty() || bad.cache_key() != good.cache_key());
        }
    }
}

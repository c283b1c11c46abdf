//! Objects as they arrive: one that does not fit its type must not keep the others from arriving.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error};
use serde_json::value::RawValue;

use super::Kind;
use crate::key::ObjectKey;

/// One page of a list.
#[derive(serde::Deserialize)]
#[serde(bound = "K: DeserializeOwned")]
pub(super) struct Page<K> {
    pub(super) metadata: ListMeta,
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<Item<K>>,
}

/// An object, or what is known of one that cannot be read. In a watch event it is read from the text
/// itself, so the event's type has to come first, as every server sends it.
#[derive(Clone, Debug)]
pub(super) enum Item<K> {
    Known(Box<K>),
    Unknown { metadata: Box<ObjectMeta>, why: String },
}

/// What every object has.
#[derive(serde::Deserialize)]
struct Bare {
    metadata: ObjectMeta,
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Item<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(raw.get()) {
            Ok(object) => Ok(Self::Known(Box::new(object))),
            Err(why) => {
                let bare: Bare = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
                Ok(Self::Unknown { metadata: Box::new(bare.metadata), why: why.to_string() })
            }
        }
    }
}

impl<K: Kind> Item<K> {
    fn metadata(&self) -> &ObjectMeta {
        match self {
            Self::Known(object) => object.meta(),
            Self::Unknown { metadata, .. } => metadata,
        }
    }

    pub(super) fn key(&self) -> ObjectKey {
        let meta = self.metadata();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        ObjectKey::new(namespace, meta.name.as_deref().unwrap_or_default())
    }

    pub(super) fn version(&self) -> Option<String> {
        self.metadata().resource_version.clone()
    }

    /// The object, if it could be read. If not, that is told; the cache keeps what it has.
    pub(super) fn known(self, url: &str) -> Option<K> {
        let key = self.key();
        match self {
            Self::Known(object) => Some(*object),
            Self::Unknown { why, .. } => {
                tracing::error!(url, object = %key, why, "an object cannot be read");
                None
            }
        }
    }
}

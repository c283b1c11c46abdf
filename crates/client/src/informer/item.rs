//! Objects as they arrive: one that does not fit its type must not keep the others from arriving.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use kube::core::Status;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Kind;
use crate::key::ObjectKey;

/// One page of a list.
#[derive(serde::Deserialize)]
pub(super) struct Page<'a> {
    pub(super) metadata: ListMeta,
    #[serde(borrow, default)]
    pub(super) items: Vec<&'a RawValue>,
}

/// An object, or what is known of one that cannot be read.
#[derive(Clone, Debug)]
pub(super) enum Item<K> {
    Known(Box<K>),
    Unknown { metadata: Box<ObjectMeta>, why: String },
}

/// An object of which only the metadata are read.
#[derive(serde::Deserialize)]
struct Bare {
    metadata: ObjectMeta,
}

impl<K: Kind> Item<K> {
    pub(super) fn read(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let typed = K::decode(raw.get());
        let typed = typed.or_else(|why| read_unset_times(raw).ok_or(why));
        typed.map(|object| Self::Known(Box::new(object))).or_else(|why| {
            let bare: Bare = serde_json::from_str(raw.get())?;
            Ok(Self::Unknown { metadata: Box::new(bare.metadata), why: why.to_string() })
        })
    }
}

/// A time that was never set, as Go has it.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// Reads an object whose conditions do not say since when they hold: null in the API, and no null
/// in the type.
fn read_unset_times<K: Kind>(raw: &RawValue) -> Option<K> {
    let mut object: Value = serde_json::from_str(raw.get()).ok()?;
    let conditions = object.pointer_mut("/status/conditions")?.as_array_mut()?;
    for condition in conditions {
        if let Some(time @ Value::Null) = condition.get_mut("lastTransitionTime") {
            *time = ZERO_TIME.into();
        }
    }
    K::decode(&object.to_string()).ok()
}

/// A line of a watch.
#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// One event of a watch.
pub(super) enum Change<'a> {
    /// Added or modified.
    Present(&'a RawValue),
    Gone(&'a RawValue),
    /// Nothing happened up to this version.
    Bookmark(Option<String>),
    Failure(Box<Status>),
}

impl<'a> Change<'a> {
    pub(super) fn read(line: &'a str) -> Result<Self, serde_json::Error> {
        let Line { kind, object } = serde_json::from_str(line)?;
        Ok(match kind {
            "DELETED" => Self::Gone(object),
            "BOOKMARK" => {
                let bare: Bare = serde_json::from_str(object.get())?;
                Self::Bookmark(bare.metadata.resource_version)
            }
            "ERROR" => Self::Failure(serde_json::from_str(object.get())?),
            _ => Self::Present(object),
        })
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Service;

    use super::*;

    #[test]
    fn a_condition_need_not_say_since_when_it_holds() {
        for (time, known) in [("null", true), (r#""2026-01-02T03:04:05Z""#, true), ("7", false)] {
            let text = format!(
                r#"{{"metadata": {{"name": "s"}}, "status": {{"conditions": [{{"type": "A",
                    "status": "True", "reason": "R", "message": "", "lastTransitionTime": {time}
                }}]}}}}"#
            );
            let raw: &RawValue = serde_json::from_str(&text).unwrap();
            let item = Item::<Service>::read(raw).unwrap();
            assert_eq!(matches!(item, Item::Known(_)), known, "{time}");
        }
    }
}

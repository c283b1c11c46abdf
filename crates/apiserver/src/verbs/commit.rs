//! The last step of every write: encoding, the compare-and-set, and visibility to readers.

use apimachinery::apply::{self, Writer};
use apimachinery::object::{MAX_DEPTH, is_deeper_than};
use apimachinery::{Object, ObjectExt, Status, time};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use store::{CommitError, Expect, Op, Revision};

use crate::bootstrap::MANAGER;
use crate::cache::{Entry, REVISION_KEY, key, prefix};
use crate::conversion;
use crate::registry::{self, Kind};
use crate::server::Server;
use crate::storage::WriteError;

/// The reason why a commit failed.
pub(crate) enum Failure {
    /// Another writer was faster: read again.
    Conflict,
    Refused(Status),
}

/// Writes the status of an object as this server's own manager, unless somebody has changed the
/// object since.
pub(crate) async fn write_status(
    server: &Server,
    kind: &Kind,
    old: &Object,
    mut object: Object,
) -> Result<(), Failure> {
    if let Some(ty) = kind.schema() {
        let (api_version, now) = (kind.api_version(), time::now_rfc3339());
        let writer = Writer {
            manager: MANAGER,
            api_version: &api_version,
            subresource: "status",
            now: &now,
            reset_fields: &["metadata", "spec"],
        };
        apply::update_managers(ty, Some(old), &mut object, &writer);
    }
    let revision = old.resource_version().parse().unwrap_or(0);
    server.commit(kind, &mut object, Expect::At(revision)).await
}

/// Largest stored object. Etcd takes 1.5 MiB of protobuf; as JSON the same object is larger.
const MAX_STORED: usize = 3 << 20;

/// Refuses objects that clients could not read, since every client reads stored objects.
fn check_storable(object: &Object, value: &store::Value) -> Result<(), Failure> {
    let too_large = |what: String| Err(Failure::Refused(Status::request_entity_too_large(what)));
    if value.bytes.len() > MAX_STORED {
        return too_large(format!("the object would take more than {MAX_STORED} bytes"));
    }
    if is_deeper_than(object, MAX_DEPTH) {
        return too_large(format!("the object would nest deeper than {MAX_DEPTH} levels"));
    }
    Ok(())
}

/// Encodes JSON with a gap for the resourceVersion, and the position of the gap.
pub(crate) fn encode_stored(object: &Object) -> store::Value {
    let mut text = Vec::with_capacity(4096);
    put(&mut text, b"{\"kind\":", &object["kind"]);
    put(&mut text, b",\"apiVersion\":", &object["apiVersion"]);
    text.push(b',');
    text.extend_from_slice(REVISION_KEY.as_bytes());
    let revision_at = text.len();
    text.push(b'"');
    for (name, value) in object.meta().into_iter().flatten() {
        if name != "resourceVersion" && name != "selfLink" {
            put_field(&mut text, name, value);
        }
    }
    text.push(b'}');
    for (name, value) in object.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
            put_field(&mut text, name, value);
        }
    }
    text.push(b'}');
    store::Value { bytes: Bytes::from(text), revision_at }
}

fn put_field(text: &mut Vec<u8>, name: &str, value: &Value) {
    put(text, b",", name);
    put(text, b":", value);
}

fn put(text: &mut Vec<u8>, before: &[u8], value: &(impl Serialize + ?Sized)) {
    text.extend_from_slice(before);
    // Values and names can always be encoded as JSON, and a vector accepts any length.
    let _ = serde_json::to_writer(text, value);
}

impl Server {
    /// Returns true if an object would be stored otherwise now, although nothing of it has changed.
    /// `object` is `entry` in the kind's version.
    pub(crate) fn is_stale(&self, kind: &Kind, entry: &Entry, object: &Object) -> bool {
        let custom = kind.custom.as_deref();
        custom.is_some_and(|custom| !custom.is_stored(&entry.bytes, object))
            || self.storage.encryption().is_some() && {
                let prefix = prefix(kind.stored_group(), kind.resource);
                self.storage.is_stale(&key(&prefix, entry.namespace(), entry.name()))
            }
    }

    /// Commits `object` (of the kind's own version) and sets its resourceVersion.
    ///
    /// When this returns, reads see the write.
    pub(crate) async fn commit(
        &self,
        kind: &Kind,
        object: &mut Object,
        expect: Expect,
    ) -> Result<(), Failure> {
        let converted = conversion::stored(self, kind, object).await.map_err(Failure::Refused)?;
        let op = {
            let unconverted = || kind.custom.as_ref().and_then(|custom| custom.to_stored(object));
            let value = match kind.conversion {
                None => match converted.or_else(unconverted) {
                    Some(stored) => encode_stored(&stored),
                    None => encode_stored(object),
                },
                Some(conversion) => {
                    let mut stored = object.clone();
                    (conversion.to_stored)(&mut stored);
                    let (group, version) = (conversion.group, conversion.version);
                    if let Some(kind) = registry::find(group, version, kind.resource) {
                        kind.write_zeros(&mut stored);
                    }
                    encode_stored(&stored)
                }
            };
            check_storable(object, &value)?;
            let prefix = prefix(kind.stored_group(), kind.resource);
            Op { key: key(&prefix, object.namespace(), object.name()), expect, value: Some(value) }
        };
        let revision = self.commit_op(op).await?;
        object.set_meta("resourceVersion", revision.to_string().into());
        Ok(())
    }

    /// Removes an object if it is at `revision`.
    pub(crate) async fn remove(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        revision: Revision,
    ) -> Result<Revision, Failure> {
        let prefix = prefix(kind.stored_group(), kind.resource);
        let op =
            Op { key: key(&prefix, namespace, name), expect: Expect::At(revision), value: None };
        self.commit_op(op).await
    }

    async fn commit_op(&self, op: Op) -> Result<Revision, Failure> {
        match self.storage.commit(op).await {
            Ok(revision) => {
                self.cache.wait_for(revision).await;
                Ok(revision)
            }
            Err(WriteError::Store(CommitError::Conflict(at))) => {
                // The winning write must be visible before a retry.
                if let Some(at) = at {
                    self.cache.wait_for(at).await;
                }
                Err(Failure::Conflict)
            }
            Err(WriteError::Store(CommitError::Full(why))) => {
                Err(Failure::Refused(Status::generic(
                    507,
                    "InsufficientStorage",
                    format!("the store has no space left: {why}"),
                )))
            }
            Err(WriteError::Store(CommitError::Failed(why))) => Err(Failure::Refused(
                Status::service_unavailable(format!("the store has failed: {why}")),
            )),
            Err(WriteError::Seal(why)) => Err(Failure::Refused(Status::internal(why.to_string()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stored_bytes_read_back_with_the_revision() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a\"b", "resourceVersion": "1"}, "data": {"k": "v\n"},
        });
        let stored = encode_stored(&object);
        let mut text = stored.bytes.to_vec();
        text.splice(stored.revision_at..stored.revision_at, *b"42");
        let mut back: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(back.resource_version(), "42");
        back.set_meta("resourceVersion", "1".into());
        assert_eq!(back, object);
    }
}

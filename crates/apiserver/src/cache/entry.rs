//! One committed state of an object, shared by every reader.

use std::sync::{Arc, OnceLock};

use apimachinery::codec::protobuf;
use apimachinery::schema::Type;
use apimachinery::{Object, ObjectExt};
use bytes::{BufMut, Bytes, BytesMut};
use store::Revision;

use super::parts::{self, Paths};
use crate::registry::Selectable;

/// The JSON that precedes the revision in every stored object.
pub(crate) const REVISION_KEY: &str = r#""metadata":{"resourceVersion":""#;

/// An immutable committed object: its bytes, and the fields that selectors use.
pub(crate) struct Entry {
    /// JSON with the resourceVersion inside.
    pub(crate) bytes: Bytes,
    pub(crate) revision: Revision,
    revision_at: u32,
    /// Length of the namespace within `path`; zero when cluster-scoped.
    namespace_len: u32,
    /// `namespace/name`, or `name`.
    path: Arc<str>,
    labels: Box<[(Box<str>, Box<str>)]>,
    fields: Box<[Box<str>]>,
    selectable: &'static [Selectable],
    raw_protobuf: OnceLock<Bytes>,
}

impl Entry {
    pub(crate) fn new(
        path: &str,
        bytes: Bytes,
        revision_at: usize,
        revision: Revision,
        selectable: &'static [Selectable],
        read: &Paths,
    ) -> Result<Self, serde_json::Error> {
        let object = parts::read(&bytes, read)?;
        let labels = object.labels().map(|(k, v)| (k.into(), v.into())).collect();
        let fields = selectable.iter().map(|s| s.read(&object).into()).collect();
        Ok(Self {
            bytes,
            revision,
            revision_at: revision_at as u32,
            namespace_len: path.find('/').unwrap_or(0) as u32,
            path: path.into(),
            labels,
            fields,
            selectable,
            raw_protobuf: OnceLock::new(),
        })
    }

    /// The same state as another object, into which it was converted.
    pub(crate) fn converted(&self, object: &Object) -> Result<Self, serde_json::Error> {
        let store::Value { bytes, revision_at } = crate::verbs::encode_stored(object);
        let revision = self.revision.to_string();
        let mut text = BytesMut::with_capacity(bytes.len() + revision.len());
        text.put_slice(&bytes[..revision_at]);
        text.put_slice(revision.as_bytes());
        text.put_slice(&bytes[revision_at..]);
        let read = Self::paths(self.selectable);
        let (selectable, bytes) = (self.selectable, text.freeze());
        Self::new(&self.path, bytes, revision_at, self.revision, selectable, &read)
    }

    /// The same state with the values of other fields.
    pub(super) fn read_again(
        &self,
        selectable: &'static [Selectable],
        read: &Paths,
    ) -> Result<Self, serde_json::Error> {
        let (bytes, at) = (self.bytes.clone(), self.revision_at as usize);
        Self::new(&self.path, bytes, at, self.revision, selectable, read)
    }

    /// Fields read from each object when it arrives.
    pub(super) fn paths(selectable: &'static [Selectable]) -> Paths {
        let labels: &[&str] = &["metadata", "labels"];
        std::iter::once(labels).chain(selectable.iter().flat_map(Selectable::paths)).collect()
    }

    pub(crate) fn path(&self) -> &Arc<str> {
        &self.path
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.path[..self.namespace_len as usize]
    }

    pub(crate) fn name(&self) -> &str {
        match self.namespace_len as usize {
            0 => &self.path,
            n => &self.path[n + 1..],
        }
    }

    /// The labels, in key order.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(k, v)| (&**k, &**v))
    }

    /// The value of a label.
    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels().find(|(own, _)| *own == key).map(|(_, value)| value)
    }

    /// The value of a selectable field; `None` if the kind does not select by it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(self.name()),
            "metadata.namespace" => Some(self.namespace()),
            _ => self.selectable.iter().position(|s| s.name == name).map(|i| &*self.fields[i]),
        }
    }

    /// Decodes the object.
    pub(crate) fn object(&self) -> Object {
        // The bytes were parsed when the entry was made. If they were not JSON after all, a failed
        // request is better than an empty object.
        serde_json::from_slice(&self.bytes).expect("an entry holds JSON")
    }

    /// The same state at a later revision, as a deletion reports it.
    pub(crate) fn at(&self, revision: Revision) -> Self {
        let at = self.revision_at as usize;
        let digits = self.bytes[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut bytes = BytesMut::with_capacity(self.bytes.len() + 4);
        bytes.put_slice(&self.bytes[..at]);
        bytes.put_slice(revision.to_string().as_bytes());
        bytes.put_slice(&self.bytes[at + digits..]);
        Self {
            bytes: bytes.freeze(),
            revision,
            revision_at: self.revision_at,
            namespace_len: self.namespace_len,
            path: self.path.clone(),
            labels: self.labels.clone(),
            fields: self.fields.clone(),
            selectable: self.selectable,
            raw_protobuf: OnceLock::new(),
        }
    }

    /// The protobuf form without envelope, as in a list; encoded on first use and cached. `ty` must
    /// be the type of the object.
    pub(crate) fn raw_protobuf(&self, ty: &Type) -> &Bytes {
        self.raw_protobuf.get_or_init(|| protobuf::encode_raw(ty, &self.object()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_makes_no_entry() {
        for bad in ["", "null", "{\"metadata\":"] {
            let made = Entry::new("ns/x", Bytes::from(bad), 0, 7, &[], &Entry::paths(&[]));
            assert!(made.is_err(), "{bad}");
        }
    }

    #[test]
    fn a_deletion_carries_its_own_revision() {
        let text = format!(r#"{{"kind":"X",{REVISION_KEY}7","labels":{{"a":"b"}}}}}}"#);
        let at = text.find(REVISION_KEY).unwrap() + REVISION_KEY.len();
        let entry = Entry::new("ns/x", Bytes::from(text), at, 7, &[], &Entry::paths(&[])).unwrap();
        assert_eq!((entry.namespace(), entry.name()), ("ns", "x"));
        let gone = entry.at(1234);
        assert_eq!(gone.object().resource_version(), "1234");
        assert_eq!(gone.labels().collect::<Vec<_>>(), [("a", "b")]);
    }
}

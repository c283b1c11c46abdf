//! Files of `apiserver.config.k8s.io`: configurations of parts of the server.

use std::sync::Arc;

use apimachinery::codec::{Duplicate, yaml};
use apimachinery::schema::{Gvk, Type};
use apimachinery::text::quote;
use apimachinery::{ObjectExt, validate};
use serde_json::Value;

const GROUP: &str = "apiserver.config.k8s.io";

/// A kind of configuration, whose versions have the same fields.
pub(crate) struct FileKind {
    kind: &'static str,
    /// The newest first.
    versions: &'static [&'static str],
    shape: Arc<Type>,
}

/// Why a text cannot be decoded. The text itself, which may hold secrets, is not in it.
#[derive(Debug)]
pub(crate) enum Malformed {
    /// It does not say of which kind it is: the name of the field.
    Unnamed(&'static str),
    Otherwise(String),
}

impl Malformed {
    /// The reason in upstream's words, which may quote the text.
    pub(crate) fn of(self, text: &str) -> String {
        match self {
            Self::Unnamed(field) => format!("Object '{field}' is missing in '{text}'"),
            Self::Otherwise(why) => why,
        }
    }
}

impl FileKind {
    /// `shape` is the OpenAPI schema of its fields.
    pub(crate) fn new(
        kind: &'static str,
        versions: &'static [&'static str],
        shape: &Value,
    ) -> Self {
        let newest = versions.first().copied().unwrap_or_default();
        let gvk = Gvk { group: GROUP.into(), version: newest.into(), kind: kind.into() };
        Self { kind, versions, shape: Type::custom(gvk, kind, shape) }
    }

    /// Reads the text of a file, whose fields are known and of their types.
    ///
    /// # Errors
    /// They are not, or the text is of another kind.
    pub(crate) fn decode(&self, text: &str) -> Result<Value, Malformed> {
        let (mut value, duplicates) =
            yaml::decode(text.as_bytes()).map_err(|why| Malformed::Otherwise(why.message))?;
        let (version, kind) = (value.api_version(), value.kind());
        let known = version
            .split_once('/')
            .is_some_and(|(group, version)| group == GROUP && self.versions.contains(&version));
        if kind.is_empty() || version.is_empty() {
            return Err(Malformed::Unnamed(if kind.is_empty() { "Kind" } else { "apiVersion" }));
        }
        if !known || kind != self.kind {
            let (kind, version) = (quote(kind), quote(version));
            return Err(Malformed::Otherwise(format!(
                "no kind {kind} is registered for version {version} in scheme \
                 \"pkg/runtime/scheme.go:111\""
            )));
        }
        let mut findings = Duplicate::complaints(&duplicates);
        if value.get("metadata").is_some() {
            findings.push("unknown field \"metadata\"".to_owned());
        }
        let unknown = validate::unknown_fields(&self.shape, &mut value);
        findings.extend(unknown.map_err(|why| Malformed::Otherwise(why.to_string()))?);
        if !findings.is_empty() {
            return Err(Malformed::Otherwise(format!(
                "strict decoding error: {}",
                findings.join(", ")
            )));
        }
        Ok(value)
    }
}

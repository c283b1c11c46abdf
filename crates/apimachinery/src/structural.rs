//! Objects of custom kinds against the structural schema of their definition's version.
//!
//! A schema is parsed once into a tree of [`node::Node`]s; each job walks that tree beside the
//! object: `prune` and `coerce` on the way in, `default`, then `check` with `lists` and `embedded`.
//! Rules in CEL (`x-kubernetes-validations`) would be one more walk after those of
//! [`Schema::validate`] and [`Schema::validate_status`], which runs only if that found no error that hides values from rules.

mod check;
mod coerce;
mod compose;
mod correlate;
mod default;
mod embedded;
mod enumeration;
mod format;
mod lists;
mod node;
mod number;
mod outcome;
mod pattern;
mod place;
mod prune;

#[cfg(test)]
mod tests;

use crate::field::{ErrorList, FieldError, Path};
use crate::validate::Misfit;
use coerce::Coercion;
use node::Node;
use serde_json::Value;

/// Maximum total size of the messages that one walk collects: each repeats a path, which may be as
/// long as the object.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// A structural schema, ready for use.
#[derive(Debug)]
pub struct Schema {
    root: Node,
}

/// Metadata that cannot be read as what it has to be.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// The object's own metadata.
    #[error(transparent)]
    Metadata(#[from] Misfit),
    /// The `apiVersion`, `kind` or `metadata` of an embedded resource.
    #[error(transparent)]
    Embedded(#[from] Box<FieldError>),
}

impl Schema {
    /// The schema of an `openAPIV3Schema`, which is known to be structural.
    #[must_use]
    pub fn parse(schema: &Value) -> Self {
        let mut root = Node::parse(schema);
        root.prune_defaults();
        Self { root }
    }

    /// Reads an object that a client sent: drops unspecified fields and nulls that are no values,
    /// and returns the findings of strict decoding, in order.
    ///
    /// # Errors
    /// Metadata of the object, or of a resource embedded in it, of the wrong type.
    pub fn decode(&self, object: &mut Value) -> Result<Vec<String>, Malformed> {
        self.read(object, Coercion::Refuse)
    }

    /// Reads an object that was stored, perhaps under another schema: like [`Schema::decode`], but
    /// metadata of the wrong type is dropped.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        self.read(object, Coercion::Drop).unwrap_or_default()
    }

    fn read(&self, object: &mut Value, coercion: Coercion) -> Result<Vec<String>, Malformed> {
        let mut unknown = coerce::root(object, coercion)?;
        unknown.extend(prune::prune(&self.root, object));
        default::drop_nulls_of_object(&self.root, object);
        unknown.extend(coerce::embedded(&self.root, object, coercion)?);
        for field in &mut unknown {
            *field = format!("unknown field \"{field}\"");
        }
        Ok(unknown)
    }

    /// Fills in defaults, in place of fields that are absent, or null without being nullable. A
    /// null that is not nullable and has no default is dropped.
    pub fn default(&self, object: &mut Value) {
        default::drop_nulls_of_object(&self.root, object);
        default::fill(&self.root, object);
    }

    /// Returns true if [`Schema::default`] may add anything.
    #[must_use]
    pub fn has_defaults(&self) -> bool {
        self.root.has_defaults
    }

    /// The errors of an object, on update without those of what has not changed since `old`.
    #[must_use]
    pub fn validate(&self, object: &Value, old: Option<&Value>) -> ErrorList {
        let mut errors = check::check(&self.root, object, old, Path::root());
        errors.extend(embedded::check(&self.root, object));
        errors.extend(self.new_repetitions(object, old));
        errors
    }

    /// The errors of an update of the status alone: only that is checked, but for lists with
    /// repeated items.
    #[must_use]
    pub fn validate_status(&self, object: &Value, old: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        if let (Some(node), Some(status)) =
            (self.root.properties.get("status"), object.get("status"))
        {
            let old = old.get("status").unwrap_or(&Value::Null);
            errors.extend(check::check(node, status, Some(old), Path::new("status")));
        }
        errors.extend(self.new_repetitions(object, Some(old)));
        errors
    }

    /// Repeated items. If the old object had any, they are no reason to refuse the new one.
    fn new_repetitions(&self, object: &Value, old: Option<&Value>) -> ErrorList {
        match old.is_some_and(|old| !lists::check(&self.root, old).is_empty()) {
            true => ErrorList::new(),
            false => lists::check(&self.root, object),
        }
    }
}

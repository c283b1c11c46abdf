//! Structural schemas of custom resources.

use serde_json::Value;

use crate::field::ErrorList;

/// A structural schema.
pub struct Schema;

impl Schema {
    /// Reads it.
    #[must_use]
    pub fn parse(_schema: &Value) -> Self {
        Self
    }
    /// Drops unspecified fields.
    pub fn prune(&self, _object: &mut Value) -> Vec<String> {
        Vec::new()
    }
    /// Fills in defaults.
    pub fn default(&self, _object: &mut Value) {}
    /// Returns true if there are defaults.
    #[must_use]
    pub fn has_defaults(&self) -> bool {
        false
    }
    /// Errors of an object.
    #[must_use]
    pub fn validate(&self, _object: &Value, _old: Option<&Value>) -> ErrorList {
        ErrorList::new()
    }
}

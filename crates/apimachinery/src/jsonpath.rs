//! JSONPath of columns.

use serde_json::Value;

/// A path.
pub struct JsonPath(Vec<String>);

/// It cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("bad path")]
pub struct Error;

impl JsonPath {
    /// Reads it.
    ///
    /// # Errors
    /// It is no path.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self(text.trim_start_matches('.').split('.').map(str::to_owned).collect()))
    }
    /// Finds it.
    #[must_use]
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let found = self.0.iter().try_fold(value, |v, step| v.get(step));
        found.into_iter().collect()
    }
}

//! All types of one API, found by name or kind.

use super::model::Type;
use std::sync::Arc;

/// A set of types.
#[derive(Debug, Default)]
pub struct Registry {}

impl Registry {
    /// The types of Kubernetes itself.
    #[must_use]
    pub fn builtin() -> &'static Self {
        todo!()
    }

    /// The type of a kind of object.
    #[must_use]
    pub fn lookup(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Type>> {
        let _ = (group, version, kind);
        todo!()
    }

    /// The type of that OpenAPI name, for example `io.k8s.api.core.v1.Pod`.
    #[must_use]
    pub fn type_by_name(&self, name: &str) -> Option<&Arc<Type>> {
        let _ = name;
        todo!()
    }

    /// All types, sorted by name.
    pub fn types(&self) -> impl Iterator<Item = &Arc<Type>> {
        std::iter::empty()
    }
}

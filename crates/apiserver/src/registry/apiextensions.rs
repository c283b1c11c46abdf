//! The apiextensions.k8s.io group: definitions are stored; serving what they define comes later.

use super::Sub;
use super::column::{CREATED_AT, NAME};
use super::kind::Kind;

pub(super) static KINDS: &[Kind] = &[Kind::new(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
)
.short(&["crd", "crds"])
.categories(&["api-extensions"])
.subs(&[Sub::Status])
.generation()
.columns(&[NAME, CREATED_AT])];

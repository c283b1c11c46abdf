//! The node.k8s.io group.

use super::column::{AGE, Column, NAME};
use super::kind::Kind;

pub(super) static KINDS: &[Kind] =
    &[Kind::new("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass").columns(&[
        NAME,
        Column::text_or("Handler", &["handler"], ""),
        AGE,
    ])];

//! The coordination.k8s.io group.

use super::column::{AGE, Column, NAME};
use super::kind::Kind;

pub(super) static KINDS: &[Kind] =
    &[Kind::new("coordination.k8s.io", "v1", "Lease", "leases", "lease").namespaced().columns(&[
        NAME,
        Column::text_or("Holder", &["spec", "holderIdentity"], ""),
        AGE,
    ])];

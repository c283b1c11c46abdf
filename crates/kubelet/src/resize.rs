//! Resizing running pods in place (KEP-1287).
//!
//! A pod has its resources in three forms: those its spec wants, those the node has allocated to
//! it, and those its containers were last given. The pod manager makes the second follow the first
//! as far as the node's room goes; the pod's worker makes the third follow the second. Everything
//! but that decision sees a pod with its allocated resources.

pub(crate) mod actuate;
pub(crate) mod amounts;
pub(crate) mod changes;
pub(crate) mod fit;
pub(crate) mod ledger;
pub(crate) mod mark;

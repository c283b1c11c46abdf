//! Costs of expressions: cel-go's units, with Kubernetes' costs for its own functions.

mod estimate;
mod functions;
mod size;
mod track;

pub(crate) use estimate::estimate;
pub use size::Estimate;
pub(crate) use track::Rule;

/// To go through text once costs this for each code point.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// To apply a pattern costs this for each of its code points.
pub(crate) const PATTERN: f64 = 0.25;
/// An authorization check costs so much that an expression can have two.
pub(crate) const CHECK: u64 = 350_000;
/// The longest pattern of a named format.
pub(crate) const MAX_FORMAT_PATTERN: f64 = 128.0;

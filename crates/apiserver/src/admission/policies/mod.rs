//! Admission policies: administrators' expressions that judge writes (ValidatingAdmissionPolicy,
//! KEP-3488) or change them (MutatingAdmissionPolicy, KEP-3962).

mod annotations;
mod invocations;
mod mutating;
mod mutations;
mod params;
mod source;
mod validating;
mod validations;
mod variables;

pub(super) use mutating::MutatingPolicies;
pub(super) use validating::ValidatingPolicies;

use mutations::Mutations;
use source::Source;
use validating::Validations;

/// All policies.
#[derive(Default)]
pub(crate) struct Policies {
    validating: Source<Validations>,
    mutating: Source<Mutations>,
}

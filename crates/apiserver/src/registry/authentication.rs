//! The authentication.k8s.io group: every kind is a question (`verbs::review` answers).

use super::kind::Kind;

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("authentication.k8s.io", "v1", kind, resource, singular).computed()
}

pub(super) static KINDS: &[Kind] = &[
    row("SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview"),
    row("TokenReview", "tokenreviews", "tokenreview"),
];

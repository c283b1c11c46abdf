//! The authorization.k8s.io group: every kind is a question (`verbs::review` answers).

use super::kind::Kind;

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("authorization.k8s.io", "v1", kind, resource, singular).computed()
}

pub(super) static KINDS: &[Kind] = &[
    row("LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview")
        .namespaced(),
    row("SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview"),
    row("SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview"),
    row("SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview"),
];

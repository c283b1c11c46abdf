//! The rbac.authorization.k8s.io group. Escalation is checked in `authz::escalation`.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::check::{Field, check, check_label_selector, selector_of};
use super::column::{AGE, CREATED_AT, Column, NAME, join};
use super::kind::Kind;
use super::strategy::{Strategy, ensure, items_mut, set_default};

const GROUP: &str = "rbac.authorization.k8s.io";

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new(GROUP, "v1", kind, resource, singular)
}

fn role(object: &Value) -> Value {
    format!("{}/{}", object.str_at(&["roleRef", "kind"]), object.str_at(&["roleRef", "name"]))
        .into()
}

fn subjects(object: &Value, kind: &str) -> Value {
    let subjects = object["subjects"].as_array().into_iter().flatten();
    let text = join(subjects.filter(|s| s["kind"] == kind).map(|s| match kind {
        "ServiceAccount" => format!("{}/{}", s.str_at(&["namespace"]), s.str_at(&["name"])),
        _ => s.str_at(&["name"]).to_owned(),
    }));
    if text == "<none>" { "".into() } else { text }
}

const BINDING: &[Column] = &[
    NAME,
    Column::make("Role", role),
    AGE,
    Column::make("Users", |o| subjects(o, "User")),
    Column::make("Groups", |o| subjects(o, "Group")),
    Column::make("ServiceAccounts", |o| subjects(o, "ServiceAccount")),
];

pub(super) static KINDS: &[Kind] = &[
    row("ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding")
        .strategy(&Binding { namespaced: false })
        .columns(BINDING),
    row("ClusterRole", "clusterroles", "clusterrole")
        .strategy(&Role { namespaced: false })
        .columns(&[NAME, CREATED_AT]),
    row("RoleBinding", "rolebindings", "rolebinding")
        .namespaced()
        .strategy(&Binding { namespaced: true })
        .columns(BINDING),
    row("Role", "roles", "role")
        .namespaced()
        .strategy(&Role { namespaced: true })
        .columns(&[NAME, CREATED_AT]),
];

struct Binding {
    namespaced: bool,
}

impl Strategy for Binding {
    fn create_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        let role = ensure(object, &["roleRef"]);
        if role.str_at(&["apiGroup"]).is_empty() {
            role["apiGroup"] = GROUP.into();
        }
        for subject in items_mut(object, "subjects") {
            if subject["kind"] == "User" || subject["kind"] == "Group" {
                set_default(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let role = object.at("roleRef");
            role.one_of("apiGroup", &[GROUP]);
            if self.namespaced {
                role.one_of("kind", &["Role", "ClusterRole"]);
            } else {
                role.one_of("kind", &["ClusterRole"]);
            }
            role.needs_valid("name", names::path_segment_name);
            object.items("subjects").for_each(|s| check_subject(&s, self.namespaced));
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            object.immutable_as("roleRef", old, "RoleRef");
        })
    }
}

fn check_subject(subject: &Field<'_>, namespaced: bool) {
    subject.needs("name");
    match subject.str("kind") {
        "ServiceAccount" => {
            subject.maybe_valid("name", names::dns1123_subdomain);
            subject.one_of("apiGroup", &[""]);
            if !namespaced {
                subject.needs("namespace");
            }
        }
        "User" | "Group" => subject.one_of("apiGroup", &[GROUP]),
        _ => subject.at("kind").not_supported(&["ServiceAccount", "User", "Group"]),
    }
}

struct Role {
    namespaced: bool,
}

impl Strategy for Role {
    fn create_on_update(&self) -> bool {
        true
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            object.items("rules").for_each(|rule| check_rule(&rule, self.namespaced));
            let Some(aggregation) = object.opt("aggregationRule") else { return };
            if aggregation.len("clusterRoleSelectors") == 0 {
                aggregation.at("clusterRoleSelectors").required(
                    "at least one clusterRoleSelector required if aggregationRule is non-nil",
                );
            }
            aggregation.items("clusterRoleSelectors").for_each(|s| {
                check_label_selector(&s);
                if selector_of(s.value()).is_none() {
                    s.invalid_value(Value::Null, "invalid label selector.");
                }
            });
        })
    }
}

fn check_rule(rule: &Field<'_>, namespaced: bool) {
    if rule.len("verbs") == 0 {
        rule.at("verbs").required("verbs must contain at least one value");
    }
    if rule.len("nonResourceURLs") > 0 {
        let urls = rule.at("nonResourceURLs");
        if namespaced {
            urls.invalid("namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|list| rule.len(list) > 0) {
            urls.invalid("rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    for (list, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        if rule.len(list) == 0 {
            rule.at(list).required(format!("resource rules must supply at least one {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn rules() {
        let role = subject(super::GROUP, "v1", "Role", json!({}));
        role.creates(&[
            (
                json!({"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}, {}]}),
                &[
                    "rules[1].verbs: Required value: verbs must contain at least one value",
                    "rules[1].apiGroups: Required value: resource rules must supply at least one api group",
                    "rules[1].resources: Required value: resource rules must supply at least one resource",
                ],
            ),
            (
                json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["a"]}]}),
                &[
                    "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                    "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
                ],
            ),
        ]);
        subject(super::GROUP, "v1", "ClusterRole", json!({})).creates(&[
            (json!({"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]}), &[]),
            (
                json!({"aggregationRule": {}}),
                &["aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"],
            ),
        ]);
    }

    #[test]
    fn bindings() {
        let base = json!({"roleRef": {"kind": "ClusterRole", "name": "view"}});
        let of = |kind| subject(super::GROUP, "v1", kind, base.clone());
        of("ClusterRoleBinding").creates(&[
            (json!({"subjects": [{"kind": "User", "name": "u"}]}), &[]),
            (
                json!({"roleRef": {"apiGroup": "x", "kind": "Role", "name": ""}, "subjects": [{"kind": "ServiceAccount", "name": "S"}, {"kind": "Robot", "name": ""}]}),
                &[
                    "roleRef.apiGroup: Unsupported value: \"x\": supported values: \"rbac.authorization.k8s.io\"",
                    "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                    "roleRef.name: Required value",
                    "subjects[0].name: Invalid value: \"S\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                    "subjects[0].namespace: Required value",
                    "subjects[1].name: Required value",
                    "subjects[1].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                ],
            ),
        ]);
        of("RoleBinding").updates(&[(
            json!({}),
            json!({"roleRef": {"name": "edit"}}),
            &["roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\"edit\"}: field is immutable"],
        )]);
    }
}

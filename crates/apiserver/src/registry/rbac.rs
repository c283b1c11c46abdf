//! The rbac.authorization.k8s.io group. Escalation is checked in `authz::escalation`.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::column::{AGE, CREATED_AT, Column, NAME, join};
use super::kind::Kind;
use super::strategy::{Context, PathName, Strategy, items_mut, set_default};

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
    Column::make("Users", |o| subjects(o, "User")).wide(),
    Column::make("Groups", |o| subjects(o, "Group")).wide(),
    Column::make("ServiceAccounts", |o| subjects(o, "ServiceAccount")).wide(),
];

pub(super) static KINDS: &[Kind] = &[
    row("ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding")
        .strategy(&Binding { namespaced: false })
        .columns(BINDING),
    row("ClusterRole", "clusterroles", "clusterrole")
        .strategy(&PathName)
        .columns(&[NAME, CREATED_AT]),
    row("RoleBinding", "rolebindings", "rolebinding")
        .namespaced()
        .strategy(&Binding { namespaced: true })
        .columns(BINDING),
    row("Role", "roles", "role").namespaced().strategy(&PathName).columns(&[NAME, CREATED_AT]),
];

struct Binding {
    namespaced: bool,
}

impl Strategy for Binding {
    fn default(&self, object: &mut Object) {
        if let Some(role) = object.get_mut("roleRef").filter(|r| r.is_object()) {
            set_default(role, "apiGroup", GROUP);
        }
        for subject in items_mut(object, "subjects") {
            if subject["kind"] != "ServiceAccount" {
                set_default(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("roleRef");
        let kinds: &[&str] =
            if self.namespaced { &["ClusterRole", "Role"] } else { &["ClusterRole"] };
        let kind = object.str_at(&["roleRef", "kind"]);
        if !kinds.contains(&kind) {
            errors.0.push(FieldError::not_supported(&path.child("kind"), kind, kinds));
        }
        if object.str_at(&["roleRef", "name"]).is_empty() {
            errors.0.push(FieldError::required(&path.child("name"), ""));
        }
        for (i, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
            let at = Path::new("subjects").index(i);
            if subject.str_at(&["name"]).is_empty() {
                errors.0.push(FieldError::required(&at.child("name"), ""));
            }
            const KINDS: &[&str] = &["Group", "ServiceAccount", "User"];
            let kind = subject.str_at(&["kind"]);
            if !KINDS.contains(&kind) {
                errors.0.push(FieldError::not_supported(&at.child("kind"), kind, KINDS));
            }
            if kind == "ServiceAccount"
                && !self.namespaced
                && subject.str_at(&["namespace"]).is_empty()
            {
                errors.0.push(FieldError::required(&at.child("namespace"), ""));
            }
        }
        errors
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        if object["roleRef"] != old["roleRef"] {
            errors.0.push(FieldError::invalid(
                &Path::new("roleRef"),
                object["roleRef"].clone(),
                "cannot change roleRef",
            ));
        }
        errors
    }
}

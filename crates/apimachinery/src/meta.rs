//! The rules of metadata that all kinds share.

use crate::field::{ErrorList, FieldError, Path};
use crate::{Object, ObjectExt, names};
use serde_json::Value;

/// Maximum total size of annotation keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Returns errors about an invalid name, or an invalid prefix of one.
pub type NameRule<'a> = dyn Fn(&str, bool) -> Vec<String> + 'a;

/// The rules that differ between kinds.
pub struct Rules<'a> {
    /// True if the object is stored by a name.
    pub needs_name: bool,
    /// True if the object is in a namespace.
    pub is_namespaced: bool,
    /// Names that are valid.
    pub names: &'a NameRule<'a>,
}

/// Validates the metadata of an object, which is at `meta`.
#[must_use]
pub fn validate(object: &Object, meta: &Path, rules: &Rules<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let generate = object.str_at(&["metadata", "generateName"]);
    if !generate.is_empty() {
        errors.invalid_all(&meta.child("generateName"), generate, (rules.names)(generate, true));
    }
    if !object.name().is_empty() {
        errors.invalid_all(&meta.child("name"), object.name(), (rules.names)(object.name(), false));
    } else if rules.needs_name {
        errors.push(FieldError::required(&meta.child("name"), "name or generateName is required"));
    }
    if rules.is_namespaced {
        if object.namespace().is_empty() {
            errors.push(FieldError::required(&meta.child("namespace"), ""));
        } else {
            let messages = names::dns1123_label(object.namespace());
            errors.invalid_all(&meta.child("namespace"), object.namespace(), messages);
        }
    }
    if object.generation() < 0 {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(&meta.child("generation"), object.generation(), detail));
    }
    validate_maps(&mut errors, object, meta);
    validate_finalizers(&mut errors, object, &meta.child("finalizers"));
    errors
}

/// Validates labels, annotations and owners.
pub fn validate_maps(errors: &mut ErrorList, object: &Object, meta: &Path) {
    for (key, value) in object.labels() {
        let at = meta.child("labels");
        errors.invalid_all(&at, key, names::qualified_name(key));
        errors.invalid_all(&at, value, names::label_value(value));
    }
    let mut size = 0;
    for (key, value) in object.annotations() {
        let messages = names::qualified_name(&key.to_lowercase());
        errors.invalid_all(&meta.child("annotations"), key, messages);
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        errors.push(FieldError::too_long(&meta.child("annotations"), MAX_ANNOTATIONS));
    }
    validate_owners(errors, object, &meta.child("ownerReferences"));
}

fn validate_finalizers(errors: &mut ErrorList, object: &Object, path: &Path) {
    let finalizers: Vec<&str> = object.finalizers().collect();
    for finalizer in &finalizers {
        errors.invalid_all(path, finalizer, names::qualified_name(finalizer));
    }
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        errors.push(FieldError::invalid(
            path,
            finalizers.clone(),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

/// An owner as Go prints it.
fn show_owner(owner: &Value) -> String {
    let text = |field: &str| format!("\"{field}\":{}", Value::from(owner.str_at(&[field])));
    let mut fields: Vec<String> = ["apiVersion", "kind", "name", "uid"].map(text).to_vec();
    for field in ["controller", "blockOwnerDeletion"] {
        if !owner[field].is_null() {
            fields.push(format!("\"{field}\":{}", owner[field]));
        }
    }
    format!("{{{}}}", fields.join(","))
}

fn validate_owners(errors: &mut ErrorList, object: &Object, path: &Path) {
    let mut controller: Option<String> = None;
    for (i, owner) in object.owner_references().enumerate() {
        let own = path.index(i);
        let (version, kind) = (owner.str_at(&["apiVersion"]), owner.str_at(&["kind"]));
        let names_no_version = version.matches('/').count() > 1 || version.ends_with('/');
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner.str_at(&[field]).is_empty() {
                errors.push(FieldError::required(&own.child(field), "must not be empty"));
            } else if field == "apiVersion" && names_no_version {
                let why = "must be <group>/<version> or <version>";
                errors.push(FieldError::invalid(&own.child(field), version, why));
            }
        }
        if (version, kind) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            let error = FieldError::invalid_omitted(&own, detail);
            errors.push(error.showing(show_owner(owner)));
        }
        if owner["controller"] == true {
            let name = format!("{kind}/{}", owner.str_at(&["name"]));
            let Some(first) = &controller else {
                controller = Some(name);
                continue;
            };
            let all: Vec<String> = object.owner_references().map(show_owner).collect();
            let detail = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references \
                 for {first} and {name}"
            );
            let error = FieldError::invalid_omitted(path, detail);
            errors.push(error.showing(format!("[{}]", all.join(","))));
        }
    }
}

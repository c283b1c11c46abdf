//! ObjectMeta: what the server fills in, and what a client may not change.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::schema::{self, Registry};
use apimachinery::{Object, ObjectExt, Status, names, time};
use rand::Rng;
use serde_json::Value;

use super::Call;
use crate::registry::Kind;

/// Largest sum of annotation keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;
/// Metadata that only the server writes.
const SERVER_OWNED: &[&str] =
    &["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// Puts the namespace of the path into the object.
pub(super) fn place(call: &Call<'_>, object: &mut Object) -> Result<(), Status> {
    if !object["metadata"].is_object() && !object["metadata"].is_null() {
        return Err(Status::bad_request("metadata must be an object"));
    }
    let given = object.namespace();
    if call.kind.namespaced {
        if given.is_empty() {
            object.set_meta("namespace", call.info.namespace.clone().into());
        } else if given != call.info.namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    } else if !given.is_empty() {
        object.set_meta("namespace", Value::Null);
    }
    Ok(())
}

/// Times that were never set are null, and not absent.
pub(super) fn write_null_times(kind: &Kind, object: &mut Object) {
    if let Some(ty) = Registry::builtin().lookup(kind.group, kind.version, kind.kind) {
        schema::write_null_times(ty, object);
    }
}

/// Readies the metadata of a new object.
pub(super) fn fill_new(object: &mut Object, kind: &Kind) {
    for field in SERVER_OWNED.iter().chain(&["selfLink", "resourceVersion"]) {
        object.set_meta(field, Value::Null);
    }
    if object.name().is_empty() {
        let base = object.str_at(&["metadata", "generateName"]).to_owned();
        if !base.is_empty() {
            let name = names::generate_name(&base, rand::rng().random());
            object.set_meta("name", name.into());
        }
    }
    object.set_meta("creationTimestamp", time::now_rfc3339().into());
    object.set_meta("uid", uuid::Uuid::new_v4().to_string().into());
    if kind.generation {
        object.set_meta("generation", 1.into());
    }
}

/// Carries over what the server owns from the old object.
pub(super) fn keep_old(object: &mut Object, old: &Object) {
    for field in SERVER_OWNED {
        let value = old.get_path(&["metadata", field]).cloned().unwrap_or(Value::Null);
        object.set_meta(field, value);
    }
    for field in ["name", "namespace", "generateName"] {
        if object.get_path(&["metadata", field]).is_none()
            && let Some(value) = old.get_path(&["metadata", field])
        {
            object.set_meta(field, value.clone());
        }
    }
    object.set_meta("selfLink", Value::Null);
}

/// Everything but metadata and status: a change of it raises the generation.
pub(super) fn spec_differs(new: &Object, old: &Object) -> bool {
    let own = |o: &Object| -> Vec<(String, Value)> {
        let fields = o.as_object().into_iter().flatten();
        fields
            .filter(|(k, _)| !matches!(k.as_str(), "metadata" | "status" | "apiVersion" | "kind"))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    own(new) != own(old)
}

/// Checks the metadata of any object.
pub(super) fn validate(kind: &Kind, object: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let meta = Path::new("metadata");
    let generate = object.str_at(&["metadata", "generateName"]);
    if object.name().is_empty() {
        if generate.is_empty() {
            errors.0.push(FieldError::required(
                &meta.child("name"),
                "name or generateName is required",
            ));
        }
    } else {
        errors.invalid_all(
            &meta.child("name"),
            object.name(),
            kind.strategy.validate_name(object.name()),
        );
    }
    if kind.namespaced {
        if object.namespace().is_empty() {
            errors.0.push(FieldError::required(&meta.child("namespace"), ""));
        } else {
            let messages = names::dns1123_label(object.namespace());
            errors.invalid_all(&meta.child("namespace"), object.namespace(), messages);
        }
    }
    for (key, value) in object.labels() {
        let at = meta.child("labels");
        errors.invalid_all(&at, key, names::qualified_name(key));
        errors.invalid_all(&at, value, names::label_value(value));
    }
    let mut size = 0;
    for (key, value) in object.annotations() {
        errors.invalid_all(
            &meta.child("annotations"),
            key,
            names::qualified_name(&key.to_lowercase()),
        );
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        errors.0.push(FieldError::too_long(&meta.child("annotations"), MAX_ANNOTATIONS));
    }
    for finalizer in object.finalizers() {
        let at = meta.child("finalizers");
        errors.invalid_all(&at, finalizer, names::qualified_name(finalizer));
        let standard = matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion");
        if !finalizer.contains('/') && !standard {
            errors.0.push(FieldError::invalid(
                &at,
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    validate_owners(&mut errors, object, &meta.child("ownerReferences"));
    errors
}

fn validate_owners(errors: &mut ErrorList, object: &Object, path: &Path) {
    let mut controller: Option<String> = None;
    for (i, owner) in object.owner_references().enumerate() {
        let at = path.index(i);
        for (field, message) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if owner.str_at(&[field]).is_empty() {
                errors.0.push(FieldError::invalid(&at.child(field), "", message));
            }
        }
        if owner["controller"] == true {
            let name = format!("{}/{}", owner.str_at(&["kind"]), owner.str_at(&["name"]));
            if let Some(first) = &controller {
                errors.0.push(FieldError::invalid(
                    path,
                    owner.clone(),
                    format!("Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"),
                ));
            }
            controller = Some(name);
        }
    }
}

/// Checks what an update may not do to the metadata.
pub(super) fn validate_update(object: &Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    let meta = Path::new("metadata");
    if old.deletion_timestamp().is_some() {
        let before: Vec<_> = old.finalizers().collect();
        let added: Vec<_> = object.finalizers().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let list =
                added.iter().map(|f| apimachinery::text::quote(f)).collect::<Vec<_>>().join(", ");
            errors.0.push(FieldError::forbidden(
                &meta.child("finalizers"),
                format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"),
            ));
        }
    }
    for field in ["name", "namespace"] {
        if object.get_path(&["metadata", field]) != old.get_path(&["metadata", field]) {
            let value = object.str_at(&["metadata", field]);
            errors.0.push(FieldError::invalid(&meta.child(field), value, "field is immutable"));
        }
    }
    errors
}

//! ObjectMeta: fields that the server fills in, and fields that a client may not change.

use std::collections::HashMap;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::meta::{self as metadata, NameRule};
use apimachinery::{Object, ObjectExt, Status, names, time};
use serde_json::Value;

use super::Call;
use crate::registry::Kind;

/// Metadata that only the server writes, and that a new object starts without.
const SERVER_OWNED: &[&str] =
    &["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"];
const IMMUTABLE: &str = "field is immutable";
const DUPLICATE_OWNERS: &str = ".metadata.ownerReferences contains duplicate entries; API server \
    dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix \
    your requests; duplicate UID(s) observed: ";

/// Sets the object's namespace to that of the path (upstream's
/// `EnsureObjectNamespaceMatchesRequestNamespace`).
pub(crate) fn place(kind: &Kind, namespace: &str, object: &mut Object) -> Result<(), Status> {
    if !object["metadata"].is_object() && !object["metadata"].is_null() {
        return Err(Status::bad_request("metadata must be an object"));
    }
    let given = object.namespace();
    if kind.namespaced {
        if given.is_empty() {
            object.set_meta("namespace", namespace.into());
        } else if given != namespace {
            return Err(Status::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    } else if !given.is_empty() {
        object.set_meta("namespace", Value::Null);
    }
    Ok(())
}

/// Removes fields that only the server writes.
pub(super) fn wipe(object: &mut Object) {
    for field in SERVER_OWNED.iter().chain(&["selfLink"]) {
        object.set_meta(field, Value::Null);
    }
}

/// Fills in the metadata of a new object.
pub(super) fn fill_new(object: &mut Object, kind: &Kind) {
    wipe(object);
    object.set_meta("resourceVersion", Value::Null);
    if object.name().is_empty() {
        let base = object.str_at(&["metadata", "generateName"]).to_owned();
        if !base.is_empty() {
            object.set_meta("name", kind.policy().generate_name(&base).into());
        }
    }
    object.set_meta("creationTimestamp", time::now_rfc3339().into());
    object.set_meta("uid", uuid::Uuid::new_v4().to_string().into());
    if kind.generation {
        object.set_meta("generation", kind.policy().first_generation());
    } else if object.generation() == 0 {
        object.set_meta("generation", Value::Null);
    }
}

/// Copies fields that the server owns from the old object. Deletion fields are only kept:
/// validation reports a client that sets them.
pub(super) fn keep_old(object: &mut Object, old: &Object) {
    let was = |field: &str| old.get_path(&["metadata", field]).cloned().unwrap_or(Value::Null);
    for field in ["creationTimestamp", "generation"] {
        object.set_meta(field, was(field));
    }
    if object.uid().is_empty() {
        object.set_meta("uid", was("uid"));
    }
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        if !was(field).is_null() {
            object.set_meta(field, was(field));
        }
    }
    for field in ["name", "namespace"] {
        if object.get_path(&["metadata", field]).is_none() && !was(field).is_null() {
            object.set_meta(field, was(field));
        }
    }
}

/// Removes owners that are repeated, and warns about them.
pub(super) fn drop_duplicate_owners(call: &Call<'_>, object: &mut Object) {
    let Some(owners) = object["metadata"].get_mut("ownerReferences").and_then(Value::as_array_mut)
    else {
        return;
    };
    let (mut kept, mut dropped): (Vec<Value>, Vec<String>) = (Vec::new(), Vec::new());
    // By uid, as in upstream: comparing all pairs would let one request take seconds.
    let mut places: HashMap<String, usize> = HashMap::new();
    for owner in owners.drain(..) {
        let uid = owner.str_at(&["uid"]).to_owned();
        match places.get(&uid) {
            Some(place) if kept[*place] == owner => dropped.push(uid),
            _ => {
                places.insert(uid, kept.len());
                kept.push(owner);
            }
        }
    }
    *owners = kept;
    if !dropped.is_empty() {
        call.warn([format!("{DUPLICATE_OWNERS}{}", dropped.join(", "))]);
    }
}

/// The naming rule of the kind.
fn own_names<'a>(kind: &'a Kind, object: &'a Object) -> impl Fn(&str, bool) -> Vec<String> + 'a {
    let strategy = kind.policy();
    move |name, is_prefix| match name.strip_suffix('-').and_then(|stem| stem.char_indices().last())
    {
        _ if is_prefix && !strategy.checks_generate_name() => Vec::new(),
        // Checked as in upstream: as if the last two characters were a valid one.
        Some((end, _)) if is_prefix => {
            strategy.validate_name_of(object, &format!("{}a", &name[..end]))
        }
        _ => strategy.validate_name_of(object, name),
    }
}

fn validate(kind: &Kind, object: &Object, names: &NameRule<'_>) -> ErrorList {
    let rules = metadata::Rules { needs_name: true, is_namespaced: kind.namespaced, names };
    metadata::validate(object, &Path::new("metadata"), &rules)
}

/// Finalizers of most kinds must be standard ones or have a domain.
fn validate_known_finalizers(errors: &mut ErrorList, object: &Object) {
    let path = Path::new("metadata").child("finalizers");
    for (i, finalizer) in object.finalizers().enumerate() {
        let standard = matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion");
        if !finalizer.contains('/') && !standard {
            errors.push(FieldError::invalid(
                &path.index(i),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

/// Validates the metadata of a new object.
pub(super) fn validate_new(kind: &Kind, object: &Object) -> ErrorList {
    let mut errors = validate(kind, object, &own_names(kind, object));
    if kind.rechecks.finalizers {
        validate_known_finalizers(&mut errors, object);
    }
    errors
}

/// Validates the metadata of an updated object with the rules of all kinds.
pub(super) fn validate_changed(kind: &Kind, object: &Object, old: &Object) -> ErrorList {
    let mut errors = validate(kind, object, &names::path_segment);
    errors.extend(validate_update(object, old));
    errors
}

/// Repeats the validation as often as upstream's validation of the kind does: first with the rules
/// of a new object, then with those of an update.
pub(super) fn recheck(kind: &Kind, object: &Object, old: &Object) -> [ErrorList; 2] {
    let [mut whole, mut change] = [ErrorList::new(), ErrorList::new()];
    for _ in 0..kind.rechecks.whole {
        whole.extend(validate_new(kind, object));
    }
    for _ in 0..kind.rechecks.change {
        change.extend(validate_update(object, old));
        if kind.rechecks.finalizers {
            validate_known_finalizers(&mut change, object);
        }
    }
    [whole, change]
}

/// Validates immutable metadata.
fn validate_update(object: &Object, old: &Object) -> ErrorList {
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
    let of = |object: &Object, field: &str| {
        object.get_path(&["metadata", field]).cloned().unwrap_or(Value::Null)
    };
    for field in ["name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let value = of(object, field);
        if value != of(old, field) {
            errors.push(FieldError::invalid(&meta.child(field), value, IMMUTABLE));
        }
    }
    metadata::validate_maps(&mut errors, object, &meta);
    errors
}

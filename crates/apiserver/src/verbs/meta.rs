//! ObjectMeta: fields that the server fills in, and fields that a client may not change.

use std::collections::HashMap;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, Status, names, time};
use serde_json::Value;

use super::Call;
use crate::registry::Kind;

/// Maximum total size of annotation keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;
/// Metadata that only the server writes, and that a new object starts without.
const SERVER_OWNED: &[&str] =
    &["creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds"];
const IMMUTABLE: &str = "field is immutable";
const DUPLICATE_OWNERS: &str = ".metadata.ownerReferences contains duplicate entries; API server \
    dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix \
    your requests; duplicate UID(s) observed: ";

/// Sets the object's namespace to that of the path.
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

/// Returns errors about an invalid name, or an invalid prefix of one.
type NameRule<'a> = dyn Fn(&str, bool) -> Vec<String> + 'a;

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

/// The naming rule of all kinds: a name is part of a path.
fn any_names(name: &str, is_prefix: bool) -> Vec<String> {
    if is_prefix { names::path_segment_prefix(name) } else { names::path_segment_name(name) }
}

/// Validates the metadata of any object.
fn validate(kind: &Kind, object: &Object, names_of: &NameRule<'_>) -> ErrorList {
    let mut errors = ErrorList::new();
    let meta = Path::new("metadata");
    let generate = object.str_at(&["metadata", "generateName"]);
    if !generate.is_empty() {
        errors.invalid_all(&meta.child("generateName"), generate, names_of(generate, true));
    }
    if object.name().is_empty() {
        errors.push(FieldError::required(&meta.child("name"), "name or generateName is required"));
    } else {
        errors.invalid_all(&meta.child("name"), object.name(), names_of(object.name(), false));
    }
    if kind.namespaced {
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
    validate_maps(&mut errors, object);
    validate_finalizers(&mut errors, object, &meta.child("finalizers"));
    errors
}

/// Validates labels, annotations and owners.
fn validate_maps(errors: &mut ErrorList, object: &Object) {
    let meta = Path::new("metadata");
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
    let mut errors = validate(kind, object, &any_names);
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
    for owner in object.owner_references() {
        let (version, kind) = (owner.str_at(&["apiVersion"]), owner.str_at(&["kind"]));
        // An unreadable version counts as empty.
        let readable = version.matches('/').count() < 2;
        let mut empty = |field: &str, message: &str, empty: bool| {
            if empty {
                let value = owner.str_at(&[field]);
                errors.push(FieldError::invalid(&path.child(field), value, message));
            }
        };
        let nothing = !readable || version.rsplit('/').next().unwrap_or_default().is_empty();
        empty("apiVersion", "version must not be empty", nothing);
        empty("kind", "must not be empty", kind.is_empty());
        empty("name", "must not be empty", owner.str_at(&["name"]).is_empty());
        empty("uid", "must not be empty", owner.str_at(&["uid"]).is_empty());
        if (version, kind) == ("v1", "Event") {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            let error = FieldError::invalid_omitted(path, detail);
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
    validate_maps(&mut errors, object);
    errors
}

//! PUT, and the guarded read-modify-write of every update.

use std::sync::Arc;

use apimachinery::apply;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, Status};
use http::{Response, StatusCode};
use serde_json::Value;
use store::Expect;

use super::commit::Failure;
use super::create::{Ownership, create_object, labelled, record};
use super::list_options::parse_version;
use super::{Call, delete, meta};
use crate::admission::{self, Operation};
use crate::body::Body;
use crate::cache::Entry;
use crate::encode::view;
use crate::registry::{self, Kind, Rechecks, Sub, items_mut};

/// Number of attempts of an unconditional write to a busy object.
const TRIES: usize = 64;

pub(super) async fn update(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let object = call.decode(body, call.expected()).await?;
    if !object.name().is_empty() && object.name() != call.info.name {
        return Err(wrong_name(object.name(), &call.info.name));
    }
    if object.name().is_empty() {
        return Err(wrong_name("", &call.info.name));
    }
    let exists = call.server.entry(&call.kind, &call.info.namespace, &call.info.name).is_some();
    if !exists && call.sub.is_none() && call.kind.policy().create_on_update() {
        let created = create_object(call, object, Ownership::Update).await?;
        return call.answer_written(StatusCode::CREATED, &created);
    }
    let unconditional = matches!(object.resource_version(), "" | "0");
    if exists && unconditional && !call.kind.policy().unconditional_update() {
        return Err(without_version(call));
    }
    let updated = change(call, |_| Ok((object.clone(), Ownership::Update))).await?;
    call.answer_written(StatusCode::OK, &updated)
}

/// The error for kinds that cannot be updated without a version.
pub(super) fn without_version(call: &Call<'_>) -> Status {
    let error = FieldError::invalid(
        &Path::new("metadata").child("resourceVersion"),
        0,
        "must be specified for an update",
    );
    let errors = ErrorList(vec![error]);
    Status::invalid(call.kind.group, call.kind.resource, &call.info.name, errors)
}

pub(super) fn wrong_name(given: &str, path: &str) -> Status {
    if given.is_empty() {
        return Status::bad_request(format!(
            "the name of the object ({path} based on URL) was undeterminable: name must be provided"
        ));
    }
    Status::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({path})"
    ))
}

/// The conflict that upstream reports for a stale resourceVersion.
pub(super) fn stale(call: &Call<'_>) -> Status {
    Status::conflict(
        call.kind.group,
        call.kind.resource,
        &call.info.name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )
}

/// Reads the object, lets `make` produce the new one, and commits it; retries if another writer was
/// faster and the client set no precondition on the version.
pub(super) async fn change(
    call: &Call<'_>,
    mut make: impl FnMut(&Object) -> Result<(Object, Ownership), Status>,
) -> Result<Object, Status> {
    for _ in 0..TRIES {
        let entry = call.own_entry().await?;
        let old = view(&call.kind, &entry);
        let (mut object, ownership) = make(&old)?;
        meta::place(&call.kind, &call.info.namespace, &mut object)?;
        if object.name() != old.name() && !object.name().is_empty() {
            return Err(wrong_name(object.name(), old.name()));
        }
        let insists = object.resource_version().to_owned();
        if !insists.is_empty() && insists != "0" {
            let wanted =
                parse_version(&insists).map_err(|why| Status::generic(500, "", why.detail))?;
            if wanted != entry.revision {
                return Err(stale(call));
            }
        }
        match attempt(call, &entry, &old, &mut object, ownership).await {
            Ok(()) => return Ok(object),
            Err(Failure::Refused(status)) => return Err(status),
            Err(Failure::Conflict) if !insists.is_empty() && insists != "0" => {
                return Err(stale(call));
            }
            Err(Failure::Conflict) => {}
        }
    }
    Err(stale(call))
}

async fn attempt(
    call: &Call<'_>,
    entry: &Arc<Entry>,
    old: &Object,
    object: &mut Object,
    ownership: Ownership,
) -> Result<(), Failure> {
    let kind = &*call.kind;
    let uid = object.uid();
    // A patch that changes the uid is refused by validation.
    if call.info.verb == "update" && !uid.is_empty() && uid != old.uid() {
        return Err(Failure::Refused(Status::conflict(
            kind.group,
            kind.resource,
            old.name(),
            format!(
                "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, \
                 AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object \
                 meta: {}",
                kind.storage_key(old),
                old.uid()
            ),
        )));
    }
    let errors = prepare(call, object, old, ownership).await.map_err(Failure::Refused)?;
    let prepared = call.sub.is_none() && errors.is_empty();
    let outcome = async {
        validate(call, object, old, errors)?;
        admission::validate(call, Operation::Update, Some(object), Some(old)).await?;
        object.set_meta("resourceVersion", entry.revision.to_string().into());
        apply::keep_times(object, old);
        if !call.dry_run() {
            object.set_meta("selfLink", Value::Null);
        }
        Ok(())
    };
    let outcome = match outcome.await {
        Err(status) => Err(Failure::Refused(status)),
        Ok(()) if call.dry_run() => Ok(false),
        // A write that changes nothing still brings the object into the form it is stored in now.
        Ok(()) if object == old && !call.server.is_stale(kind, entry, object) => Ok(false),
        Ok(()) => write(call, entry, object, old).await,
    };
    if prepared {
        let committed = matches!(outcome, Ok(true));
        let (kept, dropped) = if committed { (&*object, old) } else { (old, &*object) };
        kind.policy().after_update(&call.context(), kept, dropped);
    }
    outcome.map(drop)
}

/// Commits the update, or the deletion that it completes. Returns true if the object remains.
async fn write(
    call: &Call<'_>,
    entry: &Arc<Entry>,
    object: &mut Object,
    old: &Object,
) -> Result<bool, Failure> {
    let kind = &*call.kind;
    if delete::is_finished(object) {
        // The last finalizer was removed: this write is the deletion.
        call.server.remove(kind, old.namespace(), old.name(), entry.revision).await?;
        kind.policy().after_delete(&call.context(), old);
        return Ok(false);
    }
    call.stages.passed("validated");
    call.server.commit(kind, object, Expect::At(entry.revision)).await?;
    call.stages.passed("committed");
    Ok(true)
}

/// Defaults, admits and prepares an updated object. If the strategy returns errors, it has
/// allocated nothing.
async fn prepare(
    call: &Call<'_>,
    object: &mut Object,
    old: &Object,
    ownership: Ownership,
) -> Result<ErrorList, Status> {
    let kind = &*call.kind;
    let strategy = kind.policy();
    // Upstream declares no reset fields for these paths: their writers come to own the whole spec,
    // although only a part of it takes effect.
    let owns_the_wish = matches!(call.sub, Some(Sub::Resize | Sub::EphemeralContainers));
    if !owns_the_wish {
        keep_what_the_path_cannot_change(call, object, old);
    }
    kind.leave_out_empty(object);
    meta::keep_old(object, old);
    meta::drop_duplicate_owners(call, object);
    kind.write_missing(object);
    strategy.default(object);
    // A binding is made by the cluster: the pod still belongs to its writers.
    if ownership == Ownership::Update && call.sub != Some(Sub::Binding) {
        // Before admission: fields set by plugins have no owner.
        record(call, Some(old), object);
    }
    if owns_the_wish {
        keep_what_the_path_cannot_change(call, object, old);
    }
    admission::admit(call, Operation::Update, object, Some(old)).await?;
    call.stages.passed("admitted");
    let mut errors = ErrorList::new();
    // Bindings and status reports do not change the desired state.
    let counts = kind.generation && !matches!(call.sub, Some(Sub::Binding | Sub::Status));
    let raised_early =
        counts && strategy.raises_generation_early() && strategy.raises_generation(object, old);
    if call.sub.is_none() {
        registry::drop_disabled(kind, object, Some(old));
        errors = strategy.prepare_for_update(&call.context(), object, old);
        for path in strategy.kept_on_update() {
            match old.get_path(path) {
                Some(value) => object.set_path(path, value.clone()),
                None => {
                    object.remove_path(path);
                }
            }
        }
    }
    if matches!(call.sub, Some(Sub::Status | Sub::Approval)) {
        strategy.prepare_for_status(object, old);
    }
    kind.write_zeros(object);
    if raised_early || (counts && strategy.raises_generation(object, old)) {
        object.set_meta("generation", (old.generation() + 1).into());
    }
    Ok(errors)
}

/// Validates an updated object; `errors` were found before.
fn validate(
    call: &Call<'_>,
    object: &Object,
    old: &Object,
    mut errors: ErrorList,
) -> Result<(), Status> {
    let kind = &*call.kind;
    let strategy = kind.policy();
    // An object that cannot be prepared is not validated further.
    if errors.is_empty() {
        let [whole, change] = meta::recheck(kind, object, old);
        errors = meta::validate_changed(kind, object, old);
        let mut rules = labelled(call, object, Some(old));
        rules.extend(match call.sub {
            Some(Sub::Status) => strategy.validate_status(object, old),
            sub => strategy.validate_change(sub, object, old),
        });
        errors.extend(in_order(kind, object, whole, change, rules));
        registry::declared(kind, object, Some(old), &mut errors);
    }
    if !errors.0.is_empty() {
        return Err(Status::invalid(kind.stored_group(), kind.kind, object.name(), errors));
    }
    call.warn(strategy.warnings_on_update(object, old));
    if call.sub.is_none() {
        call.warn(registry::warnings(kind, object, Some(old)));
    }
    Ok(())
}

/// The errors of a kind's validation: `rules` are those that do not concern the metadata.
fn in_order(
    kind: &Kind,
    object: &Object,
    mut whole: ErrorList,
    change: ErrorList,
    mut rules: ErrorList,
) -> ErrorList {
    let Rechecks { whole: times, change_first, .. } = kind.rechecks;
    if change_first {
        let mut all = change;
        all.extend(whole);
        all.extend(rules);
        return all;
    }
    // The object is validated as a new one, and then as an update.
    let first = match change.is_empty() || times == 0 {
        true => 0,
        false => kind.policy().validate(object).0.len().min(rules.0.len()),
    };
    let rest = rules.0.split_off(first);
    whole.extend(rules);
    whole.extend(change);
    whole.0.extend(rest);
    whole
}

/// Copies the resources of the containers from `wanted`, or all containers if they do not match, so
/// that validation reports it.
fn resize(spec: &mut Value, wanted: &Value, list: &str) {
    let names = |v: &Value| -> Vec<Value> {
        v[list].as_array().into_iter().flatten().map(|c| c["name"].clone()).collect()
    };
    if names(spec) != names(wanted) {
        spec[list] = wanted[list].clone();
        return;
    }
    let wanted = wanted[list].as_array().into_iter().flatten();
    for (container, wanted) in items_mut(spec, list).zip(wanted) {
        for field in ["resources", "resizePolicy"] {
            match wanted.get(field) {
                Some(value) => container[field] = value.clone(),
                None => {
                    container.remove_path(&[field]);
                }
            }
        }
    }
}

fn keep_meta(object: &mut Object, old: &Object, fields: &[&str]) {
    for field in fields {
        let value = old.get_path(&["metadata", field]).cloned().unwrap_or(Value::Null);
        object.set_meta(field, value);
    }
}

/// Each path writes its own part of the object and leaves the rest unchanged.
fn keep_what_the_path_cannot_change(call: &Call<'_>, object: &mut Object, old: &Object) {
    let copy = |object: &mut Object, field: &str| match old.get(field) {
        Some(value) => object[field] = value.clone(),
        None => {
            object.remove_path(&[field]);
        }
    };
    let rest = |object: &mut Object, keep: &[&str]| {
        let fields: Vec<String> = object
            .as_object()
            .into_iter()
            .flatten()
            .chain(old.as_object().into_iter().flatten())
            .map(|(k, _)| k.clone())
            .filter(|k| !matches!(k.as_str(), "metadata" | "apiVersion" | "kind"))
            .filter(|k| !keep.contains(&k.as_str()))
            .collect();
        for field in fields {
            copy(object, &field);
        }
    };
    match call.sub {
        None => {
            if call.kind.has(Sub::Status) {
                copy(object, "status");
            }
        }
        Some(Sub::Status) => {
            rest(object, &["status"]);
            keep_meta(object, old, call.kind.policy().status_keeps());
        }
        Some(Sub::Approval) => {
            only_list(object, &["status", "conditions"], &rest);
        }
        Some(Sub::Finalize) => {
            only_list(object, &["spec", "finalizers"], &rest);
        }
        Some(Sub::EphemeralContainers) => {
            only_list(object, &["spec", "ephemeralContainers"], &rest);
            keep_meta(object, old, &["labels", "annotations", "finalizers", "ownerReferences"]);
        }
        Some(Sub::Resize) => {
            let wanted = object["spec"].clone();
            rest(object, &[]);
            keep_meta(object, old, &["labels", "annotations", "finalizers", "ownerReferences"]);
            for list in ["containers", "initContainers"] {
                resize(&mut object["spec"], &wanted, list);
            }
        }
        Some(_) => {}
    }
}

/// Copies everything but one list from the old object. A missing or empty list is taken as given;
/// validation decides if it is permitted.
fn only_list(object: &mut Object, path: &[&str], rest: &impl Fn(&mut Object, &[&str])) {
    let list = object.get_path(path).cloned();
    rest(object, &[]);
    match list.filter(|list| list.as_array().is_some_and(|list| !list.is_empty())) {
        Some(list) => object.set_path(path, list),
        None => {
            object.remove_path(path);
        }
    }
}

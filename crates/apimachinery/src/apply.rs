//! Server-side apply (KEP-555): the owners of fields, and the changes of an applied configuration.

mod atomic;
mod check;
mod compare;
mod conflict;
mod element;
mod extract;
mod managers;
mod merge;
mod scale;
mod set;
mod updater;
mod view;

pub use atomic::{Unmergeable, merge_unowned};
pub use scale::{scale_managers, workload_managers};
pub use set::{BadStep, FieldSet, FieldsError};

use crate::object::ObjectExt;
use crate::schema::{Ref, Shape, Type};
use crate::status::Status;
use managers::{Id, Managers, Operation};
use serde_json::{Value, json};
use std::sync::Arc;
use updater::Outcome;

/// Manager of all fields that existed before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields that no manager owns.
const UNOWNED: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "metadata.name",
    "metadata.namespace",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.uid",
    "metadata.clusterName",
    "metadata.generation",
    "metadata.managedFields",
    "metadata.resourceVersion",
];

/// The author of a write and the version it is written in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Writer<'a> {
    /// Field manager, for example `kubectl`; empty for `unknown`.
    pub manager: &'a str,
    /// `apiVersion` the object is written in.
    pub api_version: &'a str,
    /// Subresource written through; empty for the object itself.
    pub subresource: &'a str,
    /// Time of the write as `metav1.Time`.
    pub now: &'a str,
    /// Dotted paths that this endpoint resets, so that no writer comes to own them, for example
    /// `status` when the object itself is written.
    pub reset_fields: &'a [&'a str],
}

impl Writer<'_> {
    fn id(&self, operation: Operation) -> Id {
        let manager = if self.manager.is_empty() { "unknown" } else { self.manager };
        Id {
            manager: manager.to_owned(),
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => self.api_version.to_owned(),
            },
            subresource: self.subresource.to_owned(),
        }
    }
}

/// The fields of an object.
#[must_use]
pub fn extract_set(ty: &Arc<Type>, object: &Value) -> FieldSet {
    extract::extract(&shape(ty), object)
}

fn shape(ty: &Arc<Type>) -> Shape {
    Shape::Object(Ref::to(ty.clone()))
}

fn without_managers(object: &Value) -> Value {
    let mut object = object.clone();
    object.remove_path(&["metadata", "managedFields"]);
    object
}

fn managed_fields(object: &Value) -> Option<&Value> {
    object.get_path(&["metadata", "managedFields"])
}

/// Merges an applied configuration into the live object and records ownership.
///
/// The result still has to be defaulted, checked and validated like any other write.
///
/// # Errors
/// 409 when other managers own fields that the configuration changes and `force` is off; 400 for
/// another version or `managedFields` in the configuration; 500 as upstream when the
/// configuration does not fit the schema.
pub fn apply(
    ty: &Arc<Type>,
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Status> {
    let shape = shape(ty);
    refuse_misfits(&shape, applied, writer)?;
    let mut managers = Managers::decode(live.and_then(managed_fields))
        .map_err(|e| Status::generic(500, "", format!("failed to decode managed fields: {e}")))?;
    let live = match live {
        Some(live) => without_managers(live),
        None => json!({"apiVersion": writer.api_version, "kind": applied.kind()}),
    };
    if managers.is_empty() && !live.uid().is_empty() {
        let before = Writer { manager: BEFORE_FIRST_APPLY, ..*writer };
        updater::update(&shape, &json!({}), &live, &mut managers, &before);
    }
    let attempt = |force| updater::apply(&shape, &live, applied, managers.clone(), writer, force);
    let outcome = attempt(force).or_else(|mut conflicts| {
        // kubectl may take over fields that it has applied on the client side until now.
        if writer.manager == "kubectl"
            && let Some(allowed) = last_applied_fields(&shape, &live, writer)
        {
            conflicts.retain(|c| !c.field.difference(&allowed).is_empty());
            if conflicts.is_empty() {
                return attempt(true);
            }
        }
        Err(conflicts)
    });
    let Outcome { object, mut managers } = outcome.map_err(|c| conflict::status(&c))?;
    let mut object = match object {
        Some(object) => {
            if let Some(owned) = managers.0.get_mut(&writer.id(Operation::Apply)) {
                owned.time = writer.now.to_owned();
            }
            object
        }
        None => live,
    };
    if writer.manager == "kubectl" && object.annotation(LAST_APPLIED).is_some_and(|a| !a.is_empty())
    {
        let mut config = applied.clone();
        config.remove_path(&["metadata", "annotations", LAST_APPLIED]);
        let path = ["metadata", "annotations", LAST_APPLIED];
        object.set_path(&path, format!("{config}\n").into());
    }
    store(&mut object, &managers);
    Ok(object)
}

fn store(object: &mut Value, managers: &Managers) {
    let list = if managers.is_empty() { Value::Null } else { managers.encode() };
    object.set_meta("managedFields", list);
}

fn refuse_misfits(shape: &Shape, applied: &Value, writer: &Writer<'_>) -> Result<(), Status> {
    if applied.api_version() != writer.api_version {
        let given = shown_kind(applied.api_version(), applied.kind());
        return Err(Status::bad_request(format!("invalid object type: {given}")));
    }
    if managed_fields(applied).is_some_and(|m| !m.is_null()) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let Some(complaints) = misfits(shape, applied) else { return Ok(()) };
    let message =
        format!("failed to create typed patch object ({}): {complaints}", shown_object(applied));
    Err(Status::generic(500, "", message))
}

/// The reasons why a value does not fit the schema.
fn misfits(shape: &Shape, value: &Value) -> Option<String> {
    match check::check(shape, value).as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => Some(format!("errors:\n  {}", several.join("\n  "))),
    }
}

/// Group, version and kind as upstream prints them.
#[must_use]
pub fn shown_kind(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

/// An applied object as upstream prints it.
#[must_use]
pub fn shown_object(applied: &Value) -> String {
    let kind = shown_kind(applied.api_version(), applied.kind());
    format!("{}/{}; {kind}", applied.namespace(), applied.name())
}

/// The fields of kubectl's last-applied annotation that still have the applied value.
fn last_applied_fields(shape: &Shape, live: &Value, writer: &Writer<'_>) -> Option<FieldSet> {
    let last: Value = serde_json::from_str(live.annotation(LAST_APPLIED)?).ok()?;
    if last.api_version() != writer.api_version {
        return None;
    }
    let changes = compare::compare(shape, &last, live);
    let fields = extract::extract(shape, &last);
    let (changed, removed) = changes.split();
    let mut unchanged = fields;
    unchanged.subtract(&changed);
    unchanged.subtract(&removed);
    Some(unchanged)
}

/// Records ownership of what a write other than apply changed: compares `new` with `live` (`None`
/// on create) and sets `metadata.managedFields` of `new`.
///
/// `managedFields` sent by the client are treated as upstream does: an empty list resets tracking,
/// others replace the recorded ones; malformed ones are ignored.
pub fn update_managers(ty: &Arc<Type>, live: Option<&Value>, new: &mut Value, writer: &Writer<'_>) {
    let shape = shape(ty);
    let recorded = || Managers::decode(live.and_then(managed_fields)).unwrap_or_default();
    let mut managers = match managed_fields(new) {
        _ if !writer.subresource.is_empty() => recorded(),
        Some(Value::Array(entries)) if is_reset(entries) => Managers::default(),
        sent => Managers::decode(sent).ok().filter(|m| !m.is_empty()).unwrap_or_else(recorded),
    };
    new.remove_path(&["metadata", "managedFields"]);
    // The fields of an object that does not fit its schema cannot be attributed to a manager.
    if !check::is_typed(&shape, new) {
        return;
    }
    // An object that was created without tracking, or whose tracking was reset, stays untracked.
    if managers.is_empty() && live.is_some_and(|l| !l.uid().is_empty()) {
        return;
    }
    // `managedFields` itself has no owner, so its absence from one of the two is no change.
    let nothing = json!({});
    updater::update(&shape, live.unwrap_or(&nothing), new, &mut managers, writer);
    managers.cap();
    store(new, &managers);
}

/// Resets `new` to `live` if they differ only in the times of managers: such a write changes
/// nothing.
pub fn keep_times(new: &mut Value, live: &Value) {
    let timeless = |object: &Value| -> Option<Value> {
        let mut list = managed_fields(object)?.clone();
        for entry in list.as_array_mut()? {
            entry.remove_path(&["time"]);
        }
        Some(list)
    };
    if timeless(new) == timeless(live) && without_managers(new) == without_managers(live) {
        *new = live.clone();
    }
}

fn is_reset(entries: &[Value]) -> bool {
    match entries {
        [] => true,
        [only] => only.as_object().is_some_and(|o| o.is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

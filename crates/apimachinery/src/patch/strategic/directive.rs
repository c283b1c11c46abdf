//! The directives of a patch.

use super::Object;
use crate::status::Status;
use crate::text::go_value;
use serde_json::Value;

pub(super) const PATCH: &str = "$patch";
pub(super) const RETAIN_KEYS: &str = "$retainKeys";
pub(super) const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
pub(super) const SET_ORDER: &str = "$setElementOrder/";

/// An error that upstream does not translate into a specific status.
pub(super) fn untranslated(message: impl Into<String>) -> Status {
    Status::generic(500, "", message)
}

pub(super) fn bad_order() -> Status {
    Status::bad_request("invalid patch format of setElementOrder list")
}

pub(super) fn no_merge_key(item: &Value, key: &str) -> Status {
    untranslated(format!("map: {} does not contain declared merge key: {key}", go_value(item)))
}

pub(super) fn unknown(directive: &Value, mut patch: Object) -> Status {
    patch.insert(PATCH.to_owned(), directive.clone());
    let patch = go_value(&Value::Object(patch));
    untranslated(format!("unknown patch type: {} in map: {patch}", go_value(directive)))
}

/// Removes the keys of `original` that are not listed; the patch may only set listed ones.
pub(super) fn retain_keys(
    original: &mut Object,
    patch: &Object,
    keys: &Value,
) -> Result<(), Status> {
    let bad = || Status::bad_request("invalid patch format of retainKeys");
    let keys = keys.as_array().ok_or_else(bad)?;
    let listed = |key: &str| keys.iter().any(|k| k.as_str() == Some(key));
    let fits = patch.iter().all(|(key, value)| {
        value.is_null() || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER) || listed(key)
    });
    if !fits {
        return Err(bad());
    }
    original.retain(|key, _| listed(key));
    Ok(())
}

/// Removes scalars from the list at `key`.
pub(super) fn delete_from(
    original: &mut Object,
    key: &str,
    unwanted: &Value,
) -> Result<(), Status> {
    let unwanted = unwanted
        .as_array()
        .ok_or_else(|| Status::bad_request("invalid patch format of primitive list"))?;
    if let Some(Value::Array(items)) = original.get_mut(key) {
        items.retain(|item| !unwanted.contains(item));
    }
    Ok(())
}

/// A patch's value if there is nothing to merge it into: without nulls and directives; `None` if it
/// consists of directives only.
pub(super) fn strip(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) => {
            if map.contains_key(PATCH) {
                return None;
            }
            let entries = map.into_iter().filter(|(_, v)| !v.is_null());
            Some(Value::Object(entries.filter_map(|(k, v)| Some((k, strip(v)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(strip).collect())),
        scalar => Some(scalar),
    }
}

//! Lists.

use super::directive::{self, PATCH};
use super::{Object, Scope, merge_map, order};
use crate::schema::Patch;
use crate::status::Status;
use serde_json::Value;

/// Removes a list from an object.
pub(super) fn take(object: &mut Object, key: &str) -> Result<Option<Vec<Value>>, Status> {
    match object.remove(key) {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(directive::bad_order()),
    }
}

/// Merges according to the field's strategy.
pub(super) fn merge(
    original: Vec<Value>,
    patch: Vec<Value>,
    items: Scope<'_>,
    strategy: &Patch,
) -> Result<Vec<Value>, Status> {
    if !strategy.merge {
        return Ok(patch);
    }
    let key = &strategy.merge_key;
    let order_of_patch = patch.clone();
    let server_order = original.clone();
    let merged = match kind(&original, &patch)? {
        None => return Ok(original),
        Some(Kind::Scalar) => {
            let mut merged: Vec<Value> = Vec::with_capacity(original.len() + patch.len());
            for item in original.into_iter().chain(patch) {
                if !merged.contains(&item) {
                    merged.push(item);
                }
            }
            merged
        }
        Some(Kind::Object) => {
            if key.is_empty() {
                let message = "cannot merge lists without merge key";
                return Err(directive::untranslated(message));
            }
            let (original, patch, replaced) = obey_directives(original, patch, key)?;
            if replaced {
                return Ok(patch);
            }
            merge_objects(original, patch, items, key)?
        }
    };
    let wanted: Vec<Value> =
        order_of_patch.into_iter().filter(|item| item.get(PATCH).is_none()).collect();
    order::arrange(merged, &wanted, &server_order, key)
}

enum Kind {
    Scalar,
    Object,
}

/// The kind of the items: all must be of the same kind, and none a list.
fn kind(original: &[Value], patch: &[Value]) -> Result<Option<Kind>, Status> {
    let mut objects = original.iter().chain(patch).map(Value::is_object);
    let Some(first) = objects.next() else { return Ok(None) };
    if objects.any(|o| o != first) {
        let message = "list element types are not identical";
        return Err(directive::untranslated(message));
    }
    if original.iter().chain(patch).any(Value::is_array) {
        return Err(Status::unprocessable("lists of lists are not supported"));
    }
    Ok(Some(if first { Kind::Object } else { Kind::Scalar }))
}

/// Carries out the `$patch` items; returns true if the patch replaces the list.
fn obey_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>, bool), Status> {
    let mut plain = Vec::with_capacity(patch.len());
    let mut replace = false;
    for item in patch {
        match item.get(PATCH).map(Value::as_str) {
            None => plain.push(item),
            Some(Some("delete")) => {
                let id = item.get(key).ok_or_else(|| directive::no_merge_key(&item, key))?;
                original.retain(|o| o.get(key) != Some(id));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => {
                let message = "merging lists cannot yet be specified in the patch";
                return Err(directive::untranslated(message));
            }
            Some(_) => {
                let Value::Object(map) = item else { continue };
                return Err(directive::unknown(&map[PATCH].clone(), map));
            }
        }
    }
    Ok((original, plain, replace))
}

fn merge_objects(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    items: Scope<'_>,
    key: &str,
) -> Result<Vec<Value>, Status> {
    for item in patch {
        let id = item.get(key).ok_or_else(|| directive::no_merge_key(&item, key))?;
        match original.iter().position(|o| o.get(key) == Some(id)) {
            Some(at) => {
                if let (Value::Object(old), Value::Object(new)) = (original[at].take(), item) {
                    original[at] = Value::Object(merge_map(old, new, items)?);
                }
            }
            None => original.extend(directive::strip(item)),
        }
    }
    Ok(original)
}

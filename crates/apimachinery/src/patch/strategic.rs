//! Strategic merge patch: a merge patch that knows which lists are keyed.

mod directive;
mod list;
mod order;

use crate::schema::{Patch, Shape, Type};
use crate::status::Status;
use directive::{DELETE_FROM, PATCH, RETAIN_KEYS, SET_ORDER};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// Applies a strategic merge patch to an object of type `ty`.
///
/// # Errors
/// 400 for malformed directives; 500 as upstream when items lack their merge key.
pub fn merge(original: Value, patch: Value, ty: &Type) -> Result<Value, Status> {
    match (original, patch) {
        (Value::Object(original), Value::Object(patch)) => {
            merge_map(original, patch, Scope::Type(ty)).map(Value::Object)
        }
        (_, other) => Err(Status::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            crate::text::json_type(&other)
        ))),
    }
}

/// The type information of the object that a patch is merged into.
#[derive(Clone, Copy)]
enum Scope<'a> {
    /// A type with fields.
    Type(&'a Type),
    /// The type of all values of a map.
    Map(&'a Shape),
    /// No type information; lists in it are replaced.
    Unknown,
}

impl<'a> Scope<'a> {
    /// The scope of an object of this shape.
    fn of(shape: &'a Shape) -> Self {
        match shape {
            Shape::Object(ty) => Self::Type(ty),
            Shape::Map(map) => Self::Map(&map.value),
            _ => Self::Unknown,
        }
    }

    /// Shape and strategy of the value at `key`.
    fn child(self, key: &str) -> (Option<&'a Shape>, Patch) {
        match self {
            Self::Type(ty) => match ty.field(key) {
                Some(field) => (Some(&field.shape), field.patch.clone()),
                None => (None, Patch::default()),
            },
            Self::Map(shape) => (Some(shape), Patch::default()),
            Self::Unknown => (None, Patch::default()),
        }
    }

    /// Scope of the objects below `key`: the value itself, or the items of a list.
    fn below(self, key: &str) -> (Scope<'a>, Patch) {
        let (shape, patch) = self.child(key);
        let scope = match shape {
            Some(Shape::List(list)) => Self::of(&list.item),
            Some(shape) => Self::of(shape),
            None => Self::Unknown,
        };
        (scope, patch)
    }
}

fn merge_map(mut original: Object, mut patch: Object, scope: Scope<'_>) -> Result<Object, Status> {
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::new()),
            _ => Err(directive::unknown(&directive, patch)),
        };
    }
    if let Some(keys) = patch.remove(RETAIN_KEYS) {
        directive::retain_keys(&mut original, &patch, &keys)?;
    }
    merge_ordered_lists(&mut original, &mut patch, scope)?;
    for (key, value) in patch {
        if let Some(list) = key.strip_prefix(DELETE_FROM) {
            directive::delete_from(&mut original, list, &value)?;
        } else if value.is_null() {
            original.remove(&key);
        } else {
            merge_field(&mut original, key, value, scope)?;
        }
    }
    Ok(original)
}

fn merge_field(
    original: &mut Object,
    key: String,
    value: Value,
    scope: Scope<'_>,
) -> Result<(), Status> {
    let (below, strategy) = scope.below(&key);
    let merged = match (original.remove(&key), value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            Value::Object(if strategy.replace { new } else { merge_map(old, new, below)? })
        }
        (Some(Value::Array(old)), Value::Array(new)) => {
            Value::Array(list::merge(old, new, below, &strategy)?)
        }
        (_, new) => match directive::strip(new) {
            Some(new) => new,
            None => return Ok(()),
        },
    };
    original.insert(key, merged);
    Ok(())
}

/// Merges the lists whose order the patch prescribes, and removes them from the patch.
fn merge_ordered_lists(
    original: &mut Object,
    patch: &mut Object,
    scope: Scope<'_>,
) -> Result<(), Status> {
    let directives: Vec<String> =
        patch.keys().filter(|k| k.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let key = &directive[SET_ORDER.len()..];
        let Some(Value::Array(wanted)) = patch.remove(&directive) else {
            return Err(directive::bad_order());
        };
        let old = list::take(original, key)?;
        let new = list::take(patch, key)?;
        let (below, strategy) = scope.below(key);
        if let Some(new) = &new {
            order::check(new, &wanted, &strategy.merge_key)?;
        }
        let server_order = old.clone().unwrap_or_default();
        let merged = match (old, new) {
            (None, None) => continue,
            (Some(old), None) => old,
            (None, Some(new)) => match directive::strip(Value::Array(new)) {
                Some(Value::Array(new)) => new,
                _ => continue,
            },
            (Some(old), Some(new)) => list::merge(old, new, below, &strategy)?,
        };
        let merged = order::arrange(merged, &wanted, &server_order, &strategy.merge_key)?;
        original.insert(key.to_owned(), Value::Array(merged));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! Type and metadata of the resources embedded in an object.

use super::node::Node;
use super::place::{Place, Step};
use super::{MAX_MESSAGE_BYTES, coerce};
use crate::field::{ErrorList, FieldError, Path};
use crate::{ObjectExt, meta, names};
use serde_json::{Map, Value};

/// The errors of all embedded resources.
pub(super) fn check(root: &Node, object: &Value) -> ErrorList {
    let mut errors = Errors::default();
    inside(root, object, &Place::default(), &mut errors);
    errors.list
}

#[derive(Default)]
struct Errors {
    list: ErrorList,
    bytes: usize,
}

fn inside(node: &Node, value: &Value, at: &Place<'_>, errors: &mut Errors) {
    if !node.has_embedded {
        return;
    }
    match value {
        Value::Object(map) => {
            // The path is printed for those with errors only.
            let has_errors = || !resource(value, map, &Path::root()).is_empty();
            if node.embedded && errors.bytes < MAX_MESSAGE_BYTES && has_errors() {
                let found = resource(value, map, &at.path());
                errors.bytes += found.iter().map(|e| e.to_string().len()).sum::<usize>();
                errors.list.extend(found);
            }
            for (name, value) in map {
                if let Some(property) = node.properties.get(name) {
                    inside(property, value, &at.below(Step::Field(name)), errors);
                } else if let Some(additional) = node.additional() {
                    inside(additional, value, &at.below(Step::Key(name)), errors);
                }
            }
        }
        Value::Array(values) => {
            let Some(item) = &node.items else { return };
            for (i, value) in values.iter().enumerate() {
                inside(item, value, &at.below(Step::Index(i)), errors);
            }
        }
        _ => {}
    }
}

fn resource(object: &Value, map: &Map<String, Value>, at: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for name in ["apiVersion", "kind"] {
        if !map.contains_key(name) {
            errors.push(FieldError::required(&at.child(name), ""));
        }
    }
    errors.extend(text(map, at, "apiVersion", |version| {
        let is_odd = version.matches('/').count() > 1;
        is_odd.then(|| format!("unexpected GroupVersion string: {version}"))
    }));
    errors.extend(text(map, at, "kind", |kind| {
        let messages = names::dns1035_label(&kind.to_lowercase());
        let says = "may have mixed case, but should otherwise match: ";
        (!messages.is_empty()).then(|| format!("{says}{}", messages.join(",")))
    }));
    let at = at.child("metadata");
    if let Some(metadata) = map.get("metadata") {
        match coerce::readable(metadata) {
            Err(misfit) => {
                errors.push(FieldError::invalid(&at, metadata.clone(), misfit.to_string()));
            }
            Ok(()) => {
                let rules = meta::Rules {
                    // A resource that is not stored by itself needs no name.
                    needs_name: false,
                    is_namespaced: !object.namespace().is_empty(),
                    names: &names::path_segment,
                };
                errors.extend(meta::validate(object, &at, &rules));
            }
        }
    }
    errors
}

/// The error of a field that has to be a text which is not empty.
fn text(
    map: &Map<String, Value>,
    at: &Path,
    name: &str,
    complaint: impl Fn(&str) -> Option<String>,
) -> Option<FieldError> {
    let value = map.get(name)?;
    let says = match value.as_str() {
        None => "must be a string".to_owned(),
        Some("") => "must not be empty".to_owned(),
        Some(text) => complaint(text)?,
    };
    Some(FieldError::invalid(&at.child(name), value.clone(), says))
}

//! Type and metadata of resources, read as their own types.

use super::node::Node;
use super::place::{Place, Step};
use super::{MAX_MESSAGE_BYTES, Malformed};
use crate::field::FieldError;
use crate::schema::{Registry, Type, write_missing};
use crate::validate::{MAX_FINDINGS, Misfit, unknown_paths};
use serde_json::{Map, Value};

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// The treatment of fields of the wrong type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Coercion {
    /// The object is refused.
    Refuse,
    /// They are removed.
    Drop,
}

/// Brings the object's own metadata into its canonical form, and returns its unknown fields.
pub(super) fn root(object: &mut Value, coercion: Coercion) -> Result<Vec<String>, Malformed> {
    let Value::Object(map) = object else { return Ok(Vec::new()) };
    let unknown = metadata(map, coercion)?;
    Ok(unknown.into_iter().map(|path| format!("metadata.{path}")).collect())
}

/// Does the same for the resources embedded in an object.
pub(super) fn embedded(
    root: &Node,
    object: &mut Value,
    coercion: Coercion,
) -> Result<Vec<String>, Malformed> {
    let mut coercer = Coercer { coercion, unknown: Vec::new(), bytes: 0 };
    coercer.value(root, object, &Place::default())?;
    coercer.unknown.sort_unstable();
    Ok(coercer.unknown)
}

/// Reads the resources in a default.
pub(super) fn default_value(node: &Node, value: &mut Value) {
    let mut coercer = Coercer { coercion: Coercion::Drop, unknown: Vec::new(), bytes: 0 };
    // Nothing is refused in this mode.
    let _ = coercer.value(node, value, &Place::default());
}

struct Coercer {
    coercion: Coercion,
    unknown: Vec<String>,
    bytes: usize,
}

impl Coercer {
    fn value(
        &mut self,
        node: &Node,
        value: &mut Value,
        place: &Place<'_>,
    ) -> Result<(), Malformed> {
        if !node.has_embedded {
            return Ok(());
        }
        match value {
            Value::Object(map) => {
                if node.embedded {
                    self.resource(map, place)?;
                }
                for (name, value) in map {
                    if let Some(property) = node.properties.get(name) {
                        self.value(property, value, &place.below(Step::Field(name)))?;
                    } else if let Some(additional) = node.additional() {
                        self.value(additional, value, &place.below(Step::Key(name)))?;
                    }
                }
            }
            Value::Array(values) => {
                let Some(item) = &node.items else { return Ok(()) };
                for (i, value) in values.iter_mut().enumerate() {
                    self.value(item, value, &place.below(Step::Index(i)))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn resource(&mut self, map: &mut Map<String, Value>, at: &Place<'_>) -> Result<(), Malformed> {
        for name in ["apiVersion", "kind"] {
            match map.get(name) {
                None | Some(Value::String(_)) => {}
                Some(_) if self.coercion == Coercion::Drop => {
                    map.remove(name);
                }
                Some(other) => {
                    let path = at.path().child(name);
                    let error = FieldError::invalid(&path, other.clone(), "must be a string");
                    return Err(Box::new(error).into());
                }
            }
        }
        let before = map.get("metadata").filter(|_| self.coercion == Coercion::Refuse).cloned();
        match metadata(map, self.coercion) {
            Ok(unknown) => {
                for path in unknown {
                    if self.bytes < MAX_MESSAGE_BYTES {
                        let path = format!("{}.{path}", at.path().child("metadata"));
                        self.bytes += path.len();
                        self.unknown.push(path);
                    }
                }
                Ok(())
            }
            Err(misfit) => {
                let path = at.path().child("metadata");
                let error =
                    FieldError::invalid(&path, before.unwrap_or_default(), misfit.to_string());
                Err(Box::new(error).into())
            }
        }
    }
}

fn metadata(map: &mut Map<String, Value>, coercion: Coercion) -> Result<Vec<String>, Misfit> {
    let Some(ty) = Registry::builtin().type_by_name(OBJECT_META) else { return Ok(Vec::new()) };
    let Some(meta) = map.get_mut("metadata") else { return Ok(Vec::new()) };
    if meta.is_null() {
        *meta = Value::Object(Map::new());
    }
    if coercion == Coercion::Drop {
        // Metadata that is no object at all is left to validation.
        let Value::Object(fields) = meta else { return Ok(Vec::new()) };
        fields.retain(|name, value| fits(ty, name, value));
    }
    let mut unknown = unknown_paths(ty, meta, false)?;
    unknown.truncate(MAX_FINDINGS);
    write_missing(ty, meta);
    Ok(unknown)
}

/// Returns true if a field of metadata can be read, be it known or not.
fn fits(ty: &Type, name: &str, value: &Value) -> bool {
    let mut alone = Value::Object(Map::from_iter([(name.to_owned(), value.clone())]));
    unknown_paths(ty, &mut alone, false).is_ok()
}

/// Checks that metadata can be read.
pub(super) fn readable(metadata: &Value) -> Result<(), Misfit> {
    match Registry::builtin().type_by_name(OBJECT_META) {
        Some(ty) if !metadata.is_null() => {
            unknown_paths(ty, &mut metadata.clone(), false).map(drop)
        }
        _ => Ok(()),
    }
}

//! One step of a field path in the text form of `FieldsV1`: `f:name`, `k:{...}` or `v:...`.

use super::view::implied;
use crate::schema::{ListKind, ListShape, Shape};
use serde_json::{Map, Value};

/// The reason why a list item has no path element.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoIdentity {
    #[error("associative list without keys has an element that's a map type")]
    Map,
    #[error("not supported: associative list with lists as elements")]
    List,
    #[error("associative list without keys has an element that's an explicit null")]
    Null,
    #[error("associative list with keys may not have a null element")]
    KeyedNull,
    #[error("associative list with keys may not have non-map elements")]
    KeyedScalar,
    #[error(
        "associative list with keys has an element that omits all key fields [{}] (and doesn't \
         have default values for any key fields)",
        quoted(.0)
    )]
    NoKeys(Vec<String>),
}

fn quoted(keys: &[String]) -> String {
    keys.iter().map(|key| crate::text::quote(key)).collect::<Vec<_>>().join(" ")
}

/// The reason why text is not a path element.
#[derive(Debug, thiserror::Error)]
pub(super) enum Malformed {
    #[error("bad path element {text:?}: {source}")]
    Json { text: String, source: serde_json::Error },
    #[error("bad path element {text:?}: {source}")]
    Index { text: String, source: std::num::ParseIntError },
    #[error("missing colon: {0:?}")]
    Colon(String),
}

/// A step into a struct or map.
pub(super) fn field(name: &str) -> String {
    ["f:", name].concat()
}

/// The field's name, if the step is one.
pub(super) fn field_name(element: &str) -> Option<&str> {
    element.strip_prefix("f:")
}

/// The step that identifies an item of a list, or why it has none.
pub(super) fn item(list: &ListShape, item: &Value) -> Result<String, NoIdentity> {
    match list.kind {
        ListKind::Map => keyed(list, item),
        _ => match item {
            Value::Object(_) => Err(NoIdentity::Map),
            Value::Array(_) => Err(NoIdentity::List),
            Value::Null => Err(NoIdentity::Null),
            scalar => Ok(format!("v:{scalar}")),
        },
    }
}

/// Absent keys take their default, which is zero if Go never omits the key; a key without a default
/// is left out.
fn keyed(list: &ListShape, item: &Value) -> Result<String, NoIdentity> {
    let map = match item {
        Value::Object(map) => map,
        Value::Null => return Err(NoIdentity::KeyedNull),
        _ => return Err(NoIdentity::KeyedScalar),
    };
    let default = |key: &str| match &list.item {
        Shape::Object(ty) => {
            let field = ty.field(key)?;
            field.default.clone().or_else(|| implied(field).filter(|zero| !zero.is_null()))
        }
        _ => None,
    };
    let mut keys: Vec<(&str, Value)> = list
        .keys
        .iter()
        .filter_map(|key| Some((key.as_str(), map.get(key).cloned().or_else(|| default(key))?)))
        .collect();
    if keys.is_empty() {
        return Err(NoIdentity::NoKeys(list.keys.clone()));
    }
    keys.sort_unstable_by_key(|(k, _)| *k);
    Ok(key_element(keys.iter().map(|(k, v)| (*k, v))))
}

fn key_element<'a>(keys: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let pairs: Vec<String> = keys.map(|(k, v)| format!("{}:{v}", Value::from(k))).collect();
    format!("k:{{{}}}", pairs.join(","))
}

/// Normalizes a step from outside, so that equal steps compare equal.
pub(super) fn parse(text: &str) -> Result<String, Malformed> {
    let bad = |source| Malformed::Json { text: text.to_owned(), source };
    match text.split_once(':') {
        Some(("f", _)) => Ok(text.to_owned()),
        Some(("k", json)) => {
            let keys: Map<String, Value> = serde_json::from_str(json).map_err(bad)?;
            let mut keys: Vec<_> = keys.iter().map(|(k, v)| (k.as_str(), v)).collect();
            keys.sort_unstable_by_key(|(k, _)| *k);
            Ok(key_element(keys.into_iter()))
        }
        Some(("v", json)) => {
            let value: Value = serde_json::from_str(json).map_err(bad)?;
            Ok(format!("v:{value}"))
        }
        Some(("i", index)) => {
            let bad = |source| Malformed::Index { text: text.to_owned(), source };
            index.parse::<i64>().map(|_| text.to_owned()).map_err(bad)
        }
        _ => Err(Malformed::Colon(text.to_owned())),
    }
}

/// The human-readable form, for example `.spec.ports[port=80,protocol="TCP"]`.
pub(super) fn display(path: &[&str]) -> String {
    let mut out = String::new();
    for element in path {
        match element.split_once(':') {
            Some(("f", name)) => {
                out.push('.');
                out.push_str(name);
            }
            Some(("k", json)) => {
                let keys: Map<String, Value> = serde_json::from_str(json).unwrap_or_default();
                let mut pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                pairs.sort();
                out.push_str(&format!("[{}]", pairs.join(",")));
            }
            Some(("v", json)) => out.push_str(&format!("[={json}]")),
            Some((_, index)) => out.push_str(&format!("[{index}]")),
            None => {}
        }
    }
    out
}

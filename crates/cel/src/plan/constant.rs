//! Parts that are known before anything is evaluated: they cost nothing later.

use super::{Call, Node};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::functions::no_overload;
use crate::value::{Items, Key, Map, OwnedMap, Value};

/// A list whose elements are all known is known.
pub(super) fn list(elements: Vec<(Node, bool)>) -> Node {
    let known = elements.iter().map(|element| match element {
        (Node::Const(value), false) => Some(value.clone()),
        _ => None,
    });
    match known.collect() {
        Some(values) => Node::Const(Value::list(values)),
        None => Node::List(elements),
    }
}

/// A map whose keys and values are all known is known.
pub(super) fn map(entries: Vec<(Node, Node, bool)>) -> Node {
    let known = entries.iter().map(|entry| match entry {
        (Node::Const(key), Node::Const(value), false) => {
            Some((Key::of(key)?, (key.clone(), value.clone())))
        }
        _ => None,
    });
    match known.collect::<Option<OwnedMap<'static>>>() {
        Some(map) => Node::Const(Value::Map(Map::Owned(map.into()))),
        None => Node::Map(entries),
    }
}

/// The values of a known list, if all are of those kinds that are looked up rather than compared.
pub(super) fn set(list: &Node) -> Option<Vec<Key<'static>>> {
    let Node::Const(Value::List(list)) = list else { return None };
    let Items::Values(values) = &list.items else { return None };
    let mut keys = values.iter().map(Key::of).collect::<Option<Vec<_>>>()?;
    keys.sort();
    Some(keys)
}

/// A conversion of a known value is known.
pub(super) fn conversion(call: Call) -> Result<Node, EvalError> {
    let converts = matches!(
        &*call.name,
        "bool"
            | "bytes"
            | "double"
            | "duration"
            | "dyn"
            | "int"
            | "string"
            | "timestamp"
            | "type"
            | "uint"
    );
    let [Node::Const(value)] = &call.args[..] else { return Ok(Node::Call(Box::new(call))) };
    if !converts {
        return Ok(Node::Call(Box::new(call)));
    }
    let args = [value.clone()];
    let found = call.overloads.iter().find(|overload| overload.takes(&args));
    let result = match found {
        Some(overload) => (overload.function)(&args, &mut Budget::default()),
        None => Err(no_overload(&call.name, &args)),
    };
    result.map(Node::Const)
}

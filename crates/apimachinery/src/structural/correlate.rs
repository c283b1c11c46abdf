//! The old value of each value, which says whether it has changed.

use super::node::{Kind, ListType, Node};
use super::number::Number;
use crate::text::quote;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// A value and what it was before.
#[derive(Clone, Copy)]
pub(super) struct Correlated<'a> {
    pub node: &'a Node,
    pub old: &'a Value,
    pub new: &'a Value,
}

impl<'a> Correlated<'a> {
    /// A field that was there before, if the schema knows it.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        let node = self.node.property(name)?;
        Some(Self { node, old: self.old.as_object()?.get(name)?, new: self.new.get(name)? })
    }

    /// The items of a list, by their keys.
    pub(super) fn items(&self) -> OldItems<'a> {
        match (&self.node.list_type, self.old) {
            (ListType::Map(keys), Value::Array(old)) if self.node.kind == Some(Kind::Array) => {
                let mut by_key = HashMap::with_capacity(old.len());
                for item in old {
                    if let Some(key) = item.as_object().and_then(|item| key_of(keys, item)) {
                        by_key.entry(key).or_insert(item);
                    }
                }
                OldItems { keys, by_key }
            }
            _ => OldItems { keys: &[], by_key: HashMap::new() },
        }
    }

    /// Returns true if the value is the same as before. Fields that the schema does not know, and
    /// items that have no counterpart, count as changed.
    pub(super) fn is_unchanged(&self) -> bool {
        match (self.old, self.new) {
            (Value::Array(old), Value::Array(new)) => {
                let Some(item) = self.node.items.as_deref().filter(|_| self.is_map_list()) else {
                    return old == new;
                };
                let before = self.items();
                old.len() == new.len()
                    && new.iter().all(|new| before.of(item, new).is_some_and(|o| o.is_unchanged()))
            }
            (Value::Object(old), Value::Object(new)) => {
                old.len() == new.len()
                    && new.keys().all(|name| self.field(name).is_some_and(|f| f.is_unchanged()))
            }
            (old, new) => old == new,
        }
    }

    fn is_map_list(&self) -> bool {
        matches!(self.node.list_type, ListType::Map(_))
    }
}

/// The items of an old list.
pub(super) struct OldItems<'a> {
    keys: &'a [String],
    by_key: HashMap<String, &'a Value>,
}

impl<'a> OldItems<'a> {
    /// The item that has the key of a new one.
    pub(super) fn of<'b>(&self, node: &'b Node, new: &'b Value) -> Option<Correlated<'b>>
    where
        'a: 'b,
    {
        let old = *self.by_key.get(&key_of(self.keys, new.as_object()?)?)?;
        Some(Correlated { node, old, new })
    }
}

/// The text of an item's keys, if all of them are there.
fn key_of(keys: &[String], item: &Map<String, Value>) -> Option<String> {
    let mut out = String::new();
    for key in keys {
        let part = match item.get(key)? {
            Value::Bool(is) => is.to_string(),
            Value::String(text) => quote(text),
            Value::Number(n) => match Number::new(n) {
                Number::Int(n) => n.to_string(),
                Number::Float(n) if keys.len() == 1 => format!("{n:e}"),
                // Upstream joins keys with six decimals.
                Number::Float(n) => format!("{n:.6}"),
            },
            _ => return None,
        };
        out.extend(["\0", &part]);
    }
    Some(out).filter(|_| !keys.is_empty())
}

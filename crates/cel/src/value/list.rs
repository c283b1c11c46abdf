//! Lists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value as Json;

use super::{Key, Value, equal, from_json};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::schema::{Kind, ListKind, Schema};

/// A list.
#[derive(Debug, Clone)]
pub struct List<'a> {
    pub(crate) items: Items<'a>,
    kind: &'a ListKind,
    /// True if a schema declared it, or what it was added to.
    declared: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Items<'a> {
    /// An array, and the shape of its items where that is declared.
    Json(&'a [Json], Option<&'a Schema>),
    Values(Arc<Vec<Value<'a>>>),
}

/// How many bytes an item of a list takes.
const ITEM: usize = size_of::<Value<'static>>();

impl<'a> List<'a> {
    pub(crate) fn new(values: Vec<Value<'a>>) -> List<'a> {
        List { items: Items::Values(Arc::new(values)), kind: &ListKind::Atomic, declared: false }
    }

    pub(crate) fn json(items: &'a [Json], schema: Option<&'a Schema>, kind: &'a ListKind) -> Self {
        let declared = schema.is_some_and(|schema| !matches!(schema.kind, Kind::Native));
        List { items: Items::Json(items, schema), kind, declared }
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Json(items, _) => items.len(),
            Items::Values(values) => values.len(),
        }
    }

    /// True if it has no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An item, if there is one.
    pub fn get(&self, index: usize) -> Option<Result<Value<'a>, EvalError>> {
        match &self.items {
            Items::Json(items, schema) => items.get(index).map(|item| from_json(item, *schema)),
            Items::Values(values) => values.get(index).cloned().map(Ok),
        }
    }

    /// All items in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, EvalError>> + '_ {
        (0..self.len()).map_while(|index| self.get(index))
    }

    /// True if its own type decides about equality, rather than that of any list.
    pub(crate) fn is_declared(&self) -> bool {
        self.declared
    }

    pub(crate) fn contains(&self, value: &Value<'a>) -> Result<bool, EvalError> {
        let mut failed = None;
        for item in self.iter() {
            match item.and_then(|item| equal(&item, value)) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(false), Err)
    }

    /// As its kind adds: a set and a map have nothing twice.
    pub(crate) fn add(&self, other: &List<'a>, budget: &mut Budget) -> Result<Self, EvalError> {
        if !self.declared && (self.is_empty() || other.is_empty()) {
            return Ok(if self.is_empty() { other.clone() } else { self.clone() });
        }
        budget.allocate((self.len() + other.len()).saturating_mul(ITEM))?;
        let mut values: Vec<Value<'a>> = self.iter().collect::<Result<_, _>>()?;
        match self.kind {
            ListKind::Atomic => {
                for item in other.iter() {
                    values.push(item?);
                }
            }
            ListKind::Set | ListKind::Map(_) => {
                let mut places: BTreeMap<Vec<Option<Key<'a>>>, usize> = BTreeMap::new();
                for (index, value) in values.iter().enumerate() {
                    places.insert(self.key(value), index);
                }
                for item in other.iter() {
                    let item = item?;
                    let key = self.key(&item);
                    match (places.get(&key), self.kind) {
                        (Some(&index), ListKind::Map(_)) => values[index] = item,
                        (Some(_), _) => {}
                        (None, _) => {
                            places.insert(key, values.len());
                            values.push(item);
                        }
                    }
                }
            }
        }
        let items = Items::Values(Arc::new(values));
        Ok(List { items, kind: self.kind, declared: self.declared })
    }

    /// Adds in place where nothing else holds the list.
    pub(crate) fn push(
        &mut self,
        more: Vec<Value<'a>>,
        budget: &mut Budget,
    ) -> Result<(), EvalError> {
        if let Items::Values(values) = &mut self.items
            && let Some(values) = Arc::get_mut(values)
        {
            budget.allocate(more.len().saturating_mul(ITEM))?;
            values.extend(more);
            return Ok(());
        }
        *self = self.add(&List::new(more), budget)?;
        Ok(())
    }

    /// The keys of an item of a map, or the item itself of a set.
    fn key(&self, value: &Value<'a>) -> Vec<Option<Key<'a>>> {
        match (self.kind, value) {
            (ListKind::Map(names), Value::Map(map)) => {
                names.iter().map(|name| map.json_field(name)).collect()
            }
            _ => vec![Key::of(value)],
        }
    }

    pub(crate) fn equals(&self, other: &List<'a>, depth: usize) -> Result<bool, EvalError> {
        if self.len() != other.len() {
            return Ok(false);
        }
        match self.kind {
            ListKind::Atomic => {
                for (mine, its) in self.iter().zip(other.iter()) {
                    if !super::equal::equal_at(&mine?, &its?, depth)? {
                        return Ok(false);
                    }
                }
            }
            ListKind::Set => {
                let mine =
                    self.iter().map(|v| Ok(self.key(&v?))).collect::<Result<BTreeSet<_>, _>>()?;
                for item in other.iter() {
                    if !mine.contains(&self.key(&item?)) {
                        return Ok(false);
                    }
                }
            }
            ListKind::Map(_) => {
                let mut mine = BTreeMap::new();
                for item in self.iter() {
                    let item = item?;
                    mine.insert(self.key(&item), item);
                }
                for item in other.iter() {
                    let item = item?;
                    match mine.get(&self.key(&item)) {
                        Some(same) if super::equal::equal_at(same, &item, depth)? => {}
                        _ => return Ok(false),
                    }
                }
            }
        }
        Ok(true)
    }
}

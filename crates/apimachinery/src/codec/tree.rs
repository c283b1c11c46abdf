//! Builds a [`Value`] from a self-describing format, reporting duplicates and bounding depth.

use super::{Duplicate, Duplicates, MAX_DEPTH};
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// State shared by the whole decoding of one document.
#[derive(Default)]
pub(super) struct Context {
    duplicates: RefCell<Duplicates>,
    /// A repeated object is merged into the one before.
    joins: bool,
    /// Fields whose places are wanted, by their last names.
    wanted: HashMap<String, HashSet<String>>,
    places: RefCell<Places>,
    /// Number of occurrences found, including repetitions.
    found: Cell<usize>,
    /// Bytes of paths that were looked up.
    looked_up: Cell<usize>,
}

/// The places of longer paths are not recorded: every lookup costs the length of the path.
const MAX_PATH: usize = 1024;
/// Lookups end after this many bytes of paths: a document may use one name at any number of places,
/// all of them deep.
const MAX_LOOKED_UP: usize = 4 << 20;

/// Positions of the first and the last occurrence of a field, as increasing numbers.
pub(super) type Places = HashMap<String, (usize, usize)>;

/// Finds the places of these fields in a document that was decoded before.
pub(super) fn places(bytes: &[u8], wanted: HashSet<String>) -> Places {
    let mut context = Context::new();
    for path in wanted {
        let name = path.rsplit('.').next().unwrap_or_default().to_owned();
        context.wanted.entry(name).or_default().insert(path);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    deserializer.disable_recursion_limit();
    // An unreadable document has no places.
    let _ = context.seed().deserialize(&mut deserializer);
    context.places.into_inner()
}

impl Context {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// For documents that Go reads into structs.
    pub(super) fn joining(joins: bool) -> Self {
        Self { joins, ..Self::default() }
    }

    /// Records the place of a wanted field.
    fn come_to(&self, name: &str, place: &Place<'_>) {
        let name = name.rsplit('.').next().unwrap_or_default();
        let Some(wanted) = self.wanted.get(name) else { return };
        if self.looked_up.get() > MAX_LOOKED_UP {
            return;
        }
        let length = place.length();
        self.looked_up.set(self.looked_up.get() + length.min(MAX_PATH));
        if length > MAX_PATH {
            return;
        }
        let path = place.to_string();
        if wanted.contains(&path) {
            let now = self.found.get();
            self.found.set(now + 1);
            let mut places = self.places.borrow_mut();
            places.entry(path).and_modify(|(_, last)| *last = now).or_insert((now, now));
        }
    }

    pub(super) fn seed(&self) -> Seed<'_> {
        Seed { context: self, place: None, depth: 0 }
    }

    pub(super) fn into_duplicates(self) -> Vec<Duplicate> {
        self.duplicates.into_inner().into_list()
    }
}

/// The path from the root, kept on the stack and printed only when there is something to report.
#[derive(Clone, Copy)]
struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Place<'_> {
    /// Approximate length of its text in bytes.
    fn length(&self) -> usize {
        let own = match self.step {
            Step::Key(key) => key.len() + 1,
            Step::Index(_) => 3,
        };
        own + self.parent.map_or(0, Place::length)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Key(key) if self.parent.is_some() => write!(f, ".{key}"),
            Step::Key(key) => f.write_str(key),
            Step::Index(i) => write!(f, "[{i}]"),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Seed<'a> {
    context: &'a Context,
    place: Option<&'a Place<'a>>,
    depth: usize,
}

impl<'a> Seed<'a> {
    fn below(self, place: &'a Place<'a>) -> Self {
        Self { place: Some(place), depth: self.depth + 1, ..self }
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom("exceeded max depth"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        let number = Number::from_f64(v).ok_or_else(|| E::custom("number is not finite"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let place = Place { parent: self.place, step: Step::Index(items.len()) };
            match seq.next_element_seed(self.below(&place))? {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key_seed(Key)? {
            let place = Place { parent: self.place, step: Step::Key(&key) };
            self.context.come_to(&key, &place);
            let value = access.next_value_seed(self.below(&place))?;
            if map.contains_key(&key) {
                self.context.duplicates.borrow_mut().report(|| Duplicate::Field(place.to_string()));
            }
            match (map.get_mut(&key), value) {
                (Some(Value::Object(before)), Value::Object(again)) if self.context.joins => {
                    join(before, again);
                }
                (_, value) => drop(map.insert(key, value)),
            }
        }
        Ok(Value::Object(map))
    }
}

/// Go merges a repeated object into the first one.
fn join(before: &mut Map<String, Value>, again: Map<String, Value>) {
    for (key, value) in again {
        match (before.get_mut(&key), value) {
            (Some(Value::Object(before)), Value::Object(again)) => join(before, again),
            (_, value) => drop(before.insert(key, value)),
        }
    }
}

/// A map key.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<String, D::Error> {
        d.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string key")
    }

    fn visit_str<E>(self, v: &str) -> Result<String, E> {
        Ok(v.to_owned())
    }

    fn visit_string<E>(self, v: String) -> Result<String, E> {
        Ok(v)
    }
}

//! The values that a field may have.

use super::number::Number;
use crate::text::go_json;
use serde_json::Value;
use std::collections::HashSet;

/// An enumeration, in sets by type: there may be many values, and many fields to look up.
#[derive(Debug, Default)]
pub(super) struct Enumeration {
    values: Vec<Value>,
    strings: HashSet<String>,
    integers: HashSet<i64>,
    /// Bits of floats.
    floats: HashSet<u64>,
    /// Booleans, lists and maps in JSON.
    others: HashSet<String>,
}

/// Bits of a float, with one zero.
fn bits(n: f64) -> u64 {
    (n + 0.0).to_bits()
}

impl Enumeration {
    /// An empty one permits all values.
    pub(super) fn new(values: &[Value]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mut set = Self { values: values.to_vec(), ..Self::default() };
        for value in values {
            match value {
                // No value equals it.
                Value::Null => {}
                Value::String(text) => {
                    set.strings.insert(text.clone());
                }
                Value::Number(n) => match Number::new(n) {
                    Number::Int(n) => {
                        set.integers.insert(n);
                    }
                    Number::Float(n) => {
                        set.floats.insert(bits(n));
                    }
                },
                other => {
                    set.others.insert(other.to_string());
                }
            }
        }
        Some(set)
    }

    /// Upstream converts a number to the type of each permitted value: an integer is also the
    /// character with that code, and a float is also its integer part.
    #[expect(clippy::cast_possible_truncation, reason = "the integer part is meant")]
    #[expect(clippy::cast_precision_loss, reason = "as upstream converts")]
    pub(super) fn contains(&self, value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::String(text) => self.strings.contains(text),
            Value::Number(n) => match Number::new(n) {
                Number::Int(n) => {
                    let code = u32::try_from(n).ok().and_then(char::from_u32);
                    let code = code.unwrap_or(char::REPLACEMENT_CHARACTER);
                    self.integers.contains(&n)
                        || self.floats.contains(&bits(n as f64))
                        || self.strings.contains(code.encode_utf8(&mut [0; 4]))
                }
                Number::Float(n) => {
                    let fits = n.abs() < i64::MAX as f64;
                    self.floats.contains(&bits(n)) || (fits && self.integers.contains(&(n as i64)))
                }
            },
            other => !self.others.is_empty() && self.others.contains(&other.to_string()),
        }
    }

    /// The values for a message.
    pub(super) fn shown(&self) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => go_json(other),
        };
        self.values.iter().map(text).collect()
    }
}

//! Reads a few fields of an encoded object without building the rest.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Paths of fields.
pub(crate) type Paths = Vec<&'static [&'static str]>;

/// Maximum number of paths.
const MOST: usize = 64;

/// The fields at `paths` (at most 64), in their places; the rest of the object is skipped.
///
/// # Errors
/// When the bytes are not a JSON object.
pub(crate) fn read(bytes: &[u8], paths: &Paths) -> Result<Value, serde_json::Error> {
    debug_assert!(paths.len() <= MOST);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let all = Within { paths, depth: 0, wanted: u64::MAX >> (MOST - paths.len().clamp(1, MOST)) };
    let found = serde::Deserializer::deserialize_map(&mut reader, all)?;
    reader.end()?;
    Ok(found)
}

/// The paths that lead to the current value: those whose bit is set.
#[derive(Clone, Copy)]
struct Within<'p> {
    paths: &'p Paths,
    depth: usize,
    wanted: u64,
}

impl Within<'_> {
    fn each(&self) -> impl Iterator<Item = (u64, &'static [&'static str])> {
        let bits = self.paths.iter().enumerate().map(|(i, path)| (1u64 << i, *path));
        bits.filter(|(bit, _)| self.wanted & bit != 0)
    }

    /// The paths that continue with this key.
    fn by(&self, key: &str) -> u64 {
        let next = self.each().filter(|(_, path)| path.get(self.depth) == Some(&key));
        next.fold(0, |bits, (bit, _)| bits | bit)
    }

    /// Returns true if one of the paths ends here.
    fn is_end(&self) -> bool {
        self.each().any(|(_, path)| path.len() == self.depth)
    }
}

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        if self.is_end() {
            return serde::Deserialize::deserialize(reader);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some((wanted, key)) = map.next_key_seed(Key(self))? {
            if wanted == 0 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let below = Within { depth: self.depth + 1, wanted, ..self };
            found.insert(key, map.next_value_seed(below)?);
        }
        Ok(Value::Object(found))
    }

    // Another type where an object was expected: no fields are found in it.

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }
}

/// Reads a key, and keeps it only if it is needed.
struct Key<'p>(Within<'p>);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = (u64, String);

    fn deserialize<D: serde::Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = (u64, String);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        let wanted = self.0.by(key);
        Ok((wanted, if wanted == 0 { String::new() } else { key.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(object: &Value, paths: &Paths) -> Value {
        read(object.to_string().as_bytes(), paths).unwrap()
    }

    #[test]
    fn only_what_is_asked_for_is_read() {
        let object = json!({
            "metadata": {"name": "a", "labels": {"x": "1", "y": "\u{e9}\n"}, "uid": "u"},
            "spec": {"nodeName": "n", "containers": [{"name": "c"}]},
            "status": {"podIPs": [{"ip": "10.0.0.1"}], "phase": null},
        });
        let paths: Paths = vec![
            &["metadata", "labels"],
            &["spec", "nodeName"],
            &["spec", "host"],
            &["status", "podIPs"],
            &["status", "phase"],
        ];
        let wanted = json!({
            "metadata": {"labels": {"x": "1", "y": "\u{e9}\n"}},
            "spec": {"nodeName": "n"},
            "status": {"podIPs": [{"ip": "10.0.0.1"}], "phase": null},
        });
        assert_eq!(parts(&object, &paths), wanted);
    }

    #[test]
    fn other_things_in_the_way_hold_nothing() {
        let paths: Paths = vec![&["spec", "a", "b"], &["spec", "a"]];
        for spec in [json!(1), json!(-1), json!(1.5), json!("s"), json!(true), json!(null)] {
            assert_eq!(parts(&json!({"spec": spec}), &paths), json!({"spec": null}));
        }
        assert_eq!(parts(&json!({"spec": [{"a": 1}]}), &paths), json!({"spec": null}));
        assert_eq!(
            parts(&json!({"spec": {"a": {"b": 1}}}), &paths),
            json!({"spec": {"a": {"b": 1}}})
        );
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        let paths: Paths = vec![&["a"]];
        for bad in ["", "null", "[]", "{\"a\":", "{\"a\":1}}", "{\"a\":1", "{\"b\":nope}"] {
            assert!(read(bad.as_bytes(), &paths).is_err(), "{bad}");
        }
    }

    #[test]
    fn as_many_paths_as_there_are_bits() {
        let paths: Paths = (0..MOST).map(|_| &["a"][..]).collect();
        assert_eq!(parts(&json!({"a": 1, "b": 2}), &paths), json!({"a": 1}));
    }
}

//! Access to the parts of an object that every kind shares.

use serde_json::{Map, Value};

/// An API object of any kind, in its JSON form.
pub type Object = Value;

/// Maximum nesting of an object: no decoder here reads deeper, so nothing deeper may be created.
pub const MAX_DEPTH: usize = 120;

/// Returns true if a value nests deeper than `depth` levels of lists and maps.
#[must_use]
pub fn is_deeper_than(value: &Value, depth: usize) -> bool {
    let beyond = |inner: &Value| depth == 0 || is_deeper_than(inner, depth - 1);
    match value {
        Value::Array(items) => depth == 0 || items.iter().any(beyond),
        Value::Object(map) => depth == 0 || map.values().any(beyond),
        _ => false,
    }
}

/// Reads and writes the metadata of an [`Object`].
///
/// Readers are total: an absent value or one of the wrong type reads as empty.
pub trait ObjectExt {
    /// `apiVersion`, for example `apps/v1`.
    fn api_version(&self) -> &str;
    /// `kind`, for example `Deployment`.
    fn kind(&self) -> &str;
    /// `metadata.name`.
    fn name(&self) -> &str;
    /// `metadata.namespace`; empty for cluster-scoped objects.
    fn namespace(&self) -> &str;
    /// `metadata.uid`.
    fn uid(&self) -> &str;
    /// `metadata.resourceVersion`.
    fn resource_version(&self) -> &str;
    /// `metadata.generation`; 0 when absent.
    fn generation(&self) -> i64;
    /// `metadata.deletionTimestamp`, when deletion has begun.
    fn deletion_timestamp(&self) -> Option<&str>;
    /// `metadata.labels`.
    fn labels(&self) -> impl Iterator<Item = (&str, &str)>;
    /// One label's value.
    fn label(&self, key: &str) -> Option<&str>;
    /// `metadata.annotations`.
    fn annotations(&self) -> impl Iterator<Item = (&str, &str)>;
    /// One annotation's value.
    fn annotation(&self, key: &str) -> Option<&str>;
    /// `metadata.finalizers`.
    fn finalizers(&self) -> impl Iterator<Item = &str>;
    /// `metadata.ownerReferences`.
    fn owner_references(&self) -> impl Iterator<Item = &Value>;
    /// The owner reference whose `controller` is true.
    fn controller_of(&self) -> Option<&Value>;
    /// `metadata`, when it is an object.
    fn meta(&self) -> Option<&Map<String, Value>>;
    /// `metadata`, created when absent or not an object.
    fn meta_mut(&mut self) -> &mut Map<String, Value>;
    /// Sets one metadata field; `Value::Null` removes it.
    fn set_meta(&mut self, key: &str, value: Value);
    /// The value at a path of field names.
    fn get_path(&self, path: &[&str]) -> Option<&Value>;
    /// The string at a path of field names; empty when absent.
    fn str_at(&self, path: &[&str]) -> &str;
    /// Sets the value at a path of field names, creating the objects on the way.
    fn set_path(&mut self, path: &[&str], value: Value);
    /// Removes and returns the value at a path of field names.
    fn remove_path(&mut self, path: &[&str]) -> Option<Value>;
}

/// The strings of a list; empty when absent.
#[must_use]
pub fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn str_of(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn pairs<'a>(map: Option<&'a Value>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    map.and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}

/// Makes `value` an object if it is not one yet.
fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("just made an object"),
    }
}

impl ObjectExt for Value {
    fn api_version(&self) -> &str {
        str_of(self.get("apiVersion"))
    }

    fn kind(&self) -> &str {
        str_of(self.get("kind"))
    }

    fn name(&self) -> &str {
        self.str_at(&["metadata", "name"])
    }

    fn namespace(&self) -> &str {
        self.str_at(&["metadata", "namespace"])
    }

    fn uid(&self) -> &str {
        self.str_at(&["metadata", "uid"])
    }

    fn resource_version(&self) -> &str {
        self.str_at(&["metadata", "resourceVersion"])
    }

    fn generation(&self) -> i64 {
        self.get_path(&["metadata", "generation"]).and_then(Value::as_i64).unwrap_or_default()
    }

    fn deletion_timestamp(&self) -> Option<&str> {
        self.get_path(&["metadata", "deletionTimestamp"])?.as_str()
    }

    fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.get_path(&["metadata", "labels"]))
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.get_path(&["metadata", "labels", key])?.as_str()
    }

    fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(self.get_path(&["metadata", "annotations"]))
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.get_path(&["metadata", "annotations", key])?.as_str()
    }

    fn finalizers(&self) -> impl Iterator<Item = &str> {
        self.get_path(&["metadata", "finalizers"])
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    }

    fn owner_references(&self) -> impl Iterator<Item = &Value> {
        self.get_path(&["metadata", "ownerReferences"])
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }

    fn controller_of(&self) -> Option<&Value> {
        self.owner_references().find(|r| r.get("controller") == Some(&Value::Bool(true)))
    }

    fn meta(&self) -> Option<&Map<String, Value>> {
        self.get("metadata")?.as_object()
    }

    fn meta_mut(&mut self) -> &mut Map<String, Value> {
        as_map(as_map(self).entry("metadata").or_insert_with(|| Value::Object(Map::new())))
    }

    fn set_meta(&mut self, key: &str, value: Value) {
        if value.is_null() {
            self.meta_mut().remove(key);
        } else {
            self.meta_mut().insert(key.to_owned(), value);
        }
    }

    fn get_path(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.as_object()?.get(*key))
    }

    fn str_at(&self, path: &[&str]) -> &str {
        str_of(self.get_path(path))
    }

    fn set_path(&mut self, path: &[&str], value: Value) {
        let mut target = self;
        for key in path {
            target = as_map(target).entry(*key).or_insert(Value::Null);
        }
        *target = value;
    }

    fn remove_path(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let mut target = self;
        for key in parents {
            target = target.as_object_mut()?.get_mut(*key)?;
        }
        target.as_object_mut()?.remove(*last)
    }
}

/// Leaves out fields that are null, at every depth: in configuration files they are as good as absent.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_are_total() {
        let odd = json!({"metadata": {"name": 3, "labels": {"a": "b", "c": 1}}});
        assert_eq!(odd.name(), "");
        assert_eq!(odd.labels().collect::<Vec<_>>(), [("a", "b")]);
        assert_eq!(Value::Null.finalizers().count(), 0);
    }

    #[test]
    fn writes_create_what_is_missing() {
        let mut object = Value::Null;
        object.set_meta("name", json!("x"));
        object.set_path(&["spec", "a", "b"], json!(1));
        assert_eq!(object, json!({"metadata": {"name": "x"}, "spec": {"a": {"b": 1}}}));
        assert_eq!(object.remove_path(&["spec", "a", "b"]), Some(json!(1)));
        object.set_meta("name", Value::Null);
        assert_eq!(object, json!({"metadata": {}, "spec": {"a": {}}}));
    }
}

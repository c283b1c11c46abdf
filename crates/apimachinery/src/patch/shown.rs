//! A patched object as upstream's messages show it: the touched part was decoded and has sorted
//! keys, the rest is as Go wrote it.

use crate::schema::{Layout, Shape, Slot, Type};
use crate::text::go_json;
use serde_json::{Map, Value};

/// The JSON of `new`, which a patch produced from `old`.
#[must_use]
pub fn shown_patched(ty: &Type, old: &Value, new: &Value) -> String {
    let mut text = String::new();
    fields(Known::Type(ty), old, new, &mut text);
    text
}

/// The JSON of a value as Go writes it.
#[must_use]
pub fn shown(ty: &Type, value: &Value) -> String {
    shown_patched(ty, value, value)
}

/// The known type of a value.
#[derive(Clone, Copy)]
enum Known<'a> {
    Type(&'a Type),
    Shape(&'a Shape),
    Nothing,
}

impl<'a> Known<'a> {
    fn child(self, name: &str) -> Self {
        match self {
            Self::Type(ty) => ty.field(name).map_or(Self::Nothing, |f| Self::Shape(&f.shape)),
            Self::Shape(Shape::Object(ty)) => Self::Type(ty).child(name),
            Self::Shape(Shape::Map(map)) => Self::Shape(&map.value),
            _ => Self::Nothing,
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Shape(Shape::List(list)) => Self::Shape(&list.item),
            _ => Self::Nothing,
        }
    }

    fn ty(self) -> Option<&'a Type> {
        match self {
            Self::Type(ty) => Some(ty),
            Self::Shape(Shape::Object(ty)) => Some(ty),
            _ => None,
        }
    }
}

/// Writes a value that may have been touched.
fn fields(known: Known<'_>, old: &Value, new: &Value, text: &mut String) {
    if old == new {
        return untouched(known, new, text);
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let was = |name: &str| old.get(name).unwrap_or(&Value::Null);
            list(text, '{', '}', new.iter(), |(name, value), text| {
                key(name, text);
                fields(known.child(name), was(name), value, text);
            });
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            list(text, '[', ']', old.iter().zip(new), |(old, new), text| {
                fields(known.item(), old, new, text);
            });
        }
        // Merged as it was written.
        (_, Value::Number(new)) => text.push_str(&new.to_string()),
        _ => text.push_str(&go_json(new)),
    }
}

/// Writes a value as Go wrote it.
fn untouched(known: Known<'_>, value: &Value, text: &mut String) {
    match (value, known.ty()) {
        (Value::Object(map), Some(ty)) => {
            let names = in_order(ty, map);
            list(text, '{', '}', names.into_iter(), |name, text| {
                key(name, text);
                untouched(known.child(name), &map[name], text);
            });
        }
        (Value::Object(map), None) => list(text, '{', '}', map.iter(), |(name, value), text| {
            key(name, text);
            untouched(known.child(name), value, text);
        }),
        (Value::Array(items), _) => list(text, '[', ']', items.iter(), |item, text| {
            untouched(known.item(), item, text);
        }),
        _ => text.push_str(&go_json(value)),
    }
}

/// The keys of the map in Go's order of declaration; kind and version come first.
fn in_order<'a>(ty: &'a Type, map: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut names: Vec<&str> = ["kind", "apiVersion"]
        .into_iter()
        .filter(|name| map.contains_key(*name) && ty.field(name).is_none_or(|f| f.tag == 0))
        .collect();
    // The only type that declares another field before its first number.
    if ty.short_name() == "OwnerReference" {
        names.push("apiVersion");
    }
    declared(ty.layout(), ty, &mut names);
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(*name));
    names.retain(|name| map.contains_key(*name));
    for name in map.keys() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

fn declared<'a>(layout: &Layout, ty: &'a Type, names: &mut Vec<&'a str>) {
    for (_, slot) in &layout.0 {
        match slot {
            Slot::Field(index) => names.push(&ty.fields[*index].name),
            Slot::Flattened(inner) => declared(inner, ty, names),
        }
    }
}

fn key(name: &str, text: &mut String) {
    text.push_str(&go_json(&Value::from(name)));
    text.push(':');
}

fn list<T>(
    text: &mut String,
    open: char,
    close: char,
    items: impl Iterator<Item = T>,
    mut show: impl FnMut(T, &mut String),
) {
    text.push(open);
    for (i, item) in items.enumerate() {
        if i > 0 {
            text.push(',');
        }
        show(item, text);
    }
    text.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Registry;
    use serde_json::json;

    #[test]
    fn what_was_touched_has_sorted_keys() {
        let old = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "a", "labels": {"x": "<"}, "uid": "u", "namespace": "n"},
            "spec": {"volumes": [{"secret": {"secretName": "s"}, "name": "v"}],
                "containers": [{"name": "c", "image": "i"}]},
        });
        let mut new = old.clone();
        new["spec"]["hostname"] = json!(1);
        let ty = Registry::builtin().lookup("", "v1", "Pod").unwrap();
        let want = concat!(
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"n","uid":"u","#,
            r#""labels":{"x":"\u003c"}},"spec":{"containers":[{"name":"c","image":"i"}],"hostname":1,"#,
            r#""volumes":[{"name":"v","secret":{"secretName":"s"}}]}}"#
        );
        assert_eq!(shown_patched(ty, &old, &new), want);
    }
}

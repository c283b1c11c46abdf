//! Rules that upstream's types declare about their fields (its declarative validation), beside those
//! that a kind's strategy has.
//!
//! `declared.facts` has a line for each type with rules, or with types below that have some, and below
//! it one for each such field: its name, its shape and the type that it holds, and its rules. The
//! shape is `-` for a value, `*` for one behind a pointer, `[]` and `{}` for lists and maps. Rules:
//!
//! ```text
//! required  optional  forbidden  immutable  update=NoModify|NoSet|NoUnset
//! frozen                              below a field that changed nothing is looked at
//! minimum=N  maximum=N  maxItems=N  maxLength=N  maxBytes=N  format=NAME  enum=A|B
//! each:RULE  key:RULE  sub:FIELD:RULE     about the items, the keys, or a field of the value
//! unique  unique=KEYS  keys=KEYS          items differ; KEYS tell which was which before
//! union                                   exactly one of the struct's fields with this rule is set
//! mode  mode:VALUE:RULE                   VALUE of the field `mode` has another field follow RULE
//! atMostOne=KEY:VALUE                     at most one of the items that some such rules name
//! ```
//!
//! A part that is the same as before is not checked again.

mod formats;
mod struct_rules;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::schema::Registry;
use serde_json::Value;

use super::kind::Kind;
pub(super) use formats::is_uuid;

/// A field with rules, or with a type below that has some.
struct Declared {
    name: &'static str,
    shape: Shape,
    /// The type in it.
    below: &'static str,
    rules: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Value,
    Pointer,
    List,
    Map,
}

static TYPES: LazyLock<HashMap<&'static str, Vec<Declared>>> = LazyLock::new(|| {
    let mut types: HashMap<&'static str, Vec<Declared>> = HashMap::new();
    let mut current = "";
    for line in include_str!("declared.facts").lines().filter(|line| !line.starts_with('#')) {
        let Some(field) = line.strip_prefix(' ') else {
            current = line;
            continue;
        };
        let mut words = field.split(' ');
        let (Some(name), Some(of)) = (words.next(), words.next()) else { continue };
        let (shape, below) = match of.split_at(1) {
            ("*", below) => (Shape::Pointer, below),
            ("[", below) => (Shape::List, &below[1..]),
            ("{", below) => (Shape::Map, &below[1..]),
            (_, below) => (Shape::Value, below),
        };
        let declared = Declared { name, shape, below, rules: words.collect() };
        types.entry(current).or_default().push(declared);
    }
    types
});

/// The findings about an object of a kind, whose old form is there on an update; they come after those
/// of the kind's strategy, and in place of those that say the same of a field. No error is told twice.
pub(crate) fn merge(kind: &Kind, object: &Value, old: Option<&Value>, errors: &mut ErrorList) {
    // Upstream's servers of definitions and of other servers have no declared rules.
    if kind.custom.is_some()
        || matches!(kind.group, "apiextensions.k8s.io" | "apiregistration.k8s.io")
    {
        return;
    }
    // A large object can be wrong in every place. So many findings tell enough of it.
    errors.0.truncate(MOST);
    let mut told = HashSet::new();
    errors.0.retain(|error| told.insert(error.to_string()));
    let ty = Registry::builtin().lookup(kind.group, kind.version, kind.kind);
    let Some(ty) = ty else { return };
    if !TYPES.contains_key(ty.name.as_str()) {
        return;
    }
    let mut visit = Visit { is_update: old.is_some(), found: Vec::new() };
    visit.object(&ty.name, object, old, &Path::root());
    let mut found = visit.found;
    found.truncate(MOST);
    {
        let declared: HashSet<_> = found.iter().map(|error| (error.kind, &error.path)).collect();
        // A rule that names another field is not one of those that are declared about the field itself.
        let says_the_same = |own: &FieldError| {
            declared.contains(&(own.kind, &own.path)) && !own.detail.contains('`')
        };
        errors.0.retain(|own| !says_the_same(own));
    }
    errors.0.extend(found);
}

/// Maximum number of findings of each sort.
const MOST: usize = 1000;

/// A walk over an object.
struct Visit {
    is_update: bool,
    found: Vec<FieldError>,
}

/// A field on the way: its value, its old value if the struct around it was there before, its path.
#[derive(Clone, Copy)]
struct At<'a> {
    value: &'a Value,
    old: Option<&'a Value>,
    path: &'a Path,
    shape: Shape,
}

impl At<'_> {
    /// Returns true if Go has nothing there: no pointer, or a zero.
    fn is_empty(self) -> bool {
        match (self.shape, self.value) {
            (_, Value::Null) => true,
            (Shape::Pointer, _) => false,
            (_, Value::String(text)) => text.is_empty(),
            (_, Value::Array(items)) => items.is_empty(),
            (Shape::Map, Value::Object(map)) => map.is_empty(),
            (_, Value::Number(number)) => number.as_i64() == Some(0),
            (_, Value::Bool(flag)) => !flag,
            _ => false,
        }
    }
}

impl Visit {
    fn object(&mut self, ty: &str, value: &Value, old: Option<&Value>, path: &Path) {
        let Some(fields) = TYPES.get(ty) else { return };
        struct_rules::union(self, fields, value, old, path);
        struct_rules::modes(self, fields, value, old, path);
        for field in fields {
            let old = old.map(|old| &old[field.name]);
            let path = path.child(field.name);
            let at = At { value: &value[field.name], old, path: &path, shape: field.shape };
            if self.is_update && old.is_some_and(|old| old == at.value) {
                continue;
            }
            self.field(field, at);
        }
    }

    fn field(&mut self, field: &Declared, at: At<'_>) {
        if self.stops(&field.rules, at) {
            return;
        }
        for rule in &field.rules {
            self.rule(rule, at);
        }
        struct_rules::at_most_one(self, field, at);
        if field.below.is_empty() {
            return;
        }
        match (field.shape, at.value) {
            (Shape::List, Value::Array(items)) => {
                let keys = field.rules.iter().find_map(|rule| {
                    rule.strip_prefix("unique=").or_else(|| rule.strip_prefix("keys="))
                });
                let old = keys.map(|keys| by_keys(at.old, keys));
                for (i, item) in items.iter().enumerate() {
                    if self.found.len() > MOST {
                        return;
                    }
                    let before = keys
                        .zip(old.as_ref())
                        .and_then(|(keys, old)| old.get(&identity(keys, item)).copied());
                    if !(self.is_update && before == Some(item)) {
                        self.object(field.below, item, before, &at.path.index(i));
                    }
                }
            }
            (Shape::Map, Value::Object(map)) => {
                for (key, item) in map {
                    let before = at.old.and_then(|old| old.get(key));
                    if !(self.is_update && before == Some(item)) {
                        self.object(field.below, item, before, &at.path.key(key));
                    }
                }
            }
            (_, Value::Null) => {}
            (_, value) => {
                self.object(field.below, value, at.old.filter(|old| !old.is_null()), at.path);
            }
        }
    }

    /// Applies the rules after which nothing else is looked at; returns true if that is so.
    fn stops(&mut self, rules: &[&str], at: At<'_>) -> bool {
        let before = self.found.len();
        let mut leave = false;
        for rule in rules {
            let (word, rest) = rule.split_once('=').unwrap_or((rule, ""));
            match word {
                "required" if at.is_empty() => self.found.push(FieldError::required(at.path, "")),
                "optional" => leave |= at.is_empty(),
                "forbidden" if !at.is_empty() => {
                    self.found.push(FieldError::forbidden(at.path, ""));
                }
                "immutable" if self.is_update && at.old.is_some() => {
                    self.changed(at, "field is immutable");
                }
                "frozen" => leave |= self.is_update && at.old.is_some(),
                "update" => self.update(rest, at),
                "maxItems" => {
                    let (max, count) = (number(rest), at.value.as_array().map_or(0, Vec::len));
                    if count > max {
                        self.found.push(FieldError::too_many(at.path, count, max));
                    }
                }
                _ => {}
            }
        }
        leave || self.found.len() > before
    }

    fn changed(&mut self, at: At<'_>, why: &str) {
        self.found.push(FieldError::invalid(at.path, Value::Null, why).showing("null"));
    }

    /// Rules about what may become of a value.
    fn update(&mut self, how: &str, at: At<'_>) {
        let Some(old) = at.old.filter(|_| self.is_update) else { return };
        let was_empty = At { value: old, ..at }.is_empty();
        match (how, was_empty, at.is_empty()) {
            ("NoSet", true, false) => self.changed(at, "field cannot be set once created"),
            ("NoUnset", false, true) => self.changed(at, "field cannot be cleared once set"),
            ("NoModify", false, false) => self.changed(at, "field cannot be modified once set"),
            _ => {}
        }
    }

    fn rule(&mut self, rule: &str, at: At<'_>) {
        if let Some(rule) = rule.strip_prefix("each:") {
            for (i, item) in at.value.as_array().into_iter().flatten().enumerate() {
                let path = at.path.index(i);
                self.rule(rule, At { value: item, old: None, path: &path, shape: Shape::Value });
            }
            return;
        }
        if let Some(rule) = rule.strip_prefix("key:") {
            for key in at.value.as_object().into_iter().flat_map(|map| map.keys()) {
                let key = Value::from(key.as_str());
                self.rule(rule, At { value: &key, old: None, shape: Shape::Value, ..at });
            }
            return;
        }
        if let Some((field, rule)) = rule.strip_prefix("sub:").and_then(|r| r.split_once(':')) {
            let (value, old) = (&at.value[field], at.old.map(|old| &old[field]));
            let path = at.path.child(field);
            let at = At { value, old, path: &path, shape: Shape::Value };
            if !at.is_empty() && old != Some(value) {
                self.rule(rule, at);
            }
            return;
        }
        let (word, rest) = rule.split_once('=').unwrap_or((rule, ""));
        match (word, at.value) {
            ("unique", Value::Array(items)) => self.unique(rest, items, at.path),
            (_, Value::Null) => {}
            ("format", Value::String(text)) => {
                self.found.extend(formats::check(rest, text, at.path))
            }
            ("enum", Value::String(text)) => {
                let known: Vec<&str> = rest.split('|').collect();
                if !known.contains(&text.as_str()) {
                    self.found.push(FieldError::not_supported(at.path, text.as_str(), &known));
                }
            }
            ("maxLength", Value::String(text)) if text.chars().count() > number(rest) => {
                self.found.push(FieldError::too_long_text(at.path, number(rest)));
            }
            ("maxBytes", Value::String(text)) if text.len() > number(rest) => {
                self.found.push(FieldError::too_long(at.path, number(rest)));
            }
            ("minimum", value) => {
                let least: i64 = rest.parse().unwrap_or(0);
                if value.as_i64().is_some_and(|number| number < least) {
                    let why = format!("must be greater than or equal to {least}");
                    self.found.push(FieldError::invalid(at.path, value.clone(), why));
                }
            }
            ("maximum", value) => {
                let most: i64 = rest.parse().unwrap_or(i64::MAX);
                if value.as_i64().is_some_and(|number| number > most) {
                    let why = format!("must be less than or equal to {most}");
                    self.found.push(FieldError::invalid(at.path, value.clone(), why));
                }
            }
            _ => {}
        }
    }

    /// Each item that repeats an earlier one, by its keys or as a whole.
    fn unique(&mut self, keys: &str, items: &[Value], path: &Path) {
        let mut seen = HashSet::new();
        for (i, item) in items.iter().enumerate() {
            let own = match keys {
                "" => vec![Cow::Owned(item.to_string())],
                keys => identity(keys, item),
            };
            if !seen.insert(own) {
                self.found.push(FieldError::duplicate(&path.index(i), item.clone()));
            }
        }
    }
}

/// An absent key is an empty one.
fn zero(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The values of an item's keys.
fn identity<'a>(keys: &str, item: &'a Value) -> Vec<Cow<'a, str>> {
    keys.split(',').map(|key| Cow::Borrowed(zero(&item[key]))).collect()
}

/// The items of the old list by their keys; of those with the same, the first.
fn by_keys<'a>(old: Option<&'a Value>, keys: &str) -> HashMap<Vec<Cow<'a, str>>, &'a Value> {
    let items = old.and_then(Value::as_array).into_iter().flatten().rev();
    items.map(|item| (identity(keys, item), item)).collect()
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(name: &str, object: &Value, old: Option<&Value>) -> Vec<String> {
        let kind = crate::registry::kinds().find(|kind| kind.kind == name).unwrap();
        let mut errors = ErrorList::new();
        merge(kind, object, old, &mut errors);
        errors.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn members_follow_the_mode() {
        let level = json!({"spec": {"type": "Limited", "exempt": {}}});
        assert_eq!(
            found("PriorityLevelConfiguration", &level, None),
            ["spec.exempt: Forbidden", "spec.limited: Required value"]
        );
        // Only a change is judged.
        assert_eq!(found("PriorityLevelConfiguration", &level, Some(&level)), [""; 0]);
    }

    #[test]
    fn a_union_has_one_member() {
        let slice =
            |attribute: Value| json!({"spec": {"devices": [{"attributes": {"a": attribute}}]}});
        let all = |of: Value| found("ResourceSlice", &slice(of), None);
        assert_eq!(all(json!({"int": 0})), [""; 0]);
        let none = all(json!({}));
        assert!(none[0].starts_with(
            "spec.devices[0].attributes[a]: Invalid value: \"\": must specify one of: `int`, `bool`"
        ), "{none:?}");
        let two = all(json!({"int": 0, "string": "x"}));
        assert!(two[0].starts_with(
            "spec.devices[0].attributes[a]: Invalid value: \"{int, string}\": must specify exactly one of: "
        ), "{two:?}");
    }

    #[test]
    fn values_and_their_changes_are_judged() {
        let attachment = |attacher: &str| json!({"spec": {"attacher": attacher}});
        let bad = found("VolumeAttachment", &attachment("a_b"), None);
        assert!(bad.len() == 1 && bad[0].contains("an RFC 1123 subdomain"), "{bad:?}");
        assert_eq!(
            found("VolumeAttachment", &attachment(&"a".repeat(64)), None),
            ["spec.attacher: Too long: may not be more than 63 characters"]
        );
        assert_eq!(
            found("VolumeAttachment", &attachment("b"), Some(&attachment("a"))),
            ["spec: Invalid value: null: field is immutable"]
        );
        let claim = |n: usize| {
            let requests: Vec<Value> = (0..n).map(|i| json!({"name": format!("r{i}")})).collect();
            json!({"spec": {"devices": {"requests": requests}}})
        };
        assert_eq!(
            found("ResourceClaim", &claim(33), None),
            ["spec.devices.requests: Too many: 33: must have at most 32 items"]
        );
        let twice = json!({"spec": {"devices": {"requests": [{"name": "r"}, {"name": "r"}]}}});
        assert_eq!(
            found("ResourceClaim", &twice, None),
            ["spec.devices.requests[1]: Duplicate value: {\"name\":\"r\"}"]
        );
    }

    #[test]
    fn nothing_is_said_twice() {
        let kind = crate::registry::kinds().find(|kind| kind.kind == "IngressClass").unwrap();
        let object = json!({"spec": {"parameters": {"kind": "", "name": "n"}}});
        let path = Path::new("spec").child("parameters").child("kind");
        let other = FieldError::required(&path.child("x"), "why");
        let own = [FieldError::required(&path, "kind is required"), other.clone(), other];
        let mut errors = ErrorList(own.into());
        merge(kind, &object, None, &mut errors);
        let errors: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            ["spec.parameters.kind.x: Required value: why", "spec.parameters.kind: Required value"]
        );
    }

    #[test]
    fn every_rule_is_known() {
        const KNOWN: &[&str] = &[
            "required",
            "optional",
            "forbidden",
            "immutable",
            "frozen",
            "update",
            "minimum",
            "maximum",
            "maxItems",
            "maxLength",
            "maxBytes",
            "format",
            "enum",
            "unique",
            "keys",
            "union",
            "mode",
            "atMostOne",
        ];
        let mut seen = 0;
        for field in TYPES.values().flatten() {
            assert!(field.below.is_empty() || TYPES.contains_key(field.below), "{}", field.below);
            for rule in &field.rules {
                let parts: Vec<&str> = rule.split(':').collect();
                let last = match parts[..] {
                    ["each" | "key", last] | ["sub" | "mode", _, last] => last,
                    _ => rule,
                };
                let word = last.split('=').next().unwrap();
                assert!(KNOWN.contains(&word), "{rule}");
                if let Some(format) = last.strip_prefix("format=") {
                    assert!(formats::KNOWN.contains(&format), "{format}");
                }
                seen += 1;
            }
        }
        assert!(seen > 100, "{seen} rules");
    }
}

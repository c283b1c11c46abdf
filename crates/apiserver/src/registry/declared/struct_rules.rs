//! Declared rules about several fields of a struct, or several items of a list.

use apimachinery::field::{FieldError, Path};
use serde_json::Value;

use super::{At, Declared, Visit};

fn at<'a>(field: &Declared, value: &'a Value, path: &'a Path) -> At<'a> {
    At { value: &value[field.name], old: None, path, shape: field.shape }
}

fn list<'a>(names: impl Iterator<Item = &'a str>, quote: &str) -> String {
    let names: Vec<String> = names.map(|name| format!("{quote}{name}{quote}")).collect();
    names.join(", ")
}

/// Requires exactly one member of a union; one that has the same members as before is kept.
pub(super) fn union(
    visit: &mut Visit,
    fields: &[Declared],
    value: &Value,
    old: Option<&Value>,
    path: &Path,
) {
    let members = || fields.iter().filter(|field| field.rules.contains(&"union"));
    if members().next().is_none() {
        return;
    }
    let set = |value: &Value| -> Vec<&str> {
        members().filter(|field| !at(field, value, path).is_empty()).map(|f| f.name).collect()
    };
    let now = set(value);
    if visit.is_update && old.is_some_and(|old| set(old) == now) {
        return;
    }
    let all = list(members().map(|field| field.name), "`");
    match now.len() {
        0 => {
            let why = format!("must specify one of: {all}");
            visit.found.push(FieldError::invalid(path, "", why));
        }
        1 => {}
        _ => {
            let shown = format!("{{{}}}", list(now.into_iter(), ""));
            let why = format!("must specify exactly one of: {all}");
            visit.found.push(FieldError::invalid(path, shown, why));
        }
    }
}

/// Fields that the value of another one requires or forbids.
pub(super) fn modes(
    visit: &mut Visit,
    fields: &[Declared],
    value: &Value,
    old: Option<&Value>,
    path: &Path,
) {
    let Some(by) = fields.iter().find(|field| field.rules.contains(&"mode")) else { return };
    let mode = value[by.name].as_str().unwrap_or_default();
    let mut members: Vec<&Declared> = fields.iter().collect();
    members.sort_by_key(|field| field.name);
    for field in members {
        let mut rules = field.rules.iter().filter_map(|rule| rule.strip_prefix("mode:"));
        let Some(first) = rules.next() else { continue };
        let same = |name: &str| old.is_some_and(|old| old[name] == value[name]);
        if visit.is_update && same(by.name) && same(field.name) {
            continue;
        }
        let mut rules = std::iter::once(first).chain(rules);
        let rule = rules.find_map(|rule| rule.strip_prefix(mode)?.strip_prefix(':'));
        let (empty, path) = (at(field, value, path).is_empty(), path.child(field.name));
        match rule {
            Some("required") if empty => visit.found.push(FieldError::required(&path, "")),
            Some(_) => {}
            None if !empty => visit.found.push(FieldError::forbidden(&path, "")),
            None => {}
        }
    }
}

/// Refuses a list with more than one of the items that its rules name.
pub(super) fn at_most_one(visit: &mut Visit, field: &Declared, at: At<'_>) {
    let named: Vec<(&str, &str)> = field
        .rules
        .iter()
        .filter_map(|rule| rule.strip_prefix("atMostOne=")?.split_once(':'))
        .collect();
    if named.is_empty() {
        return;
    }
    let has = |value: &Value, (key, of): (&str, &str)| {
        value.as_array().into_iter().flatten().any(|item| item[key] == of)
    };
    let set = |value: &Value| -> Vec<(&str, &str)> {
        named.iter().copied().filter(|item| has(value, *item)).collect()
    };
    let now = set(at.value);
    let was = at.old.filter(|old| !old.is_null());
    if now.len() < 2 || (visit.is_update && was.is_some_and(|old| set(old) == now)) {
        return;
    }
    let shown = |items: &[(&str, &str)], quote: &str| {
        let names: Vec<String> = items
            .iter()
            .map(|(key, of)| format!("{}[{{\"{key}\": \"{of}\"}}]", field.name))
            .collect();
        list(names.iter().map(String::as_str), quote)
    };
    let why = format!("must specify at most one of: {}", shown(&named, "`"));
    visit.found.push(FieldError::invalid(at.path, format!("{{{}}}", shown(&now, "")), why));
}

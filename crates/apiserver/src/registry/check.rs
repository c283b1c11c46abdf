//! A cursor over an object under validation, so that a kind's rules read like a table.

mod conditions;
mod diff;
mod domain;
pub(crate) mod json_path;
mod labels;
mod rules;
mod shown;
mod signer;
pub(crate) mod url;

use std::cell::RefCell;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::quantity::Quantity;
use serde_json::Value;

pub(crate) use conditions::check_conditions;
pub(crate) use diff::diff;
pub(crate) use domain::{check_csi_driver_name, check_domain_path};
pub(crate) use labels::{
    check_label_selector, check_labels, check_user_annotations, selector_of, show_selector,
};
pub(crate) use rules::{Names, in_range, no_backsteps};
pub(crate) use shown::{internal, show_metadata};
pub(crate) use signer::check_signer_name;

/// The findings of validation so far.
#[derive(Default)]
struct Findings(RefCell<Vec<FieldError>>);

/// A field of the object: its value (null if absent), its path, and the list of findings.
///
/// Readers take a child's name and are total: an absent child reads as empty. The path of a child
/// is only built when it is visited or reported.
pub(crate) struct Field<'a> {
    value: &'a Value,
    path: Path,
    findings: &'a Findings,
}

/// Runs `rules` over `value`, which is at `path`.
pub(crate) fn check_at(value: &Value, path: Path, rules: impl FnOnce(&Field<'_>)) -> ErrorList {
    let findings = Findings::default();
    rules(&Field { value, path, findings: &findings });
    ErrorList(findings.0.into_inner())
}

/// Runs `rules` over a whole object.
pub(crate) fn check(object: &Value, rules: impl FnOnce(&Field<'_>)) -> ErrorList {
    check_at(object, Path::root(), rules)
}

/// Rules of a field.
pub(crate) type Rule = fn(&Field<'_>);

impl<'a> Field<'a> {
    fn with(&self, value: &'a Value, path: Path) -> Self {
        Self { value, path, findings: self.findings }
    }

    /// The same path with another value to check.
    pub(crate) fn instead(&self, value: &'a Value) -> Self {
        self.with(value, self.path.clone())
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A child, which may be absent.
    pub(crate) fn at(&self, name: &str) -> Self {
        self.with(&self.value[name], self.path.child(name))
    }

    /// A child whose path uses another name than its value, as some of upstream's do.
    pub(crate) fn at_as(&self, name: &str, shown: &str) -> Self {
        self.with(&self.value[name], self.path.child(shown))
    }

    /// The entry of this map, for findings.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(&self.value[key], self.path.key(key))
    }

    /// The entry of this map with another form of its key in the path.
    pub(crate) fn key_as(&self, key: &str, shown: &str) -> Self {
        self.with(&self.value[key], self.path.key(shown))
    }

    /// The item of this list, for findings.
    pub(crate) fn index(&self, i: usize) -> Self {
        self.with(&self.value[i], self.path.index(i))
    }

    /// A child, if it is present.
    pub(crate) fn opt(&self, name: &str) -> Option<Self> {
        self.has(name).then(|| self.at(name))
    }

    /// The items of a list.
    pub(crate) fn items(&self, name: &str) -> impl Iterator<Item = Self> + use<'a> {
        let list = self.value[name].as_array().map_or(&[][..], Vec::as_slice);
        let base = if list.is_empty() { Path::root() } else { self.path.child(name) };
        let findings = self.findings;
        list.iter().enumerate().map(move |(i, value)| Field {
            value,
            path: base.index(i),
            findings,
        })
    }

    /// The entries of a map.
    pub(crate) fn entries(&self, name: &str) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let map = self.value[name].as_object();
        let base = self.path.child(name);
        let findings = self.findings;
        map.into_iter()
            .flatten()
            .map(move |(key, value)| (key.as_str(), Field { value, path: base.key(key), findings }))
    }

    /// Returns true if a child is present.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.value[name].is_null()
    }

    pub(crate) fn get(&self, name: &str) -> &'a Value {
        &self.value[name]
    }

    /// A child's text.
    pub(crate) fn str(&self, name: &str) -> &'a str {
        self.value[name].as_str().unwrap_or_default()
    }

    /// This value's text.
    pub(crate) fn text(&self) -> &'a str {
        self.value.as_str().unwrap_or_default()
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        self.value[name].as_i64()
    }

    /// Returns true if a child is the boolean true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.value[name] == true
    }

    /// Length of a list or map.
    pub(crate) fn len(&self, name: &str) -> usize {
        match &self.value[name] {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        }
    }

    /// The texts of a list.
    pub(crate) fn strings(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.value[name].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// This value as a quantity; the schema has checked it.
    pub(crate) fn quantity(&self) -> Quantity {
        quantity(self.value)
    }

    // Findings about this field.

    pub(crate) fn push(&self, error: FieldError) {
        self.findings.0.borrow_mut().push(error);
    }

    pub(crate) fn extend(&self, errors: ErrorList) {
        self.findings.0.borrow_mut().extend(errors);
    }

    /// The number of findings, to detect later whether more were added.
    pub(crate) fn count(&self) -> usize {
        self.findings.0.borrow().len()
    }

    /// The value as a finding shows it: an absent value is an empty string in Go.
    fn own(&self) -> Value {
        if self.value.is_null() { "".into() } else { self.value.clone() }
    }

    pub(crate) fn invalid(&self, detail: impl Into<String>) {
        self.push(FieldError::invalid(&self.path, self.own(), detail));
    }

    pub(crate) fn invalid_value(&self, value: impl Into<Value>, detail: impl Into<String>) {
        self.push(FieldError::invalid(&self.path, value, detail));
    }

    /// The same, for a value that upstream prints as an internal type.
    pub(crate) fn invalid_as(&self, of: &str, detail: impl Into<String>) {
        let shown = if self.value.is_null() { "null".into() } else { internal(self.value, of) };
        self.push(FieldError::invalid_omitted(&self.path, detail).showing(shown));
    }

    /// The same for a list of such values.
    pub(crate) fn invalid_list_as(&self, of: &str, detail: impl Into<String>) {
        let items = self.value.as_array();
        let shown = items.map(|items| {
            let items: Vec<String> = items.iter().map(|item| internal(item, of)).collect();
            format!("[{}]", items.join(","))
        });
        let shown = shown.unwrap_or_else(|| "null".into());
        self.push(FieldError::invalid_omitted(&self.path, detail).showing(shown));
    }

    /// The same for a label selector.
    pub(crate) fn invalid_selector(&self, detail: impl Into<String>) {
        let shown = show_selector(self.value);
        self.push(FieldError::invalid_omitted(&self.path, detail).showing(shown));
    }

    /// One finding for each message.
    pub(crate) fn invalid_all(&self, messages: Vec<String>) {
        for message in messages {
            self.invalid(message);
        }
    }

    /// `Invalid value` without a value.
    pub(crate) fn invalid_omitted(&self, detail: impl Into<String>) {
        self.push(FieldError::invalid_omitted(&self.path, detail));
    }

    pub(crate) fn required(&self, detail: impl Into<String>) {
        self.push(FieldError::required(&self.path, detail));
    }

    pub(crate) fn forbidden(&self, detail: impl Into<String>) {
        self.push(FieldError::forbidden(&self.path, detail));
    }

    pub(crate) fn duplicate(&self) {
        self.duplicate_of(self.own());
    }

    pub(crate) fn duplicate_of(&self, value: impl Into<Value>) {
        self.push(FieldError::duplicate(&self.path, value));
    }

    pub(crate) fn not_found(&self) {
        self.push(FieldError::not_found(&self.path, self.own()));
    }

    pub(crate) fn not_supported(&self, supported: &[&str]) {
        self.push(FieldError::not_supported(&self.path, self.own(), supported));
    }

    pub(crate) fn too_long(&self, max: usize) {
        self.push(FieldError::too_long(&self.path, max));
    }

    pub(crate) fn too_many(&self, actual: usize, max: usize) {
        self.push(FieldError::too_many(&self.path, actual, max));
    }
}

/// A quantity that the schema has checked.
pub(crate) fn quantity(value: &Value) -> Quantity {
    Quantity::from_value(value).unwrap_or_default()
}

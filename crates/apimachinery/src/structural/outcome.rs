//! The errors of one walk.

use super::MAX_MESSAGE_BYTES;
use super::place::Place;
use crate::field::{ErrorList, ErrorType, FieldError, Path};
use crate::text::quote;
use serde_json::Value;
use std::collections::HashSet;

/// The errors found so far, and how many checks have passed.
pub(super) struct Outcome {
    /// The path of the value that is checked; names in messages begin below it.
    base: Path,
    errors: Vec<FieldError>,
    bytes: usize,
    /// Number of errors, with those that had no room.
    failures: usize,
    /// Number of checks that were made: of several alternatives that fail, the errors of the one
    /// that came furthest are shown.
    pub matches: usize,
}

/// A point in a walk to which it can return.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    errors: usize,
    bytes: usize,
    failures: usize,
    matches: usize,
}

/// Errors that were taken back.
pub(super) struct Taken {
    errors: Vec<FieldError>,
    bytes: usize,
    failures: usize,
    pub matches: usize,
}

impl Outcome {
    pub(super) fn new(base: Path) -> Self {
        Self { base, errors: Vec::new(), bytes: 0, failures: 0, matches: 0 }
    }

    /// The path of a field from its name in messages.
    fn path(&self, name: &str) -> Path {
        match name.strip_prefix('.').unwrap_or(name) {
            "" => self.base.clone(),
            name => self.base.child(name),
        }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            errors: self.errors.len(),
            bytes: self.bytes,
            failures: self.failures,
            matches: self.matches,
        }
    }

    /// Returns true if there was an error since then.
    pub(super) fn failed_since(&self, mark: Mark) -> bool {
        self.failures > mark.failures
    }

    /// Returns to the mark, with what has been found since.
    pub(super) fn take(&mut self, mark: Mark) -> Taken {
        let taken = Taken {
            errors: self.errors.split_off(mark.errors),
            bytes: self.bytes - mark.bytes,
            failures: self.failures - mark.failures,
            matches: self.matches - mark.matches,
        };
        self.bytes = mark.bytes;
        self.failures = mark.failures;
        self.matches = mark.matches;
        taken
    }

    /// Adds what was taken.
    pub(super) fn put(&mut self, taken: Taken) {
        self.errors.extend(taken.errors);
        self.bytes += taken.bytes;
        self.failures += taken.failures;
        self.matches += taken.matches;
    }

    /// Forgets the errors since the mark.
    pub(super) fn forgive(&mut self, mark: Mark) {
        self.take(mark);
    }

    /// Records an error. It is made only if there is room for it.
    pub(super) fn fail(&mut self, error: impl FnOnce(&Self) -> FieldError) {
        self.failures += 1;
        if self.bytes >= MAX_MESSAGE_BYTES {
            return;
        }
        let error = error(self);
        let shown = error.shown.as_ref().map_or(0, String::len);
        let value = error.value.as_ref().map_or(0, size);
        self.bytes += error.path.as_str().len() + error.detail.len() + shown + value;
        self.errors.push(error);
    }

    /// Records an error that is made from the name and the path of its place.
    pub(super) fn named(&mut self, at: &Place<'_>, error: impl FnOnce(&str, &Path) -> FieldError) {
        self.fail(|this| {
            let name = at.name();
            error(&name, &this.path(&name))
        });
    }

    /// Records an invalid value.
    pub(super) fn invalid(
        &mut self,
        at: &Place<'_>,
        value: impl Into<Value>,
        says: impl FnOnce(&str) -> String,
    ) {
        self.named(at, |name, path| FieldError::invalid(path, value, says(name)));
    }

    /// Records an error of a value as a whole, which upstream reports without a path.
    pub(super) fn composite(&mut self, at: &Place<'_>, says: &str) {
        self.fail(|this| {
            FieldError::invalid(&this.base, "", format!("{} {says}", quote(&at.name())))
        });
    }

    /// Records a value of the wrong type: `found` is its type, or the text that is not as `wanted`.
    pub(super) fn mistyped(&mut self, at: &Place<'_>, wanted: &str, found: &str) {
        self.named(at, |name, path| {
            let says = format!("{name} in body must be of type {wanted}: {}", quote(found));
            FieldError::type_invalid(path, found, says)
        });
    }

    /// Records an error that has no message of its own.
    pub(super) fn at(&mut self, at: &Place<'_>, error: impl FnOnce(&Path) -> FieldError) {
        self.named(at, |_, path| error(path));
    }

    /// The errors, each once.
    pub(super) fn into_errors(self) -> ErrorList {
        let mut seen = HashSet::with_capacity(self.errors.len());
        let mut errors = self.errors;
        errors.retain(|error| seen.insert(error.to_string()));
        ErrorList(errors)
    }
}

/// Approximate size of a value in a message.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => 2 + values.iter().map(size).sum::<usize>(),
        Value::Object(map) => 2 + map.iter().map(|(k, v)| k.len() + size(v)).sum::<usize>(),
        _ => 8,
    }
}

/// A length or list that exceeds a bound, which may be absurd.
pub(super) fn exceeds(kind: ErrorType, path: &Path, actual: usize, max: i64) -> FieldError {
    match (kind, usize::try_from(max)) {
        (ErrorType::TooLong, Ok(max)) => FieldError::too_long(path, max),
        (ErrorType::TooLong, Err(_)) => {
            FieldError { detail: "value is too long".to_owned(), ..FieldError::too_long(path, 0) }
        }
        (_, Ok(max)) => FieldError::too_many(path, actual, max),
        (_, Err(_)) => FieldError {
            detail: "has too many items".to_owned(),
            ..FieldError::too_many(path, actual, 0)
        },
    }
}

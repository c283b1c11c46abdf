//! The policy of custom kinds.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::Custom;
use crate::registry::Sub;
use crate::registry::strategy::{ALL_METADATA, Context, Strategy};

/// Finalizers of the machinery, which need no domain.
const OWN_FINALIZERS: [&str; 2] = ["orphan", "foregroundDeletion"];

impl Custom {
    /// The replica counts must be numbers that a Scale can hold.
    fn check_scale(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let Some(scale) = &self.scale else { return errors };
        let path_of = |steps: &[String]| {
            let dotted = format!(".{}", steps.join("."));
            Path::new(&dotted)
        };
        for steps in [&scale.replicas, &scale.status] {
            let at: Vec<&str> = steps.iter().map(String::as_str).collect();
            match object.get_path(&at) {
                None | Some(Value::Null) => {}
                Some(value) => match value.as_i64() {
                    Some(count) if count < 0 => errors.push(FieldError::invalid(
                        &path_of(steps),
                        count,
                        "should be a non-negative integer",
                    )),
                    Some(count) if count > i64::from(i32::MAX) => {
                        let detail = format!("should be less than or equal to {}", i32::MAX);
                        errors.push(FieldError::invalid(&path_of(steps), count, detail));
                    }
                    Some(_) => {}
                    None => errors.push(FieldError::invalid(
                        &path_of(steps),
                        value.clone(),
                        "should be an integer",
                    )),
                },
            }
        }
        errors
    }

    fn finalizer_warnings<'a>(finalizers: impl Iterator<Item = &'a str>) -> Vec<String> {
        finalizers
            .filter(|name| !name.contains('/') && !OWN_FINALIZERS.contains(name))
            .map(|name| {
                format!(
                    "metadata.finalizers: {}: prefer a domain-qualified finalizer name including \
                     a path (/) to avoid accidental conflicts with other finalizer writers",
                    apimachinery::text::quote(name)
                )
            })
            .collect()
    }
}

impl Strategy for Custom {
    fn default(&self, object: &mut Object) {
        self.schema.default(object);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        if self.has_status {
            object.remove_path(&["status"]);
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = self.schema.validate(object, None);
        errors.extend(self.check_scale(object));
        self.rules.check(object, None, &mut errors);
        errors
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors = self.schema.validate(object, Some(old));
        errors.extend(self.check_scale(object));
        self.rules.check(object, Some(old), &mut errors);
        errors
    }

    /// Only the status is checked: the rest is as it was.
    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = self.schema.validate_status(object, old);
        errors.extend(self.check_scale(object));
        self.rules.check(object, Some(old), &mut errors);
        errors
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    /// Every change outside of the metadata counts; the status is the old one where it has a path
    /// of its own.
    fn raises_generation(&self, object: &Object, old: &Object) -> bool {
        let same =
            |name: &String, value: &Value| name == "metadata" || old.get(name) == Some(value);
        let fields = |object: &Object| {
            object.as_object().map_or(0, |o| o.len() - usize::from(o.contains_key("metadata")))
        };
        fields(object) != fields(old)
            || !object.as_object().into_iter().flatten().all(|(name, value)| same(name, value))
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn warnings(&self, object: &Object) -> Vec<String> {
        Self::finalizer_warnings(object.finalizers())
    }

    fn warnings_on_update(&self, object: &Object, old: &Object) -> Vec<String> {
        let known: Vec<&str> = old.finalizers().collect();
        Self::finalizer_warnings(object.finalizers().filter(|name| !known.contains(name)))
    }
}

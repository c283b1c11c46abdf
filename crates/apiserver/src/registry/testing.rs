//! Tests a kind's validation with fragments of an object.

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::patch::merge_patch;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::kind::Kind;
use super::{Sub, find_kind};

/// A kind under test.
pub(super) struct Subject {
    kind: &'static Kind,
    base: Value,
}

/// A kind and a valid object of it, without the common metadata.
pub(super) fn subject(group: &str, version: &str, kind: &str, base: Value) -> Subject {
    let kind = find_kind(group, version, kind).unwrap();
    Subject { kind, base }
}

fn messages(errors: &ErrorList) -> Vec<String> {
    errors.iter().map(FieldError::to_string).collect()
}

impl Subject {
    /// The valid object with the fragment merged into it, and defaults applied.
    pub(super) fn object(&self, fragment: &Value) -> Object {
        let mut object = self.base.clone();
        object["apiVersion"] = self.kind.api_version().into();
        object["kind"] = self.kind.kind.into();
        if object.name().is_empty() {
            object.set_meta("name", "a".into());
        }
        if self.kind.namespaced {
            object.set_meta("namespace", "default".into());
        }
        merge_patch(&mut object, fragment);
        self.complete(object)
    }

    /// Applies zeros and defaults, as the server does before validation.
    fn complete(&self, mut object: Object) -> Object {
        self.kind.write_zeros(&mut object);
        self.kind.policy().default(&mut object);
        self.kind.write_zeros(&mut object);
        object
    }

    /// Errors of creating an object.
    pub(super) fn create(&self, fragment: &Value) -> Vec<String> {
        let object = self.object(fragment);
        messages(&self.kind.policy().validate(&object))
    }

    /// Errors of updating the object from one fragment to another.
    pub(super) fn update(&self, old: &Value, new: &Value) -> Vec<String> {
        self.change(None, old, new)
    }

    /// The same through a subresource.
    pub(super) fn change(&self, sub: Option<Sub>, old: &Value, new: &Value) -> Vec<String> {
        let old = self.object(old);
        let mut object = old.clone();
        merge_patch(&mut object, new);
        let object = self.complete(object);
        let errors = match sub {
            Some(Sub::Status) => self.kind.policy().validate_status(&object, &old),
            sub => self.kind.policy().validate_change(sub, &object, &old),
        };
        messages(&errors)
    }

    /// Asserts the errors of creating each object.
    #[track_caller]
    pub(super) fn creates(&self, table: &[(Value, &[&str])]) {
        for (fragment, want) in table {
            assert_eq!(self.create(fragment), *want, "{fragment}");
        }
    }

    /// Asserts the errors of each update.
    #[track_caller]
    pub(super) fn updates(&self, table: &[(Value, Value, &[&str])]) {
        for (old, new, want) in table {
            assert_eq!(self.update(old, new), *want, "{old} -> {new}");
        }
    }
}

/// A pod template with the label `app: x`.
pub(super) fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

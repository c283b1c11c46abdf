//! Namespace: deletion is completed by its controller through `/finalize`.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{Context, Strategy};

pub(super) struct Namespace;

/// The finalizer of the namespace controller.
const KUBERNETES: &str = "kubernetes";

impl Strategy for Namespace {
    fn default(&self, object: &mut Object) {
        let name = object.name().to_owned();
        if !name.is_empty() {
            object.set_path(&["metadata", "labels", "kubernetes.io/metadata.name"], name.into());
        }
        if object.str_at(&["status", "phase"]).is_empty() {
            object.set_path(&["status", "phase"], "Active".into());
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        self.default(object);
        let finalizers = object.get_path(&["spec", "finalizers"]).and_then(Value::as_array);
        let mut finalizers = finalizers.cloned().unwrap_or_default();
        if !finalizers.iter().any(|f| f == KUBERNETES) {
            finalizers.push(KUBERNETES.into());
        }
        object.set_path(&["spec", "finalizers"], finalizers.into());
        object["status"] = json!({"phase": "Active"});
        ErrorList::new()
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            for finalizer in spec.items("finalizers") {
                check_finalizer(&spec.at("finalizers").instead(finalizer.value()));
            }
        })
    }

    fn validate_change(&self, sub: Option<Sub>, object: &Object, _old: &Object) -> ErrorList {
        // An ordinary update keeps the finalizers.
        if sub != Some(Sub::Finalize) {
            return ErrorList::new();
        }
        check(object, |object| {
            object.at("spec").items("finalizers").for_each(|f| check_finalizer(&f));
        })
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| {
            let phase = object.at("status").at_as("phase", "Phase");
            match (object.value().deletion_timestamp(), phase.text()) {
                (None, "Active") | (Some(_), "Terminating") => {}
                (None, _) => phase.invalid("may only be 'Active' if `deletionTimestamp` is empty"),
                (Some(_), _) => {
                    phase.invalid("may only be 'Terminating' if `deletionTimestamp` is not empty");
                }
            }
        })
    }

    fn begin_deletion(&self, object: &mut Object) {
        object.set_path(&["status", "phase"], "Terminating".into());
    }

    fn kept_on_update(&self) -> &'static [&'static [&'static str]] {
        &[&["spec", "finalizers"]]
    }
}

fn check_finalizer(finalizer: &Field<'_>) {
    let name = finalizer.text();
    finalizer.invalid_all(names::qualified_name(name));
    let standard = matches!(name, "kubernetes" | "orphan" | "foregroundDeletion");
    if !name.contains('/') && !standard {
        finalizer.invalid("name is neither a standard finalizer name nor is it fully qualified");
    }
}

//! Namespace: deletion is completed by its controller through `/finalize`.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::json;

use crate::registry::strategy::{Context, Strategy};

pub(super) struct Namespace;

impl Strategy for Namespace {
    fn default(&self, object: &mut Object) {
        let name = object.name().to_owned();
        if !name.is_empty() {
            object.set_path(&["metadata", "labels", "kubernetes.io/metadata.name"], name.into());
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        self.default(object);
        object["spec"] = json!({"finalizers": ["kubernetes"]});
        object["status"] = json!({"phase": "Active"});
        ErrorList::new()
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }

    fn kept_on_update(&self) -> &'static [&'static [&'static str]] {
        &[&["spec", "finalizers"]]
    }
}

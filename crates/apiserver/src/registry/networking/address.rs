//! IPAddress: an allocated service address, identified by its name.

use apimachinery::field::ErrorList;
use apimachinery::{Object, names};
use serde_json::Value;

use crate::registry::check::check;
use crate::registry::strategy::Strategy;

pub(super) struct IpAddress;

impl Strategy for IpAddress {
    /// The name must be an address in its canonical form.
    fn validate_name(&self, name: &str) -> Vec<String> {
        let value = Value::from(name);
        check(&value, |name| name.canonical_ip()).0.into_iter().map(|e| e.detail).collect()
    }

    /// An address takes no suffix.
    fn generate_name(&self, base: &str) -> String {
        base.to_owned()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            let parent = spec.at("parentRef");
            if parent.value().is_null() {
                return parent.required("");
            }
            parent.maybe_valid("group", names::dns1123_subdomain);
            parent.needs_valid("resource", names::path_segment_name);
            parent.needs_valid("name", names::path_segment_name);
            parent.maybe_valid("namespace", names::path_segment_name);
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            object.at("spec").immutable_as("parentRef", &old["spec"], "ParentReference");
        })
    }
}

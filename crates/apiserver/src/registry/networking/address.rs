//! IPAddress: an address of a service, by its name.

use apimachinery::Object;
use apimachinery::field::ErrorList;
use serde_json::Value;

use crate::registry::check::check;
use crate::registry::strategy::Strategy;

pub(super) struct IpAddress;

impl Strategy for IpAddress {
    /// The name is the address in the one form that it is printed in.
    fn validate_name(&self, name: &str) -> Vec<String> {
        let value = Value::from(name);
        check(&value, |name| name.canonical_ip()).0.into_iter().map(|e| e.detail).collect()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            let parent = spec.at("parentRef");
            if parent.value().is_null() {
                return parent.required("");
            }
            for field in ["resource", "name"] {
                if parent.str(field).is_empty() {
                    parent.at(field).required("");
                }
            }
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            if object.get("spec") != &old["spec"] {
                object.at("spec").at("parentRef").invalid("field is immutable");
            }
        })
    }
}

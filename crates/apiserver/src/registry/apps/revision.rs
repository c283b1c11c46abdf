//! ControllerRevision: a former state of a workload.

use apimachinery::Object;
use apimachinery::field::ErrorList;
use serde_json::Value;

use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::Strategy;

pub(super) struct Revision;

impl Strategy for Revision {
    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object: &Field<'_>| {
            object.non_negative("revision");
            match object.get("data") {
                Value::Object(_) => {}
                Value::Null => object.at("data").required("data is mandatory"),
                _ => object.at("data").required("data must be a valid JSON object"),
            }
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            object.non_negative("revision");
            object.immutable("data", old);
        })
    }
}

//! DeviceTaintRule: a taint for all devices that it selects. Nothing evicts pods for it yet.

use apimachinery::field::ErrorList;
use apimachinery::{Object, names, time};
use serde_json::Value;

use super::default_taint;
use super::rules::{check_pool_name, check_taint};
use crate::registry::Sub;
use crate::registry::check::{Field, check, check_conditions, check_csi_driver_name};
use crate::registry::strategy::{ALL_METADATA, Context, Strategy, clear_status};

const MAX_CONDITIONS: usize = 8;

pub(super) struct Rule;

impl Strategy for Rule {
    fn default(&self, object: &mut Object) {
        default_taint(object.get_mut("spec").and_then(|spec| spec.get_mut("taint")));
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    /// The time of a taint is that of its effect.
    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        let was = &old["spec"]["taint"];
        if let Some(taint) = object.get_mut("spec").and_then(|spec| spec.get_mut("taint"))
            && taint["effect"] != was["effect"]
            && taint["timeAdded"] == was["timeAdded"]
        {
            taint["timeAdded"] = time::now_rfc3339().into();
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec"), None))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec"), Some(&old["spec"]["taint"])))
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| {
            let status = object.at("status");
            check_conditions(&status);
            let count = status.len("conditions");
            if count > MAX_CONDITIONS {
                status.at("conditions").too_many(count, MAX_CONDITIONS);
            }
        })
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_spec(spec: &Field<'_>, old: Option<&Value>) {
    if let Some(selector) = spec.opt("deviceSelector") {
        if let Some(driver) = selector.opt("driver") {
            check_csi_driver_name(&driver);
        }
        if let Some(pool) = selector.opt("pool") {
            check_pool_name(&pool);
        }
        if selector.has("device") {
            selector.valid("device", names::dns1123_label);
        }
    }
    check_taint(&spec.at("taint"), old);
}

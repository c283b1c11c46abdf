//! DaemonSet.

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt};
use serde_json::json;

use crate::registry::Sub;
use crate::registry::check::{Field, check, check_label_selector, internal};
use crate::registry::core::default_template;
use crate::registry::strategy::{Context, Strategy, ensure, set_default};
use crate::registry::workload::{
    check_at_most_all, check_collisions, check_int_or_percent, check_match, check_running_template,
    int_or_percent, invalid_selector, selector_is_immutable,
};

/// Annotation that counts template changes since the field was removed.
const GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) struct DaemonSet;

fn set_generation(object: &mut Object, generation: i64) {
    let value = generation.to_string().into();
    object.set_path(&["metadata", "annotations", GENERATION], value);
}

impl Strategy for DaemonSet {
    fn default(&self, object: &mut Object) {
        default_template(object);
        if object.annotation(GENERATION).is_none() {
            set_generation(object, 0);
        }
        let spec = ensure(object, &["spec"]);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "updateStrategy", json!({}));
        set_default(&mut spec["updateStrategy"], "type", "RollingUpdate");
        if spec["updateStrategy"]["type"] == "RollingUpdate" {
            set_default(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
            set_default(&mut spec["updateStrategy"]["rollingUpdate"], "maxUnavailable", 1);
            set_default(&mut spec["updateStrategy"]["rollingUpdate"], "maxSurge", 0);
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        set_generation(object, 1);
        object["status"] = json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0,
            "desiredNumberScheduled": 0, "numberReady": 0,
        });
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        let was = old.annotation(GENERATION).and_then(|text| text.parse().ok()).unwrap_or(1);
        let changed = object["spec"]["template"] != old["spec"]["template"];
        set_generation(object, was + i64::from(changed));
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let (spec, template) = (object.at("spec"), object.at("spec").at("template"));
            if let Some(selector) = spec.opt("selector") {
                check_label_selector(&selector);
            }
            check_match(&spec, &template);
            if let Some(selector) = spec.opt("selector")
                && selector.len("matchLabels") + selector.len("matchExpressions") == 0
            {
                invalid_selector(&selector, "empty selector is invalid for daemonset");
            }
            check_running_template(&template, "DaemonSet");
            spec.non_negative("minReadySeconds");
            check_strategy(&spec.at("updateStrategy"));
            spec.non_negative("revisionHistoryLimit");
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors =
            check(object, |object| selector_is_immutable(&object.at("spec"), &old["spec"]));
        errors.extend(self.validate(object));
        errors
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let status = object.at("status");
            status.non_negative_all(&[
                "currentNumberScheduled",
                "numberMisscheduled",
                "desiredNumberScheduled",
                "numberReady",
                "observedGeneration",
                "updatedNumberScheduled",
                "numberAvailable",
                "numberUnavailable",
                "collisionCount",
            ]);
            check_collisions(&status, old);
        })
    }
}

fn check_strategy(strategy: &Field<'_>) {
    match strategy.str("type") {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.at("rollingUpdate");
            let limits = ["maxUnavailable", "maxSurge"];
            limits.iter().for_each(|name| check_int_or_percent(&rolling, name));
            limits.iter().for_each(|name| check_at_most_all(&rolling, name));
            let some = |name| int_or_percent(rolling.get(name)) != 0;
            match (some("maxUnavailable"), some("maxSurge")) {
                (true, true) => {
                    rolling.at("maxSurge").invalid("may not be set when maxUnavailable is non-zero")
                }
                (false, false) => {
                    rolling.at("maxUnavailable").required("cannot be 0 when maxSurge is 0");
                }
                _ => {}
            }
        }
        _ => {
            let error =
                FieldError::not_supported(strategy.path(), "", &["RollingUpdate", "OnDelete"]);
            strategy.push(error.showing(internal(strategy.value(), "DaemonSetUpdateStrategy")));
        }
    }
}

//! The autoscaling group: stored as v2, also served as v1.

mod annotations;
mod convert;
mod print;
mod rules;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::Sub;
use super::check::check;
use super::column::{AGE, Column, NAME};
use super::kind::{Conversion, Kind};
use super::strategy::{Context, Strategy, clear_status, ensure, set_default};

const fn row(version: &'static str) -> Kind {
    Kind::new(
        "autoscaling",
        version,
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "horizontalpodautoscaler",
    )
    .namespaced()
    .short(&["hpa"])
    .in_all()
    .rechecks(0, 1)
    .subs(&[Sub::Status])
    .generation()
    .columns(COLUMNS)
}

pub(super) static KINDS: &[Kind] = &[
    row("v2").strategy(&Autoscaler),
    row("v1").strategy(&AutoscalerV1).converted(Conversion {
        group: "autoscaling",
        version: "v2",
        to_stored: convert::to_v2,
        from_stored: convert::to_v1,
    }),
];

const COLUMNS: &[Column] = &[
    NAME,
    Column::make("Reference", |o| {
        let target = &o["spec"]["scaleTargetRef"];
        format!("{}/{}", target.str_at(&["kind"]), target.str_at(&["name"])).into()
    }),
    Column::make("Targets", print::targets),
    Column::make("MinPods", |o| match o["spec"]["minReplicas"].as_i64() {
        Some(n) => n.to_string().into(),
        None => "<unset>".into(),
    }),
    Column::number("MaxPods", &["spec", "maxReplicas"]),
    Column::number("Replicas", &["status", "currentReplicas"]),
    AGE,
];

struct Autoscaler;

impl Strategy for Autoscaler {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "minReplicas", 1);
        if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
            spec["metrics"] = json!([{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
            }}]);
        }
        if let Some(behavior) = spec.get_mut("behavior").filter(|b| b.is_object()) {
            default_behavior(behavior);
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| rules::check_autoscaler(&object.at("spec")))
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| {
            let status = object.at("status");
            status.non_negative_all(&["currentReplicas", "desiredReplicas"]);
            for condition in status.items("conditions") {
                condition.non_negative("observedGeneration");
            }
        })
    }
}

/// Scales by at most 100 percent in 15 seconds either way, and up by at least four pods.
fn default_behavior(behavior: &mut Value) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    for (direction, policies) in
        [("scaleUp", json!([pods, percent])), ("scaleDown", json!([percent]))]
    {
        set_default(behavior, direction, json!({}));
        let rules = &mut behavior[direction];
        set_default(rules, "selectPolicy", "Max");
        set_default(rules, "policies", policies);
        if direction == "scaleUp" {
            set_default(rules, "stabilizationWindowSeconds", 0);
        }
    }
}

/// In v1 the default target is that of v2, unless other metrics are given.
struct AutoscalerV1;

impl Strategy for AutoscalerV1 {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn default(&self, object: &mut Object) {
        let others = object.annotation(convert::METRICS).is_some();
        let spec = ensure(object, &["spec"]);
        set_default(spec, "minReplicas", 1);
        if !others {
            set_default(spec, "targetCPUUtilizationPercentage", 80);
        }
        // In the form of the stored version.
        convert::to_v2(object);
        convert::to_v1(object);
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        Autoscaler.validate_status(object, old)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut stored = object.clone();
        convert::to_v2(&mut stored);
        Autoscaler.validate(&stored)
    }
}

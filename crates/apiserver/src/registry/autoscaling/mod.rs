//! The autoscaling group: one stored form (v2), shown as v1 too.

mod convert;

use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::Sub;
use super::column::{AGE, Column, NAME};
use super::kind::{Conversion, Kind};
use super::strategy::{Strategy, set_default};

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
    .subs(&[Sub::Status])
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
    Column::make("Targets", targets),
    Column::make("MinPods", |o| match o["spec"]["minReplicas"].as_i64() {
        Some(n) => n.to_string().into(),
        None => "<unset>".into(),
    }),
    Column::number("MaxPods", &["spec", "maxReplicas"]),
    Column::number("Replicas", &["status", "currentReplicas"]),
    AGE,
];

fn targets(object: &Value) -> Value {
    let metrics = object.get_path(&["spec", "metrics"]).and_then(Value::as_array);
    let current = object.get_path(&["status", "currentMetrics"]).and_then(Value::as_array);
    super::column::join(metrics.into_iter().flatten().map(|metric| {
        let resource = &metric["resource"];
        let name = resource.str_at(&["name"]);
        let now = current.into_iter().flatten().find(|m| m["resource"]["name"] == name);
        let now = now.and_then(|m| m.get_path(&["resource", "current", "averageUtilization"]));
        let now = now.map_or("<unknown>".into(), |n| format!("{n}%"));
        match resource.get_path(&["target", "averageUtilization"]) {
            Some(wanted) => format!("{name}: {now}/{wanted}%"),
            None => format!("{name}: {now}/{}", resource.str_at(&["target", "averageValue"])),
        }
    }))
}

struct Autoscaler;

impl Strategy for Autoscaler {
    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
        set_default(spec, "minReplicas", 1);
        if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
            spec["metrics"] = json!([{"type": "Resource", "resource": {
                "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80},
            }}]);
        }
    }
}

/// In v1 the absence of a target is kept.
struct AutoscalerV1;

impl Strategy for AutoscalerV1 {
    fn default(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec") {
            set_default(spec, "minReplicas", 1);
        }
    }
}

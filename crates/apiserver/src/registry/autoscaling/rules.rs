//! Rules of a HorizontalPodAutoscaler (`autoscaling/v2`).

use apimachinery::names;

use crate::registry::check::Field;
use crate::registry::core::check_container_name;

const MAX_STABILIZATION: i64 = 3600;
const MAX_PERIOD: i64 = 1800;

pub(super) fn check_autoscaler(spec: &Field<'_>) {
    let (min, max) = (spec.int("minReplicas"), spec.int("maxReplicas").unwrap_or(0));
    spec.non_negative("minReplicas");
    match max {
        0 => spec.at("maxReplicas").required("must be set and greater than 0"),
        max if max < 0 => spec.at("maxReplicas").invalid("must be greater than or equal to 1"),
        _ => {}
    }
    if min.is_some_and(|min| max < min) {
        spec.at("maxReplicas").invalid_value(max, "must be greater than or equal to `minReplicas`");
    }
    check_reference(&spec.at("scaleTargetRef"), false);
    spec.items("metrics").for_each(|metric| check_metric(&metric));
    let scales = |m: &Field<'_>| matches!(m.str("type"), "Object" | "External");
    if min == Some(0) && !spec.items("metrics").any(|m| scales(&m)) {
        spec.at("metrics").forbidden(
            "must specify at least one Object or External metric to support scaling to zero \
             replicas",
        );
    }
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec.at("behavior").opt(direction) {
            check_rules(&rules);
        }
    }
}

/// `any_group` also permits the core group, for an object that a metric describes.
fn check_reference(reference: &Field<'_>, any_group: bool) {
    reference.needs_valid("kind", names::path_segment_name);
    reference.needs_valid("name", names::path_segment_name);
    let version = reference.str("apiVersion");
    let at = reference.at("apiVersion");
    match version.matches('/').count() {
        0 | 1 => {
            let grouped = version.split_once('/').is_some_and(|(group, _)| !group.is_empty());
            if !grouped && !any_group {
                at.invalid("apiVersion must specify API group");
            }
        }
        _ => at.invalid(format!("unexpected GroupVersion string: {version}")),
    }
}

fn check_rules(rules: &Field<'_>) {
    let window = rules.at("stabilizationWindowSeconds");
    match window.value().as_i64() {
        Some(n) if n < 0 => window.invalid("must be greater than or equal to zero"),
        Some(n) if n > MAX_STABILIZATION => {
            window.invalid(format!("must be less than or equal to {MAX_STABILIZATION}"));
        }
        _ => {}
    }
    rules.maybe_one_of("selectPolicy", &["Disabled", "Max", "Min"]);
    if rules.len("policies") == 0 {
        rules.at("policies").required("must specify at least one Policy");
    }
    for policy in rules.items("policies") {
        policy.one_of("type", &["Percent", "Pods"]);
        policy.positive("value");
        policy.positive("periodSeconds");
        if policy.int("periodSeconds").is_some_and(|n| n > MAX_PERIOD) {
            policy
                .at("periodSeconds")
                .invalid(format!("must be less than or equal to {MAX_PERIOD}"));
        }
    }
    if let Some(tolerance) = rules.opt("tolerance")
        && tolerance.quantity().sign() < 0
    {
        tolerance.invalid("must be greater than or equal to 0");
    }
}

/// Types of metrics and the fields that hold them, in the order in which upstream checks them.
const SOURCES: &[(&str, &str)] = &[
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

fn check_metric(metric: &Field<'_>) {
    let of = metric.at("type");
    if of.text().is_empty() {
        of.required("must specify a metric source type");
    }
    metric.one_of("type", TYPES);
    let given: Vec<&str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| metric.has(field)).collect();
    if let Some(first) = given.first() {
        check_source(&metric.at(first), first);
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == of.text()).map(|(_, field)| *field);
    match expected {
        Some(field) if !metric.has(field) => {
            metric.at(field).required("must populate information for the given metric source");
        }
        Some(_) => {}
        None => metric.one_of("type", TYPES),
    }
    if given.len() != 1 {
        for field in given.iter().filter(|field| Some(**field) != expected) {
            metric.at(field).forbidden("must populate the given metric source only");
        }
    }
}

fn check_source(source: &Field<'_>, of: &str) {
    const RAW_OR_UTILIZATION: &str = "must set either a target raw value or a target utilization";
    let target = source.at("target");
    match of {
        "resource" | "containerResource" => {
            if source.str("name").is_empty() {
                source.at("name").required("must specify a resource name");
            } else if of == "containerResource" {
                check_container_name(&source.at("name"), source.str("name"));
            }
            if of == "containerResource" {
                if source.str("container").is_empty() {
                    source.at("container").required("must specify a container");
                } else {
                    source.valid("container", names::dns1123_label);
                }
            }
        }
        _ => {
            if of == "object" {
                check_reference(&source.at("describedObject"), true);
            }
            let metric = source.at("metric");
            if metric.str("name").is_empty() {
                metric.at("name").required("must specify a metric name");
            } else {
                metric.valid("name", names::path_segment_name);
            }
        }
    }
    check_target(&target);
    let (value, average) = (target.has("value"), target.has("averageValue"));
    let utilization = target.has("averageUtilization");
    match of {
        "object" if !value && !average => {
            target.at("averageValue").required("must set either a target value or averageValue");
        }
        "external" if !value && !average => target
            .at("averageValue")
            .required("must set either a target value for metric or a per-pod target"),
        "external" if value && average => target
            .at("value")
            .forbidden("may not set both a target value for metric and a per-pod target"),
        "pods" if !average => {
            target.at("averageValue").required("must specify a positive target averageValue");
        }
        "resource" | "containerResource" if !utilization && !average => {
            target.at("averageUtilization").required(RAW_OR_UTILIZATION);
        }
        "resource" | "containerResource" if utilization && average => target
            .at("averageValue")
            .forbidden("may not set both a target raw value and a target utilization"),
        _ => {}
    }
}

fn check_target(target: &Field<'_>) {
    let of = target.at("type");
    if of.text().is_empty() {
        of.required("must specify a metric target type");
    }
    if !matches!(of.text(), "Utilization" | "Value" | "AverageValue") {
        of.invalid("must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        if let Some(amount) = target.opt(field)
            && amount.quantity().sign() <= 0
        {
            amount.invalid("must be positive");
        }
    }
    if target.int("averageUtilization").is_some_and(|n| n < 1) {
        target.at("averageUtilization").invalid("must be greater than 0");
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::subject;
    use serde_json::{Value, json};

    #[test]
    fn autoscalers() {
        let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
        let base = json!({"spec": {"maxReplicas": 3, "scaleTargetRef": target}});
        let metric = |metric: Value| json!({"spec": {"metrics": [metric]}});
        subject("autoscaling", "v2", "HorizontalPodAutoscaler", base).creates(&[
            (json!({}), &[]),
            (
                json!({"spec": {"minReplicas": 5, "scaleTargetRef": {"kind": "a/b", "name": "", "apiVersion": "v1"}}}),
                &[
                    "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
                    "spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/'",
                    "spec.scaleTargetRef.name: Required value",
                    "spec.scaleTargetRef.apiVersion: Invalid value: \"v1\": apiVersion must specify API group",
                ],
            ),
            (
                json!({"spec": {"minReplicas": 0, "maxReplicas": 0}}),
                &[
                    "spec.maxReplicas: Required value: must be set and greater than 0",
                    "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
                ],
            ),
            (
                metric(json!({"type": "Resource", "resource": {"name": "", "target": {"type": "Value"}}, "pods": {"metric": {"name": "m"}, "target": {"type": "AverageValue", "averageValue": "0"}}})),
                &[
                    "spec.metrics[0].pods.target.averageValue: Invalid value: \"0\": must be positive",
                    "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
                ],
            ),
            (
                metric(json!({"type": "ContainerResource", "containerResource": {"name": "cpus", "container": "", "target": {"type": "x", "averageUtilization": 0, "averageValue": "1"}}})),
                &[
                    "spec.metrics[0].containerResource.name: Invalid value: \"cpus\": must be a standard resource type or fully qualified",
                    "spec.metrics[0].containerResource.name: Invalid value: \"cpus\": must be a standard resource for containers",
                    "spec.metrics[0].containerResource.container: Required value: must specify a container",
                    "spec.metrics[0].containerResource.target.type: Invalid value: \"x\": must be either Utilization, Value, or AverageValue",
                    "spec.metrics[0].containerResource.target.averageUtilization: Invalid value: 0: must be greater than 0",
                    "spec.metrics[0].containerResource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
                ],
            ),
            (
                metric(json!({"type": "Luck"})),
                &[
                    "spec.metrics[0].type: Unsupported value: \"Luck\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
                    "spec.metrics[0].type: Unsupported value: \"Luck\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\"",
                ],
            ),
            (
                json!({"spec": {"behavior": {"scaleUp": {"stabilizationWindowSeconds": 4000, "selectPolicy": "Any", "policies": [{"type": "Lots", "value": 0, "periodSeconds": 1801}]}}}}),
                &[
                    "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
                    "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Any\": supported values: \"Disabled\", \"Max\", \"Min\"",
                    "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"Lots\": supported values: \"Percent\", \"Pods\"",
                    "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                    "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
                ],
            ),
        ]);
        let v1 = json!({"spec": {"maxReplicas": 0, "scaleTargetRef": target}});
        subject("autoscaling", "v1", "HorizontalPodAutoscaler", v1).creates(&[(
            json!({}),
            &[
                "spec.maxReplicas: Required value: must be set and greater than 0",
                "spec.maxReplicas: Invalid value: 0: must be greater than or equal to `minReplicas`",
            ],
        )]);
    }
}

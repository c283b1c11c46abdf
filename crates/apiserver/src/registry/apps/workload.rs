//! Defaults and validation shared by Deployment, ReplicaSet, StatefulSet and DaemonSet.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::selector::LabelSelector;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use crate::registry::core::{default_template, validate_template};
use crate::registry::strategy::{Context, Strategy, items_mut, set_default};

/// The selector must be there, parse, and match the template's labels; it never changes.
fn check_selector(errors: &mut ErrorList, object: &Object) {
    let path = Path::new("spec").child("selector");
    let Some(selector) = object.get_path(&["spec", "selector"]).filter(|s| !s.is_null()) else {
        errors.0.push(FieldError::required(&path, ""));
        return;
    };
    if selector.as_object().is_some_and(serde_json::Map::is_empty) {
        errors.0.push(FieldError::invalid(
            &path,
            selector.clone(),
            "empty selector is invalid for deployment",
        ));
        return;
    }
    match LabelSelector::from_value(selector) {
        Err(why) => errors.0.push(FieldError::invalid(&path, selector.clone(), why.message)),
        Ok(parsed) => {
            let labels = object.get_path(&["spec", "template", "metadata", "labels"]);
            if !parsed.matches(|key| labels?.get(key)?.as_str()) {
                let at = Path::new("spec").child("template").child("metadata").child("labels");
                errors.0.push(FieldError::invalid(
                    &at,
                    labels.cloned().unwrap_or(Value::Null),
                    "`selector` does not match template `labels`",
                ));
            }
        }
    }
}

fn check_workload(ctx: &Context<'_>, object: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    check_selector(&mut errors, object);
    for field in ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"]
    {
        if let Some(number) = object.get_path(&["spec", field]).and_then(Value::as_i64)
            && number < 0
        {
            errors.0.push(FieldError::invalid(
                &Path::new("spec").child(field),
                number,
                "must be greater than or equal to 0",
            ));
        }
    }
    let template = Path::new("spec").child("template");
    errors.0.extend(validate_template(ctx, &object["spec"]["template"], &template).0);
    let policy = object.str_at(&["spec", "template", "spec", "restartPolicy"]);
    if policy != "Always" {
        errors.0.push(FieldError::not_supported(
            &template.child("spec").child("restartPolicy"),
            policy,
            &["Always"],
        ));
    }
    errors
}

fn selector_is_immutable(object: &Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    if object["spec"]["selector"] != old["spec"]["selector"] {
        errors.0.push(FieldError::invalid(
            &Path::new("spec").child("selector"),
            object["spec"]["selector"].clone(),
            "field is immutable",
        ));
    }
    errors
}

fn spec(object: &mut Object) -> Option<&mut Value> {
    default_template(object);
    object.get_mut("spec").filter(|s| s.is_object())
}

/// An absolute number, or a percentage.
fn int_or_percent(value: &Value) -> Option<(i64, bool)> {
    match value {
        Value::Number(n) => n.as_i64().map(|n| (n, false)),
        Value::String(s) => s.strip_suffix('%')?.parse().ok().map(|n| (n, true)),
        _ => None,
    }
}

pub(super) struct Deployment;

impl Strategy for Deployment {
    fn default(&self, object: &mut Object) {
        let Some(spec) = spec(object) else { return };
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "progressDeadlineSeconds", 600);
        set_default(spec, "strategy", json!({}));
        set_default(&mut spec["strategy"], "type", "RollingUpdate");
        if spec["strategy"]["type"] == "RollingUpdate" {
            set_default(&mut spec["strategy"], "rollingUpdate", json!({}));
            for field in ["maxUnavailable", "maxSurge"] {
                set_default(&mut spec["strategy"]["rollingUpdate"], field, "25%");
            }
        }
    }

    fn validate(&self, ctx: &Context<'_>, object: &Object) -> ErrorList {
        let mut errors = check_workload(ctx, object);
        let path = Path::new("spec").child("strategy");
        let strategy = &object["spec"]["strategy"];
        let rolling = &strategy["rollingUpdate"];
        match strategy.str_at(&["type"]) {
            "Recreate" if !rolling.is_null() => errors.0.push(FieldError::forbidden(
                &path.child("rollingUpdate"),
                "may not be specified when strategy `type` is 'Recreate'",
            )),
            "Recreate" => {}
            "RollingUpdate" => {
                let mut zero = 0;
                for field in ["maxUnavailable", "maxSurge"] {
                    let at = path.child("rollingUpdate").child(field);
                    match int_or_percent(&rolling[field]) {
                        None => errors.0.push(FieldError::invalid(
                            &at,
                            rolling[field].clone(),
                            "must be an integer or percentage (e.g '5%%')",
                        )),
                        Some((n, _)) if n < 0 => errors.0.push(FieldError::invalid(
                            &at,
                            rolling[field].clone(),
                            "must be greater than or equal to 0",
                        )),
                        Some((n, percent)) => {
                            zero += usize::from(n == 0);
                            if percent && n > 100 && field == "maxUnavailable" {
                                errors.0.push(FieldError::invalid(
                                    &at,
                                    rolling[field].clone(),
                                    "must not be greater than 100%",
                                ));
                            }
                        }
                    }
                }
                if zero == 2 {
                    errors.0.push(FieldError::invalid(
                        &path.child("rollingUpdate").child("maxUnavailable"),
                        rolling["maxUnavailable"].clone(),
                        "may not be 0 when `maxSurge` is 0",
                    ));
                }
            }
            other => errors.0.push(FieldError::not_supported(
                &path.child("type"),
                other,
                &["Recreate", "RollingUpdate"],
            )),
        }
        let ready = object["spec"]["minReadySeconds"].as_i64().unwrap_or(0);
        if let Some(deadline) = object["spec"]["progressDeadlineSeconds"].as_i64()
            && deadline <= ready
        {
            errors.0.push(FieldError::invalid(
                &Path::new("spec").child("progressDeadlineSeconds"),
                deadline,
                "must be greater than minReadySeconds",
            ));
        }
        errors
    }

    fn validate_update(&self, _ctx: &Context<'_>, object: &Object, old: &Object) -> ErrorList {
        selector_is_immutable(object, old)
    }
}

pub(super) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Object) {
        let Some(spec) = spec(object) else { return };
        set_default(spec, "replicas", 1);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"replicas": 0});
        ErrorList::new()
    }

    fn validate(&self, ctx: &Context<'_>, object: &Object) -> ErrorList {
        check_workload(ctx, object)
    }

    fn validate_update(&self, _ctx: &Context<'_>, object: &Object, old: &Object) -> ErrorList {
        selector_is_immutable(object, old)
    }
}

pub(super) struct StatefulSet;

impl Strategy for StatefulSet {
    fn default(&self, object: &mut Object) {
        let Some(spec) = spec(object) else { return };
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "podManagementPolicy", "OrderedReady");
        set_default(spec, "updateStrategy", json!({}));
        set_default(&mut spec["updateStrategy"], "type", "RollingUpdate");
        if spec["updateStrategy"]["type"] == "RollingUpdate" {
            set_default(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
            set_default(&mut spec["updateStrategy"]["rollingUpdate"], "partition", 0);
        }
        set_default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
        for field in ["whenDeleted", "whenScaled"] {
            set_default(&mut spec["persistentVolumeClaimRetentionPolicy"], field, "Retain");
        }
        for claim in items_mut(spec, "volumeClaimTemplates") {
            set_default(claim, "apiVersion", "v1");
            set_default(claim, "kind", "PersistentVolumeClaim");
            set_default(claim, "status", json!({"phase": "Pending"}));
            if let Some(spec) = claim.get_mut("spec") {
                set_default(spec, "volumeMode", "Filesystem");
            }
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"replicas": 0, "availableReplicas": 0});
        ErrorList::new()
    }

    fn validate(&self, ctx: &Context<'_>, object: &Object) -> ErrorList {
        let mut errors = check_workload(ctx, object);
        const POLICIES: &[&str] = &["OrderedReady", "Parallel"];
        let policy = object.str_at(&["spec", "podManagementPolicy"]);
        if !POLICIES.contains(&policy) {
            let path = Path::new("spec").child("podManagementPolicy");
            errors.0.push(FieldError::not_supported(&path, policy, POLICIES));
        }
        errors
    }

    fn validate_update(&self, _ctx: &Context<'_>, object: &Object, old: &Object) -> ErrorList {
        const MUTABLE: &[&str] = &[
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ];
        let frozen = |object: &Object| {
            let mut spec = object["spec"].clone();
            if let Some(map) = spec.as_object_mut() {
                map.retain(|key, _| !MUTABLE.contains(&key.as_str()));
            }
            spec
        };
        let mut errors = ErrorList::new();
        if frozen(object) != frozen(old) {
            errors.0.push(FieldError::forbidden(
                &Path::new("spec"),
                "updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                 'template', 'updateStrategy', 'revisionHistoryLimit', \
                 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ));
        }
        errors
    }
}

pub(super) struct DaemonSet;

impl Strategy for DaemonSet {
    fn default(&self, object: &mut Object) {
        let Some(spec) = spec(object) else { return };
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
        object.set_path(
            &["metadata", "annotations", "deprecated.daemonset.template.generation"],
            "1".into(),
        );
        object["status"] = json!({
            "currentNumberScheduled": 0, "numberMisscheduled": 0,
            "desiredNumberScheduled": 0, "numberReady": 0,
        });
        ErrorList::new()
    }

    fn validate(&self, ctx: &Context<'_>, object: &Object) -> ErrorList {
        check_workload(ctx, object)
    }

    fn validate_update(&self, _ctx: &Context<'_>, object: &Object, old: &Object) -> ErrorList {
        selector_is_immutable(object, old)
    }
}

//! Job.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names, time};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::rules::{check_job_spec, has_generated_labels};
use super::status::check_status;
use super::update::check_update;
use crate::registry::Sub;
use crate::registry::check::{Field, check, check_label_selector};
use crate::registry::column::human_duration;
use crate::registry::core::default_spec;
use crate::registry::strategy::{Context, Strategy, ensure, items_mut, set_default};
use crate::registry::workload::check_match;

pub(super) fn has_condition(object: &Value, of: &str) -> bool {
    let conditions = object.get_path(&["status", "conditions"]).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|c| c["type"] == of && c["status"] == "True")
}

pub(super) fn status(object: &Value) -> Value {
    for (condition, word) in [
        ("Complete", "Complete"),
        ("Failed", "Failed"),
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ] {
        if has_condition(object, condition) {
            return word.into();
        }
    }
    if object.deletion_timestamp().is_some() { "Terminating".into() } else { "Running".into() }
}

pub(super) fn completions(object: &Value) -> Value {
    let number = |path| object.get_path(path).and_then(Value::as_i64);
    let succeeded = number(&["status", "succeeded"]).unwrap_or(0);
    match (number(&["spec", "completions"]), number(&["spec", "parallelism"]).unwrap_or(0)) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}").into(),
        (None, parallel) if parallel > 1 => format!("{succeeded}/1 of {parallel}").into(),
        (None, _) => format!("{succeeded}/1").into(),
    }
}

pub(super) fn duration(object: &Value) -> Value {
    let moment = |field| time::parse(object.str_at(&["status", field]));
    let Some(start) = moment("startTime") else { return "".into() };
    let failed_at = object
        .get_path(&["status", "conditions"])
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|c| c["type"] == "Failed" && c["status"] == "True")
        .and_then(|c| time::parse(c.str_at(&["lastTransitionTime"])));
    let end = moment("completionTime").or(failed_at).unwrap_or_else(Timestamp::now);
    human_duration(end.duration_since(start).as_secs()).into()
}

/// Defaults of a job's template and failure policy, shared with a CronJob's template.
pub(super) fn default_template_parts(spec: &mut Value) {
    default_spec(ensure(spec, &["template", "spec"]));
    if let Some(policy) = spec.get_mut("podFailurePolicy") {
        for pattern in items_mut(policy, "rules").flat_map(|r| items_mut(r, "onPodConditions")) {
            if pattern.str_at(&["status"]).is_empty() {
                pattern["status"] = "True".into();
            }
        }
    }
}

/// Labels that tie a job's pods to it; true if the label holds the uid, false for the name.
pub(super) const LABELS: &[(&str, bool)] = &[
    ("controller-uid", true),
    ("job-name", false),
    ("batch.kubernetes.io/controller-uid", true),
    ("batch.kubernetes.io/job-name", false),
];

pub(super) struct Job;

impl Strategy for Job {
    fn unknown_field(&self, field: &str) -> Option<String> {
        Some(format!("field label {} not supported for Job", apimachinery::text::quote(field)))
    }

    fn default(&self, object: &mut Object) {
        let labels = object.get_path(&["spec", "template", "metadata", "labels"]).cloned();
        if let Some(labels) = labels
            && object.labels().next().is_none()
        {
            object.set_meta("labels", labels);
        }
        let spec = ensure(object, &["spec"]);
        // Without either count: one completion, one pod at a time.
        if spec["completions"].is_null() && spec["parallelism"].is_null() {
            set_default(spec, "completions", 1);
        }
        set_default(spec, "parallelism", 1);
        set_default(spec, "completionMode", "NonIndexed");
        set_default(spec, "suspend", false);
        set_default(spec, "manualSelector", false);
        let per_index = !spec["backoffLimitPerIndex"].is_null();
        set_default(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
        let replacement =
            if spec["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
        set_default(spec, "podReplacementPolicy", replacement);
        default_template_parts(spec);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({});
        if object["spec"]["manualSelector"] == true {
            return ErrorList::new();
        }
        const LABELS_OF_PODS: &[&str] = &["spec", "template", "metadata", "labels"];
        // Labels that are the defaulted copy of the pods' labels, or will be when the job is read
        // again, stay equal to them.
        let unlabelled = object.labels().next().is_none();
        let shared = unlabelled && names::label_value(object.name()).is_empty()
            || !unlabelled
                && object.get_path(&["metadata", "labels"]) == object.get_path(LABELS_OF_PODS);
        let (uid, name) = (object.uid().to_owned(), object.name().to_owned());
        let mut set = |path: &[&str], value: &str| {
            if object.get_path(path).is_none() {
                object.set_path(path, value.into());
            }
        };
        for (label, is_uid) in LABELS {
            let value = if *is_uid { &uid } else { &name };
            set(&["spec", "template", "metadata", "labels", label], value);
        }
        set(&["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"], &uid);
        if shared && let Some(labels) = object.get_path(LABELS_OF_PODS).cloned() {
            object.set_meta("labels", labels);
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            has_generated_labels(object);
            check_whole_spec(&object.at("spec"));
            check_pod_names(object);
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            check_whole_spec(&object.at("spec"));
            check_update(&object.at("spec"), old);
            check_pod_names(object);
        })
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_status(object, old))
    }
}

/// Checks the spec and the selector of a standalone job.
fn check_whole_spec(spec: &Field<'_>) {
    check_job_spec(spec);
    let selector = spec.at("selector");
    if selector.value().is_null() {
        selector.required("");
    } else {
        check_label_selector(&selector);
    }
    check_match(spec, &spec.at("template"));
}

/// Pods of an indexed job are named after it and their index.
fn check_pod_names(object: &Field<'_>) {
    let spec = object.at("spec");
    let completions = spec.int("completions").unwrap_or(0);
    if spec.str("completionMode") != "Indexed" || completions <= 0 {
        return;
    }
    let last = format!("{}-{}", object.value().name(), completions - 1);
    if !names::dns1123_label(&last).is_empty() {
        object
            .at("metadata")
            .at("name")
            .invalid(format!("will not able to create pod with invalid DNS label: {last}"));
    }
}

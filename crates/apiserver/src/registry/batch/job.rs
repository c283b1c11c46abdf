//! Job.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, time};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::registry::column::human_duration;
use crate::registry::core::{default_spec, validate_template};
use crate::registry::strategy::{Context, Strategy, set_default};

fn has_condition(object: &Value, of: &str) -> bool {
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

/// Defaults of a job spec, also inside a CronJob.
pub(super) fn default_job_spec(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    // Neither count given: one completion, one at a time.
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set_default(spec, "completions", 1);
    }
    set_default(spec, "parallelism", 1);
    set_default(spec, "completionMode", "NonIndexed");
    set_default(spec, "suspend", false);
    let per_index = !spec["backoffLimitPerIndex"].is_null();
    set_default(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { 6 });
    let replacement =
        if spec["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
    set_default(spec, "podReplacementPolicy", replacement);
    if let Some(template) = spec.get_mut("template").and_then(|t| t.get_mut("spec")) {
        default_spec(template);
    }
}

/// Checks a job spec at `path`.
pub(super) fn check_job_spec(ctx: &Context<'_>, spec: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        if let Some(number) = spec[field].as_i64()
            && number < 0
        {
            errors.0.push(FieldError::invalid(
                &path.child(field),
                number,
                "must be greater than or equal to 0",
            ));
        }
    }
    const MODES: &[&str] = &["Indexed", "NonIndexed"];
    let mode = spec.str_at(&["completionMode"]);
    if !MODES.contains(&mode) {
        errors.0.push(FieldError::not_supported(&path.child("completionMode"), mode, MODES));
    }
    if mode == "Indexed" && spec["completions"].is_null() {
        errors.0.push(FieldError::required(
            &path.child("completions"),
            "when completion mode is Indexed",
        ));
    }
    let template = path.child("template");
    errors.0.extend(validate_template(ctx, &spec["template"], &template).0);
    let policy = spec.str_at(&["template", "spec", "restartPolicy"]);
    let at = template.child("spec").child("restartPolicy");
    match policy {
        "OnFailure" | "Never" => {}
        "" | "Always" => {
            errors.0.push(FieldError::required(&at, "valid values: \"OnFailure\", \"Never\""))
        }
        other => errors.0.push(FieldError::not_supported(&at, other, &["OnFailure", "Never"])),
    }
    errors
}

pub(super) struct Job;

impl Strategy for Job {
    fn default(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec") {
            default_job_spec(spec);
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({});
        if object["spec"]["manualSelector"] == true {
            return ErrorList::new();
        }
        let (uid, name) = (object.uid().to_owned(), object.name().to_owned());
        let labels = [
            ("controller-uid", &uid),
            ("job-name", &name),
            ("batch.kubernetes.io/controller-uid", &uid),
            ("batch.kubernetes.io/job-name", &name),
        ];
        for (key, value) in labels {
            object
                .set_path(&["spec", "template", "metadata", "labels", key], value.as_str().into());
        }
        object.set_path(
            &["spec", "selector", "matchLabels", "batch.kubernetes.io/controller-uid"],
            uid.into(),
        );
        ErrorList::new()
    }

    fn validate(&self, ctx: &Context<'_>, object: &Object) -> ErrorList {
        check_job_spec(ctx, &object["spec"], &Path::new("spec"))
    }

    fn validate_update(&self, _ctx: &Context<'_>, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let suspended = old["spec"]["suspend"] == true && old["status"]["startTime"].is_null();
        for field in ["selector", "completionMode", "template", "podFailurePolicy"] {
            let (new, was) = (&object["spec"][field], &old["spec"][field]);
            if new != was && !(field == "template" && suspended) {
                errors.0.push(FieldError::invalid(
                    &Path::new("spec").child(field),
                    new.clone(),
                    "field is immutable",
                ));
            }
        }
        let (new, was) = (&object["spec"]["completions"], &old["spec"]["completions"]);
        if new != was && object["spec"]["completionMode"] != "Indexed" {
            errors.0.push(FieldError::invalid(
                &Path::new("spec").child("completions"),
                new.clone(),
                "field is immutable",
            ));
        }
        errors
    }
}

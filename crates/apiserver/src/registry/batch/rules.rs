//! Rules of a job's spec, also inside a CronJob (upstream's `validateJobSpec`).

use apimachinery::ObjectExt;
use serde_json::json;

use super::job::LABELS;
use super::policies::{check_failure_policy, check_success_policy};
use crate::registry::check::{Field, check_domain_path, selector_of};
use crate::registry::core::check_template;
use crate::registry::workload::invalid_selector;

const MAX_PARALLELISM: i64 = 100_000;
const MAX_FAILED_INDEXES: i64 = 100_000;
/// Above this many completions, less of the rest is allowed.
const MANY_COMPLETIONS: i64 = 100_000;
const MAX_PARALLELISM_OF_MANY: i64 = 10_000;
const MAX_FAILED_OF_MANY: i64 = 10_000;
const MAX_MANAGED_BY: usize = 63;

/// A selector that the server made goes with the labels it made.
pub(super) fn has_generated_labels(object: &Field<'_>) {
    let spec = object.at("spec");
    if spec.flag("manualSelector") || !spec.has("selector") {
        return;
    }
    let (uid, name) = (object.value().uid(), object.value().name());
    if uid.is_empty() {
        object.at("metadata").at("uid").required("");
    }
    let labels = spec.at("template").at("metadata").at("labels");
    let mut expected = json!({});
    for (label, is_uid) in LABELS {
        let want = if *is_uid { uid } else { name };
        expected[*label] = want.into();
        match labels.get(label).as_str() {
            None => labels.key(label).required(format!("must be '{want}'")),
            Some(is) if is != want => {
                labels
                    .key(label)
                    .invalid_value(labels.value().clone(), format!("must be '{want}'"));
            }
            Some(_) => {}
        }
    }
    let selector = selector_of(spec.get("selector"));
    if selector.is_some_and(|s| !s.matches(|key| expected[key].as_str())) {
        invalid_selector(&spec.at("selector"), "`selector` not auto-generated");
    }
}

/// A job's spec but for its selector.
pub(super) fn check_job_spec(spec: &Field<'_>) {
    spec.non_negative_all(&[
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ]);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        spec.at("backoffLimitPerIndex").required("when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec.opt("managedBy") {
        check_domain_path(&manager);
        if manager.text().len() > MAX_MANAGED_BY {
            manager.too_long(MAX_MANAGED_BY);
        }
    }
    check_completion_mode(spec);
    if let Some(policy) = spec.opt("podFailurePolicy") {
        check_failure_policy(&policy, spec);
    }
    if let Some(policy) = spec.opt("successPolicy") {
        if spec.str("completionMode") == "Indexed" {
            check_success_policy(&policy, spec.int("completions"));
        } else {
            policy.invalid_as("SuccessPolicy", "requires indexed completion mode");
        }
    }
    if spec.has("podFailurePolicy") {
        spec.maybe_one_of("podReplacementPolicy", &["Failed"]);
    } else {
        spec.maybe_one_of("podReplacementPolicy", &["Failed", "TerminatingOrFailed"]);
    }
    let template = spec.at("template");
    check_template(&template);
    let policy = template.at("spec").at("restartPolicy");
    match policy.text() {
        "" | "Always" => policy.required("valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if spec.has("podFailurePolicy") => {
            policy.invalid("only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => policy.not_supported(&["OnFailure", "Never"]),
    }
}

fn check_completion_mode(spec: &Field<'_>) {
    spec.maybe_one_of("completionMode", &["NonIndexed", "Indexed"]);
    let (completions, parallelism) = (spec.int("completions"), spec.int("parallelism"));
    let failed = spec.int("maxFailedIndexes");
    match spec.str("completionMode") {
        "Indexed" => {}
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(field) = spec.opt(field) {
                    field.invalid("requires indexed completion mode");
                }
            }
            return;
        }
        _ => return,
    }
    let above = |number: Option<i64>, max: i64| number.is_some_and(|n| n > max);
    if completions.is_none() {
        spec.at("completions").required("when completion mode is Indexed");
    }
    if above(parallelism, MAX_PARALLELISM) {
        spec.at("parallelism").invalid(format!(
            "must be less than or equal to {MAX_PARALLELISM} when completion mode is Indexed"
        ));
    }
    if completions.is_some_and(|completions| above(failed, completions)) {
        spec.at("maxFailedIndexes").invalid("must be less than or equal to completions");
    }
    if above(failed, MAX_FAILED_INDEXES) {
        spec.at("maxFailedIndexes")
            .invalid(format!("must be less than or equal to {MAX_FAILED_INDEXES}"));
    }
    if !above(completions, MANY_COMPLETIONS) || !spec.has("backoffLimitPerIndex") {
        return;
    }
    if failed.is_none() {
        spec.at("maxFailedIndexes")
            .required(format!("must be specified when completions is above {MANY_COMPLETIONS}"));
    }
    for (field, number, max) in [
        ("parallelism", parallelism, MAX_PARALLELISM_OF_MANY),
        ("maxFailedIndexes", failed, MAX_FAILED_OF_MANY),
    ] {
        if above(number, max) {
            spec.at(field).invalid(format!(
                "must be less than or equal to {max} when completions are above \
                 {MANY_COMPLETIONS} and used with backoff limit per index"
            ));
        }
    }
}

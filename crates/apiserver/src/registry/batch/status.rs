//! Writes of a Job's status (upstream's `ValidateJobStatusUpdate`). Most rules only apply to
//! changes, so that a status invalidated by a spec change can be repaired.

use apimachinery::{Object, time};
use serde_json::Value;

use super::indexes;
use crate::registry::check::Field;

fn is(job: &Value, condition: &str) -> bool {
    has(job, condition, "True")
}

fn has(job: &Value, condition: &str, status: &str) -> bool {
    let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|c| c["type"] == condition && c["status"] == status)
}

fn is_finished(job: &Value) -> bool {
    is(job, "Complete") || is(job, "Failed")
}

/// Checks the status at `job.status` against the previous one.
pub(super) fn check_status(job: &Field<'_>, old: &Object) {
    let (new, status) = (job.value(), job.at("status"));
    check_numbers(&status);
    check_uncounted(&status.at("uncountedTerminatedPods"));
    check_conditions(&status, new, old);
    check_times(&status, new, old);
    check_finished(&status, new, old);
    check_indexes(&status, new, old);
    check_counters(&status, new, old);
}

fn changed(new: &Value, old: &Value, field: &str) -> bool {
    new["status"][field] != old["status"][field]
}

fn check_numbers(status: &Field<'_>) {
    status.non_negative_all(&["active", "succeeded", "failed", "ready", "terminating"]);
}

fn check_uncounted(uncounted: &Field<'_>) {
    let mut seen = Vec::new();
    for list in ["succeeded", "failed"] {
        for uid in uncounted.items(list) {
            if uid.text().is_empty() {
                uid.invalid("must not be empty");
            } else if seen.contains(&uid.text()) {
                uid.duplicate();
            } else {
                seen.push(uid.text());
            }
        }
    }
}

/// Conditions that contradict each other, that need another one, or that may not be removed.
fn check_conditions(status: &Field<'_>, new: &Value, old: &Value) {
    let turned = |condition| is(new, condition) != is(old, condition);
    let (complete, failed) = (is(new, "Complete"), is(new, "Failed"));
    let (target, met) = (is(new, "FailureTarget"), is(new, "SuccessCriteriaMet"));
    let completes = turned("Complete");
    let by_policy = !new["spec"]["successPolicy"].is_null();
    let rules = [
        (
            complete && failed && (completes || turned("Failed")),
            "cannot set Complete=True and Failed=true conditions",
        ),
        (
            complete && target && (completes || turned("FailureTarget")),
            "cannot set Complete=True and FailureTarget=true conditions",
        ),
        (
            failed && !target && (turned("Failed") || changed(new, old, "failedIndexes")),
            "cannot set Failed=True condition without the FailureTarget=true condition",
        ),
        (
            complete && !met && (completes || turned("SuccessCriteriaMet")),
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        ),
        (met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
        (met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        (
            by_policy && complete && !met,
            "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True",
        ),
        (is(old, "Failed") && !failed, "cannot disable the terminal Failed=True condition"),
        (is(old, "Complete") && !complete, "cannot disable the terminal Complete=True condition"),
        (
            is(old, "FailureTarget") && !target,
            "cannot disable the terminal FailureTarget=True condition",
        ),
        (
            is(old, "SuccessCriteriaMet") && !met,
            "cannot disable the SuccessCriteriaMet=True condition",
        ),
        (
            is(old, "Complete") && !is(old, "SuccessCriteriaMet") && met,
            "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions",
        ),
    ];
    let conditions = status.at("conditions");
    for (_, message) in rules.iter().filter(|(broken, _)| *broken) {
        conditions.invalid_omitted(*message);
    }
}

fn check_times(status: &Field<'_>, new: &Value, old: &Value) {
    let completes = is(new, "Complete") != is(old, "Complete");
    let (started, ended) = (status.at("startTime"), status.at("completionTime"));
    let (restarted, ended_anew) =
        (changed(new, old, "startTime"), changed(new, old, "completionTime"));
    if completes || ended_anew {
        if is(new, "Complete") && ended.value().is_null() {
            ended.required("completionTime is required for Complete jobs");
        } else if !is(new, "Complete") && !ended.value().is_null() {
            ended.invalid("cannot set completionTime when there is no Complete=True condition");
        }
    }
    let order = (time::parse(started.text()), time::parse(ended.text()));
    if let (Some(start), Some(end)) = order
        && end < start
        && (restarted || ended_anew)
    {
        ended.invalid("must be equal to or after `startTime`");
    }
    let before = &old["status"]["completionTime"];
    if ended_anew && !ended.value().is_null() && !before.is_null() {
        ended.invalid("field is immutable");
    }
    let resuming = is(old, "Suspended") && has(new, "Suspended", "False");
    let suspended = new["spec"]["suspend"] == true;
    if restarted && !resuming && !old["status"]["startTime"].is_null() && !suspended {
        started.required("startTime cannot be removed for unsuspended job");
    }
}

/// A finished job has no pods left, and has started.
fn check_finished(status: &Field<'_>, new: &Value, old: &Value) {
    let finishes = is_finished(new) != is_finished(old);
    if !is_finished(new) {
        return;
    }
    let concerns = |field| finishes || changed(new, old, field);
    if concerns("active") && status.int("active").unwrap_or(0) > 0 {
        status.at("active").invalid("active>0 is invalid for finished job");
    }
    let nothing_to_do = new["spec"]["suspend"] == true && new["spec"]["completions"] == 0;
    if concerns("startTime") && !nothing_to_do && status.at("startTime").value().is_null() {
        status.at("startTime").required("startTime is required for finished job");
    }
    let uncounted = status.at("uncountedTerminatedPods");
    if concerns("uncountedTerminatedPods")
        && uncounted.len("succeeded") + uncounted.len("failed") > 0
    {
        uncounted.invalid_as("batch.UncountedTerminatedPods", "must be empty for finished job");
    }
    if concerns("terminating") && status.int("terminating").unwrap_or(0) > 0 {
        status.at("terminating").invalid("terminating>0 is invalid for finished job");
    }
}

fn check_indexes(status: &Field<'_>, new: &Value, old: &Value) {
    let (done, lost) = (status.at("completedIndexes"), status.at("failedIndexes"));
    let (done_changed, lost_changed) =
        (changed(new, old, "completedIndexes"), changed(new, old, "failedIndexes"));
    let completions = new["spec"]["completions"].as_i64();
    let per_index = !new["spec"]["backoffLimitPerIndex"].is_null();
    let check = |field: &Field<'_>, name: &str| {
        let count = completions.map(|n| indexes::count(field.text(), n));
        if let Some(Err(why)) = count {
            field.invalid(format!("error parsing {name}: {why}"));
        }
    };
    if done_changed {
        check(&done, "completedIndexes");
        if !done.text().is_empty() && new["spec"]["completionMode"] != "Indexed" {
            done.invalid("cannot set non-empty completedIndexes when non-indexed completion mode");
        }
    }
    if lost_changed && !lost.value().is_null() {
        if per_index {
            check(&lost, "failedIndexes");
        } else {
            lost.invalid("cannot set non-null failedIndexes when backoffLimitPerIndex is null");
        }
    }
    if let (true, Some(completions)) = (done_changed || lost_changed, completions)
        && let Some(at) = indexes::overlap(done.text(), lost.text(), completions)
    {
        lost.invalid(format!("failedIndexes and completedIndexes overlap at index: {at}"));
    }
}

fn check_counters(status: &Field<'_>, new: &Value, old: &Value) {
    let number = |job: &Value, field: &str| job["status"][field].as_i64().unwrap_or(0);
    let more_ready = status.has("ready") && number(new, "ready") > number(new, "active");
    if more_ready && (changed(new, old, "ready") || changed(new, old, "active")) {
        status.at("ready").invalid("cannot set more ready pods than active");
    }
    let spec = &new["spec"];
    // An indexed job that runs all indexes at once may be scaled down.
    let shrinks = spec["completionMode"] == "Indexed" && spec["completions"] == spec["parallelism"];
    for counter in ["failed", "succeeded"] {
        let fell = number(new, counter) < number(old, counter);
        if fell && !(counter == "succeeded" && shrinks) {
            let message = format!("cannot decrease the {counter} counter");
            status.at(counter).invalid_value(number(new, counter), message);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::check::check;

    fn found(spec: Value, old: Value, new: Value) -> Vec<String> {
        let job = |status: Value| json!({"spec": spec.clone(), "status": status});
        let errors = check(&job(new), |field| check_status(field, &job(old)));
        errors.0.iter().map(ToString::to_string).collect()
    }

    fn when(conditions: &[&str]) -> Value {
        conditions.iter().map(|c| json!({"type": c, "status": "True"})).collect()
    }

    #[test]
    fn a_job_ends_in_order() {
        let (spec, running) =
            (json!({}), json!({"active": 1, "startTime": "2026-01-01T00:00:00Z"}));
        let done = |conditions: &[&str]| {
            json!({
                "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:01Z",
                "succeeded": 1, "conditions": when(conditions),
            })
        };
        let good = done(&["SuccessCriteriaMet", "Complete"]);
        assert_eq!(found(spec.clone(), running.clone(), good.clone()), [""; 0]);
        assert_eq!(
            found(spec.clone(), running.clone(), done(&["Complete"])),
            [
                "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition"
            ]
        );
        assert_eq!(
            found(spec.clone(), good.clone(), running.clone()),
            [
                "status.conditions: Invalid value: cannot disable the terminal Complete=True condition",
                "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
                "status.succeeded: Invalid value: 0: cannot decrease the succeeded counter",
            ]
        );
        let mut busy = good;
        busy["active"] = json!(1);
        busy["completionTime"] = json!("2025-01-01T00:00:00Z");
        assert_eq!(
            found(spec, running, busy),
            [
                "status.completionTime: Invalid value: \"2025-01-01T00:00:00Z\": must be equal to or after `startTime`",
                "status.active: Invalid value: 1: active>0 is invalid for finished job",
            ]
        );
    }

    #[test]
    fn indexes_fit_the_spec() {
        let spec =
            json!({"completions": 4, "completionMode": "Indexed", "backoffLimitPerIndex": 1});
        assert_eq!(
            found(
                spec.clone(),
                json!({}),
                json!({"completedIndexes": "0-2", "failedIndexes": "2,3"})
            ),
            [
                "status.failedIndexes: Invalid value: \"2,3\": failedIndexes and completedIndexes overlap at index: 2"
            ]
        );
        assert_eq!(
            found(spec, json!({}), json!({"completedIndexes": "5"})),
            [
                "status.completedIndexes: Invalid value: \"5\": error parsing completedIndexes: too large index: \"5\""
            ]
        );
        assert_eq!(
            found(json!({"completions": 4}), json!({}), json!({"failedIndexes": "1"})),
            [
                "status.failedIndexes: Invalid value: \"1\": cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            ]
        );
    }
}

//! Table tests of jobs and cron jobs.

use serde_json::{Value, json};

use super::super::testing::{Subject, subject, template};

fn job_template() -> Value {
    let mut template = template();
    template["spec"]["restartPolicy"] = "Never".into();
    template
}

fn job() -> Subject {
    let spec = json!({
        "manualSelector": true, "selector": {"matchLabels": {"app": "x"}}, "template": job_template(),
    });
    subject("batch", "v1", "Job", json!({"spec": spec}))
}

fn cron_job() -> Subject {
    let spec =
        json!({"schedule": "* * * * *", "jobTemplate": {"spec": {"template": job_template()}}});
    subject("batch", "v1", "CronJob", json!({"spec": spec}))
}

fn spec(fragment: Value) -> Value {
    json!({"spec": fragment})
}

#[test]
fn job_counts_and_modes() {
    job().creates(&[
        (json!({}), &[]),
        (
            spec(json!({"parallelism": -1, "completions": -1, "backoffLimit": -1, "ttlSecondsAfterFinished": -1, "activeDeadlineSeconds": -1})),
            &[
                "spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
                "spec.completions: Invalid value: -1: must be greater than or equal to 0",
                "spec.activeDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0",
                "spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            spec(json!({"completionMode": "Indexed", "parallelism": 100_001})),
            &[
                "spec.completions: Required value: when completion mode is Indexed",
                "spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed",
            ],
        ),
        (
            spec(json!({"completionMode": "Odd"})),
            &[
                "spec.completionMode: Unsupported value: \"Odd\": supported values: \"NonIndexed\", \"Indexed\"",
            ],
        ),
        (
            spec(json!({"maxFailedIndexes": 3, "managedBy": "nobody"})),
            &[
                "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified",
                "spec.managedBy: Invalid value: \"nobody\": must be a domain-prefixed path (such as \"acme.io/foo\")",
                "spec.maxFailedIndexes: Invalid value: 3: requires indexed completion mode",
            ],
        ),
        (
            spec(json!({"template": {"spec": {"restartPolicy": "Always"}}})),
            &[
                "spec.template.spec.restartPolicy: Required value: valid values: \"OnFailure\", \"Never\"",
            ],
        ),
        (
            json!({"metadata": {"name": "x".repeat(62)}, "spec": {"completionMode": "Indexed", "completions": 3}}),
            &[&format!(
                "metadata.name: Invalid value: \"{0}\": will not able to create pod with invalid DNS label: {0}-2",
                "x".repeat(62)
            )],
        ),
        (
            json!({"metadata": {"uid": "u"}, "spec": {"manualSelector": false}}),
            &[
                "spec.template.metadata.labels[controller-uid]: Required value: must be 'u'",
                "spec.template.metadata.labels[job-name]: Required value: must be 'a'",
                "spec.template.metadata.labels[batch.kubernetes.io/controller-uid]: Required value: must be 'u'",
                "spec.template.metadata.labels[batch.kubernetes.io/job-name]: Required value: must be 'a'",
                "spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"x\"}}: `selector` not auto-generated",
            ],
        ),
    ]);
}

#[test]
fn job_policies() {
    let fail = |rule: Value| spec(json!({"podFailurePolicy": {"rules": [rule]}}));
    let indexed = |rule: Value| {
        spec(
            json!({"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]}}),
        )
    };
    job().creates(&[
        (fail(json!({"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1, 2]}})), &[]),
        (
            fail(json!({"action": "Explode", "onExitCodes": {"containerName": "z", "operator": "In", "values": [2, 0, 2]}})),
            &[
                "spec.podFailurePolicy.rules[0].action: Unsupported value: \"Explode\": supported values: \"Count\", \"FailIndex\", \"FailJob\", \"Ignore\"",
                "spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: \"z\": must be one of the container or initContainer names in the pod template",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "spec.podFailurePolicy.rules[0].onExitCodes.values[2]: Duplicate value: 2",
                "spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
            ],
        ),
        (
            fail(json!({"action": "", "onExitCodes": {"operator": "", "values": [1]}, "onPodConditions": [{"type": "A", "status": "Maybe"}]})),
            &[
                "spec.podFailurePolicy.rules[0].action: Required value: valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]",
                "spec.podFailurePolicy.rules[0].onExitCodes.operator: Required value: valid values: [\"In\" \"NotIn\"]",
                "spec.podFailurePolicy.rules[0].onPodConditions[0].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\"",
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported",
            ],
        ),
        (
            fail(json!({"action": "FailIndex"})),
            &[
                "spec.podFailurePolicy.rules[0].action: Invalid value: \"FailIndex\": requires the backoffLimitPerIndex to be set",
                "spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        ),
        (
            spec(json!({"podReplacementPolicy": "TerminatingOrFailed", "podFailurePolicy": {"rules": []}, "template": {"spec": {"restartPolicy": "OnFailure"}}})),
            &[
                "spec.podReplacementPolicy: Unsupported value: \"TerminatingOrFailed\": supported values: \"Failed\"",
                "spec.template.spec.restartPolicy: Invalid value: \"OnFailure\": only \"Never\" is supported when podFailurePolicy is specified",
            ],
        ),
        (indexed(json!({"succeededIndexes": "0-2", "succeededCount": 2})), &[]),
        (
            indexed(json!({"succeededIndexes": "0-2", "succeededCount": 7})),
            &[
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 7: must be less than or equal to 5 (the number of specified completions)",
                "spec.successPolicy.rules[0].succeededCount: Invalid value: 7: must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)",
            ],
        ),
        (
            indexed(json!({"succeededIndexes": "9"})),
            &[
                "spec.successPolicy.rules[0].succeededIndexes: Invalid value: \"9\": error parsing succeededIndexes: too large index: \"9\"",
            ],
        ),
        (
            indexed(json!({})),
            &[
                "spec.successPolicy.rules[0]: Required value: at least one of succeededCount or succeededIndexes must be specified",
            ],
        ),
    ]);
}

#[test]
fn job_updates() {
    let indexed = spec(json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2}));
    let suspended = spec(json!({"suspend": true}));
    job().updates(&[
        (json!({}), spec(json!({"parallelism": 4, "backoffLimit": 9, "suspend": true})), &[]),
        (
            json!({}),
            spec(json!({"completions": 4})),
            &["spec.completions: Invalid value: 4: field is immutable"],
        ),
        (indexed.clone(), spec(json!({"completions": 3, "parallelism": 3})), &[]),
        (
            indexed,
            spec(json!({"completions": 3})),
            &[
                "spec.completions: Invalid value: 3: can only be modified in tandem with spec.parallelism",
            ],
        ),
        (
            suspended.clone(),
            spec(json!({"template": {"spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]}}})),
            &[],
        ),
        (suspended, spec(json!({"template": {"spec": {"nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}}}})), &[]),
        (
            json!({}),
            spec(json!({"managedBy": "example.com/me", "completionMode": "Indexed"})),
            &[
                "spec.completionMode: Invalid value: \"Indexed\": field is immutable",
                "spec.managedBy: Invalid value: \"example.com/me\": field is immutable",
            ],
        ),
    ]);
    let changed = job()
        .update(&json!({}), &spec(json!({"template": {"spec": {"nodeSelector": {"a": "b"}}}})));
    assert_eq!(changed.len(), 1);
    assert!(
        changed[0].starts_with("spec.template: Invalid value: {")
            && changed[0].ends_with("}: field is immutable")
    );
}

#[test]
fn cron_jobs() {
    cron_job().creates(&[
        (json!({}), &[]),
        (
            spec(json!({"schedule": "error", "startingDeadlineSeconds": -1, "concurrencyPolicy": "x", "successfulJobsHistoryLimit": -1})),
            &[
                "spec.schedule: Invalid value: \"error\": expected exactly 5 fields, found 1: [error]",
                "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.concurrencyPolicy: Unsupported value: \"x\": supported values: \"Allow\", \"Forbid\", \"Replace\"",
                "spec.successfulJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (spec(json!({"schedule": ""})), &["spec.schedule: Required value"]),
        (
            spec(json!({"schedule": "TZ=UTC 0 * * * *"})),
            &[
                "spec.schedule: Invalid value: \"TZ=UTC 0 * * * *\": cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ],
        ),
        (spec(json!({"timeZone": "Europe/Berlin"})), &[]),
        (
            spec(json!({"timeZone": "Amerika/New_York"})),
            &["spec.timeZone: Invalid value: \"Amerika/New_York\": unknown time zone Amerika/New_York"],
        ),
        (
            spec(json!({"timeZone": "Local"})),
            &[
                "spec.timeZone: Invalid value: \"Local\": timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
            ],
        ),
        (
            spec(json!({"jobTemplate": {"spec": {"manualSelector": true, "selector": {"matchLabels": {"a": "b"}}, "completions": -1}}})),
            &[
                "spec.jobTemplate.spec.completions: Invalid value: -1: must be greater than or equal to 0",
                "spec.jobTemplate.spec.selector: Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: `selector` will be auto-generated",
                "spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: \"nil\", \"false\"",
            ],
        ),
        (
            json!({"metadata": {"name": "x".repeat(53)}}),
            &[&format!("metadata.name: Invalid value: \"{}\": must be no more than 52 characters", "x".repeat(53))],
        ),
    ]);
}

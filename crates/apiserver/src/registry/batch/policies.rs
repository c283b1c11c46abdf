//! Policies by which a job fails or succeeds early (KEP-3329, KEP-3998).

use std::collections::HashSet;

use apimachinery::names;

use super::indexes::count;
use crate::registry::check::Field;

const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;
const MAX_PATTERNS: usize = 20;
const MAX_INDEXES: usize = 64 << 10;

const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];

/// An enumeration; if it is missing, the message lists it as Go prints a list.
fn needs_one_of(parent: &Field<'_>, name: &str, supported: &[&str]) {
    if parent.str(name).is_empty() {
        let quoted: Vec<String> = supported.iter().map(|s| apimachinery::text::quote(s)).collect();
        parent.at(name).required(format!("valid values: [{}]", quoted.join(" ")));
    } else {
        parent.one_of(name, supported);
    }
}

pub(super) fn check_failure_policy(policy: &Field<'_>, spec: &Field<'_>) {
    if policy.len("rules") > MAX_RULES {
        policy.at("rules").too_many(policy.len("rules"), MAX_RULES);
    }
    let pod = spec.at("template").at("spec");
    let containers: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod.items(list))
        .map(|c| c.str("name"))
        .collect();
    for rule in policy.items("rules") {
        if rule.str("action") == "FailIndex" && !spec.has("backoffLimitPerIndex") {
            rule.at("action").invalid("requires the backoffLimitPerIndex to be set");
        } else {
            needs_one_of(&rule, "action", ACTIONS);
        }
        if let Some(codes) = rule.opt("onExitCodes") {
            check_codes(&codes, &containers);
        }
        if rule.len("onPodConditions") > MAX_PATTERNS {
            rule.at("onPodConditions").too_many(rule.len("onPodConditions"), MAX_PATTERNS);
        }
        for pattern in rule.items("onPodConditions") {
            pattern.valid("type", names::qualified_name);
            needs_one_of(&pattern, "status", STATUSES);
        }
        match (rule.has("onExitCodes"), rule.len("onPodConditions") > 0) {
            (true, true) => rule.invalid_omitted(
                "specifying both OnExitCodes and OnPodConditions is not supported",
            ),
            (false, false) => rule
                .invalid_omitted("specifying one of OnExitCodes and OnPodConditions is required"),
            _ => {}
        }
    }
}

fn check_codes(codes: &Field<'_>, containers: &HashSet<&str>) {
    needs_one_of(codes, "operator", OPERATORS);
    if codes.has("containerName") && !containers.contains(codes.str("containerName")) {
        codes
            .at("containerName")
            .invalid("must be one of the container or initContainer names in the pod template");
    }
    let values = codes.at("values");
    match codes.len("values") {
        0 => values.invalid_value(values.value().clone(), "at least one value is required"),
        n if n > MAX_CODES => values.too_many(n, MAX_CODES),
        _ => {}
    }
    let mut seen = HashSet::new();
    let (mut last, mut ordered) = (i64::MIN, true);
    for value in codes.items("values") {
        let code = value.value().as_i64().unwrap_or(0);
        if codes.str("operator") == "In" && code == 0 {
            value.invalid("must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            value.duplicate();
        }
        ordered &= last <= code;
        last = code;
    }
    if !ordered {
        values.invalid("must be ordered");
    }
}

pub(super) fn check_success_policy(policy: &Field<'_>, completions: Option<i64>) {
    let rules = policy.at("rules");
    if policy.len("rules") == 0 {
        rules.required("at least one rules must be specified when the successPolicy is specified");
    }
    if policy.len("rules") > MAX_RULES {
        rules.too_many(policy.len("rules"), MAX_RULES);
    }
    let completions = completions.unwrap_or(0);
    for rule in policy.items("rules") {
        if !rule.has("succeededCount") && !rule.has("succeededIndexes") {
            rule.required("at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if let Some(indexes) = rule.opt("succeededIndexes") {
            if indexes.text().len() > MAX_INDEXES {
                indexes.too_long(MAX_INDEXES);
            }
            match count(indexes.text(), completions) {
                Ok(n) => total = n,
                Err(why) => indexes.invalid(format!("error parsing succeededIndexes: {why}")),
            }
        }
        let Some(wanted) = rule.int("succeededCount") else { continue };
        rule.non_negative("succeededCount");
        let at = rule.at("succeededCount");
        if wanted > completions {
            at.invalid(format!(
                "must be less than or equal to {completions} (the number of specified completions)"
            ));
        }
        if rule.has("succeededIndexes") && wanted > total {
            at.invalid(format!(
                "must be less than or equal to {total} (the number of indexes in the specified \
                 succeededIndexes field)"
            ));
        }
    }
}

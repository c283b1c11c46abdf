//! Tolerations, scheduling gates and topology spread.

use std::collections::HashSet;

use apimachinery::field::{ErrorList, Path};
use apimachinery::names;
use serde_json::{Value, json};

use super::affinity::check_label_keys;
use crate::registry::check::{Field, check_at, check_label_selector};

/// Effects of a taint.
pub(in crate::registry) const TAINT_EFFECTS: &[&str] =
    &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks the `tolerations` of a pod, or of an object that creates pods.
pub(in crate::registry) fn check_tolerations(spec: &Field<'_>) {
    for toleration in spec.items("tolerations") {
        let (operator, value) = (toleration.str("operator"), toleration.str("value"));
        let at = toleration.at("operator");
        toleration.maybe_valid("key", names::qualified_name);
        if toleration.str("key").is_empty() && operator != "Exists" {
            at.invalid(
                "operator must be Exists when `key` is empty, which means \"match all values and \
                 all keys\"",
            );
        }
        if toleration.has("tolerationSeconds") && toleration.str("effect") != "NoExecute" {
            toleration
                .at("effect")
                .invalid("effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        match operator {
            "Equal" | "" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    at.invalid_value(value, messages.join(";"));
                }
            }
            "Exists" if !value.is_empty() => {
                at.invalid_value(value, "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            "Lt" | "Gt" => at.not_supported(&["Equal", "Exists", "Lt", "Gt"]),
            _ => at.not_supported(&["Equal", "Exists"]),
        }
        if !toleration.str("effect").is_empty() {
            toleration.one_of("effect", TAINT_EFFECTS);
        }
    }
}

/// The findings about a list of tolerations of no pod.
pub(crate) fn tolerations_at(path: &Path, list: &Value) -> ErrorList {
    let holder = json!({"tolerations": list});
    let mut errors = check_at(&holder, Path::root(), check_tolerations);
    for error in &mut errors.0 {
        let own = error.path.as_str().strip_prefix("tolerations").unwrap_or_default().to_owned();
        error.path = Path::new(&format!("{path}{own}"));
    }
    errors
}

pub(super) fn check_gates(spec: &Field<'_>) {
    for gate in spec.items("readinessGates") {
        gate.valid("conditionType", names::qualified_name);
    }
    let mut seen = HashSet::new();
    for gate in spec.items("schedulingGates") {
        let name = gate.str("name");
        for message in names::qualified_name(name) {
            gate.invalid_value(name, message);
        }
        if !seen.insert(name) {
            gate.duplicate_of(name);
        }
    }
}

pub(super) fn check_spread(spec: &Field<'_>) {
    let all: Vec<Field<'_>> = spec.items("topologySpreadConstraints").collect();
    for (i, spread) in all.iter().enumerate() {
        spread.positive("maxSkew");
        let (key, action) = (spread.str("topologyKey"), spread.str("whenUnsatisfiable"));
        if key.is_empty() {
            spread.at("topologyKey").required("can not be empty");
        }
        spread.one_of("whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"]);
        let same =
            |o: &&Field<'_>| o.str("topologyKey") == key && o.str("whenUnsatisfiable") == action;
        if all.iter().skip(i + 1).any(|o| same(&o)) {
            let pair = format!("{{{key}, {action}}}");
            spread.at("{topologyKey, whenUnsatisfiable}").duplicate_of(pair);
        }
        if spread.has("minDomains") {
            spread.positive("minDomains");
            if action != "DoNotSchedule" {
                spread.at("minDomains").invalid(format!(
                    "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
                ));
            }
        }
        spread.maybe_one_of("nodeAffinityPolicy", &["Honor", "Ignore"]);
        spread.maybe_one_of("nodeTaintsPolicy", &["Honor", "Ignore"]);
        check_label_keys(spread);
        if let Some(selector) = spread.opt("labelSelector") {
            check_label_selector(&selector);
        }
    }
}

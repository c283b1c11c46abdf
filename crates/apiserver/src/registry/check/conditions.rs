//! `metav1.Condition` lists (upstream's `ValidateConditions`).

use std::collections::HashSet;
use std::sync::LazyLock;

use apimachinery::names;
use regex::Regex;

use super::Field;

const REASON: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
static REASON_REGEX: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("^{REASON}$")).ok());
const MAX_REASON: usize = 1 << 10;
const MAX_MESSAGE: usize = 32 << 10;

/// Checks the `conditions` of a status.
pub(crate) fn check_conditions(status: &Field<'_>) {
    let mut seen = HashSet::new();
    for condition in status.items("conditions") {
        if !seen.insert(condition.str("type")) {
            condition.duplicate_of(condition.str("type"));
        }
        check_condition(&condition);
    }
}

fn check_condition(condition: &Field<'_>) {
    if condition.str("type").is_empty() {
        condition.at("type").required("is required");
    } else {
        condition.valid("type", names::qualified_name);
    }
    condition.needs_one_of("status", &["False", "True", "Unknown"]);
    if condition.int("observedGeneration").is_some_and(|generation| generation < 0) {
        condition.at("observedGeneration").invalid("must be greater than or equal to zero");
    }
    if !condition.has("lastTransitionTime") {
        condition.at("lastTransitionTime").required("");
    }
    if condition.needs("reason") {
        let reason = condition.at("reason");
        if REASON_REGEX.as_ref().is_some_and(|regex| !regex.is_match(reason.text())) {
            reason.invalid(names::regex_error(
                "a condition reason must start with alphabetic character, optionally followed by \
                 a string of alphanumeric characters or '_,:', and must end with an alphanumeric \
                 character or '_'",
                REASON,
                &["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"],
            ));
        }
        if reason.text().len() > MAX_REASON {
            reason.too_long(MAX_REASON);
        }
    }
    if condition.str("message").len() > MAX_MESSAGE {
        condition.at("message").too_long(MAX_MESSAGE);
    }
}

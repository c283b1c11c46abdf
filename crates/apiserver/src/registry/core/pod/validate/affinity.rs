//! Node and pod affinity.

use std::collections::HashSet;

use apimachinery::names;
use serde_json::Value;

use crate::registry::check::{Field, check_label_selector};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn check(affinity: &Field<'_>) {
    if let Some(node) = affinity.opt("nodeAffinity") {
        if let Some(required) = node.opt(REQUIRED) {
            check_node_selector(&required);
        }
        for term in node.items(PREFERRED) {
            check_weight(&term);
            // Invalid label values are accepted here, as in upstream.
            check_node_term(&term.at("preference"), false);
        }
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.opt(name) else { continue };
        for term in pods.items(REQUIRED) {
            check_pod_term(&term);
        }
        for term in pods.items(PREFERRED) {
            check_weight(&term);
            check_pod_term(&term.at("podAffinityTerm"));
        }
    }
}

fn check_weight(term: &Field<'_>) {
    let weight = term.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        term.at("weight").invalid_value(weight, "must be in the range 1-100");
    }
}

/// Checks a `NodeSelector`.
pub(in crate::registry) fn check_node_selector(selector: &Field<'_>) {
    if selector.len("nodeSelectorTerms") == 0 {
        selector.at("nodeSelectorTerms").required("must have at least one node selector term");
    }
    for term in selector.items("nodeSelectorTerms") {
        check_node_term(&term, true);
    }
}

fn check_node_term(term: &Field<'_>, values: bool) {
    for requirement in term.items("matchExpressions") {
        let given = requirement.len("values");
        match requirement.str("operator") {
            "In" | "NotIn" if given == 0 => requirement
                .at("values")
                .required("must be specified when `operator` is 'In' or 'NotIn'"),
            "Exists" | "DoesNotExist" if given > 0 => requirement
                .at("values")
                .forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"),
            "Gt" | "Lt" if given != 1 => requirement
                .at("values")
                .required("must be specified single value when `operator` is 'Lt' or 'Gt'"),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            _ => requirement.at("operator").invalid("not a valid selector operator"),
        }
        requirement.valid("key", names::qualified_name);
        for value in requirement.items("values").filter(|_| values) {
            value.invalid_all(names::label_value(value.text()));
        }
    }
    for requirement in term.items("matchFields") {
        match requirement.str("operator") {
            "In" | "NotIn" if requirement.len("values") != 1 => {
                requirement.at("values").required(
                    "must be only one value when `operator` is 'In' or 'NotIn' for node field \
                     selector",
                );
            }
            "In" | "NotIn" => {}
            _ => requirement.at("operator").invalid("not a valid selector operator"),
        }
        if requirement.str("key") == "metadata.name" {
            for value in requirement.items("values") {
                value.invalid_all(names::dns1123_subdomain(value.text()));
            }
        } else {
            requirement.at("key").invalid("not a valid field selector key");
        }
    }
}

fn check_pod_term(term: &Field<'_>) {
    for name in ["labelSelector", "namespaceSelector"] {
        if let Some(selector) = term.opt(name) {
            check_label_selector(&selector);
        }
    }
    for namespace in term.strings("namespaces") {
        for message in names::dns1123_label(namespace) {
            term.at("namespace").invalid_value(namespace, message);
        }
    }
    check_label_keys(term);
    if term.str("topologyKey").is_empty() {
        term.at("topologyKey").required("can not be empty");
    }
    term.valid("topologyKey", names::qualified_name);
}

/// Checks `matchLabelKeys` and `mismatchLabelKeys`, which the server turns into expressions of the
/// selector: a key that the selector already contains is refused.
pub(super) fn check_label_keys(term: &Field<'_>) {
    let selector = term.get("labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        if term.len(name) == 0 {
            continue;
        }
        if selector.is_null() {
            term.at(name).forbidden("must not be specified when labelSelector is not set");
            continue;
        }
        for key in term.items(name) {
            key.invalid_all(names::qualified_name(key.text()));
        }
    }
    let matched: Vec<&str> = term.strings("matchLabelKeys").collect();
    let labels = selector["matchLabels"].as_object();
    let mut seen: HashSet<&str> = labels.into_iter().flatten().map(|(k, _)| k.as_str()).collect();
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        if let Some(i) = matched.iter().rposition(|k| *k == key)
            && seen.contains(key)
        {
            let at = term.instead(&Value::Null).index(i);
            at.invalid_value(key, "exists in both matchLabelKeys and labelSelector");
        }
        seen.insert(key);
    }
    let mismatched: HashSet<&str> = term.strings("mismatchLabelKeys").collect();
    for key in term.items("matchLabelKeys").filter(|k| mismatched.contains(k.text())) {
        key.invalid("exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

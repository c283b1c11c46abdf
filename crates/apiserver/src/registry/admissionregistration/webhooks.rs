//! MutatingWebhookConfiguration and ValidatingWebhookConfiguration.

use std::collections::HashSet;

use apimachinery::field::ErrorList;
use apimachinery::{Object, names};
use serde_json::Value;

use super::rules::{
    FAILURE_POLICIES, MATCH_POLICIES, check_client_config, check_match_conditions, check_new_name,
    check_qualified_name, check_rule, default_matching, default_rules, warn_name, warn_unseen,
};
use crate::registry::Sub;
use crate::registry::check::{Field, check, check_label_selector};
use crate::registry::strategy::{Strategy, items_mut, set_default};

/// Versions of AdmissionReview that the server supports.
const VERSIONS: &[&str] = &["v1", "v1beta1"];
const WITHOUT_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun", "Some", "Unknown"];

pub(super) struct Webhooks {
    pub(super) mutating: bool,
}

/// Requirements for a webhook; relaxed if the old object did not meet them either.
#[derive(Clone, Copy)]
struct Demands {
    no_side_effects: bool,
    known_version: bool,
    unique_names: bool,
}

impl Demands {
    fn of_update(old: &Object) -> Self {
        let hooks = || old["webhooks"].as_array().into_iter().flatten();
        let versions = |hook: &Value| hook["admissionReviewVersions"].as_array().cloned();
        let known = |list: &[Value]| list.iter().any(|v| VERSIONS.iter().any(|known| v == known));
        let mut seen = HashSet::new();
        Self {
            no_side_effects: hooks()
                .all(|hook| WITHOUT_SIDE_EFFECTS.iter().any(|class| hook["sideEffects"] == *class)),
            known_version: hooks()
                .all(|hook| versions(hook).is_none_or(|v| v.is_empty() || known(&v))),
            unique_names: hooks().all(|hook| seen.insert(hook["name"].to_string())),
        }
    }
}

impl Strategy for Webhooks {
    fn default(&self, object: &mut Object) {
        for hook in items_mut(object, "webhooks").filter(|hook| hook.is_object()) {
            set_default(hook, "failurePolicy", "Fail");
            default_matching(hook);
            set_default(hook, "timeoutSeconds", 10);
            if self.mutating {
                set_default(hook, "reinvocationPolicy", "Never");
            }
            default_rules(hook, "rules");
            let service = hook.get_mut("clientConfig").and_then(|config| config.get_mut("service"));
            if let Some(service) = service {
                set_default(service, "port", 443);
            }
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let demands = Demands { no_side_effects: true, known_version: true, unique_names: true };
        check(object, |object| {
            self.check(object, demands, None);
            check_new_name(object);
        })
    }

    fn warnings(&self, object: &Object) -> Vec<String> {
        warn_unseen(object)
    }

    fn warnings_on_update(&self, object: &Object, _old: &Object) -> Vec<String> {
        let mut found = warn_name(object);
        found.extend(warn_unseen(object));
        found
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| self.check(object, Demands::of_update(old), Some(old)))
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

/// Returns true if all conditions are unchanged.
fn same_conditions(object: &Field<'_>, old: &Object) -> bool {
    let of = |object: &Value| -> Vec<Value> {
        let hooks = object["webhooks"].as_array().into_iter().flatten();
        hooks.map(|hook| hook["matchConditions"].clone()).collect()
    };
    of(object.value()) == of(old)
}

impl Webhooks {
    fn check(&self, object: &Field<'_>, demands: Demands, old: Option<&Object>) {
        let conditions = !old.is_some_and(|old| same_conditions(object, old));
        let mut seen = HashSet::new();
        for hook in object.items("webhooks") {
            self.check_hook(&hook, demands, conditions);
            check_versions(&hook, demands.known_version);
            let name = hook.str("name");
            if demands.unique_names && !name.is_empty() && !seen.insert(name) {
                hook.at("name").duplicate();
            }
        }
    }

    fn check_hook(&self, hook: &Field<'_>, demands: Demands, conditions: bool) {
        check_qualified_name(&hook.at("name"));
        hook.items("rules").for_each(|rule| check_rule(&rule));
        hook.maybe_one_of("failurePolicy", FAILURE_POLICIES);
        hook.maybe_one_of("matchPolicy", MATCH_POLICIES);
        let allowed = if demands.no_side_effects { WITHOUT_SIDE_EFFECTS } else { SIDE_EFFECTS };
        match hook.opt("sideEffects") {
            None => hook
                .at("sideEffects")
                .required(format!("must specify one of {}", allowed.join(", "))),
            Some(_) => hook.one_of("sideEffects", allowed),
        }
        if hook.int("timeoutSeconds").is_some_and(|seconds| !(1..=30).contains(&seconds)) {
            hook.at("timeoutSeconds").invalid("the timeout value must be between 1 and 30 seconds");
        }
        check_label_selector(&hook.at("namespaceSelector"));
        check_label_selector(&hook.at("objectSelector"));
        if self.mutating {
            hook.maybe_one_of("reinvocationPolicy", &["IfNeeded", "Never"]);
        }
        check_client_config(&hook.at("clientConfig"));
        if conditions {
            check_match_conditions(hook, false);
        }
    }
}

fn check_versions(hook: &Field<'_>, known: bool) {
    let versions = hook.at("admissionReviewVersions");
    if hook.len("admissionReviewVersions") == 0 {
        return versions.required(format!("must specify one of {}", VERSIONS.join(", ")));
    }
    let mut seen = HashSet::new();
    for version in hook.items("admissionReviewVersions") {
        if !seen.insert(version.text()) {
            version.invalid("duplicate version");
            continue;
        }
        version.invalid_all(names::dns1035_label(version.text()));
    }
    if known && !seen.iter().any(|version| VERSIONS.contains(version)) {
        versions.invalid(format!("must include at least one of {}", VERSIONS.join(", ")));
    }
}

//! PriorityLevelConfiguration: the share of the server that requests of one level may use.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::check_conditions;
use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{ALL_METADATA, Context, Strategy, clear_status, set_default};

pub(super) struct Level;

/// Annotation by which v1beta3 distinguishes zero from unset.
const PRESERVE_ZERO: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
const MAX_QUEUES: i64 = 10_000_000;
/// Bits of the hash from which hands are dealt.
const MAX_HASH_BITS: i64 = 60;

impl Strategy for Level {
    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec") else { return };
        if let Some(exempt) = spec.get_mut("exempt") {
            set_default(exempt, "nominalConcurrencyShares", 0);
            set_default(exempt, "lendablePercent", 0);
        }
        let Some(limited) = spec.get_mut("limited").filter(|limited| limited.is_object()) else {
            return;
        };
        set_default(limited, "nominalConcurrencyShares", 30);
        set_default(limited, "lendablePercent", 0);
        let queuing = limited.get_mut("limitResponse").and_then(|r| r.get_mut("queuing"));
        if let Some(queuing) = queuing.filter(|queuing| queuing.is_object()) {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                if queuing[field].as_i64().unwrap_or(0) == 0 {
                    queuing[field] = value.into();
                }
            }
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let name = object.value().name();
            if object.value().annotation(PRESERVE_ZERO).is_some() {
                object
                    .at("metadata")
                    .at("annotations")
                    .forbidden(format!("annotation '{PRESERVE_ZERO}' is forbidden"));
            }
            let spec = object.at("spec");
            check_spec(&spec, name);
            check_mandatory(&spec, name);
            check_conditions(object);
        })
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, check_conditions)
    }
}

/// Two levels have a fixed spec.
fn check_mandatory(spec: &Field<'_>, name: &str) {
    let (fixed, but) = match name {
        "exempt" => {
            let mut fixed = json!({"type": "Exempt"});
            if spec.has("exempt") {
                fixed["exempt"] = spec.get("exempt").clone();
            }
            (fixed, " except the 'spec.exempt' field")
        }
        "catch-all" => {
            let limited = json!({
                "nominalConcurrencyShares": 5, "lendablePercent": 0,
                "limitResponse": {"type": "Reject"},
            });
            (json!({"type": "Limited", "limited": limited}), "")
        }
        _ => return,
    };
    if fixed != *spec.value() {
        let detail = format!("spec of '{name}'{but} must equal the fixed value");
        spec.invalid_as("PriorityLevelConfigurationSpec", detail);
    }
}

fn check_spec(spec: &Field<'_>, name: &str) {
    let of = spec.str("type");
    if (name == "exempt") != (of == "Exempt") {
        spec.at("type").invalid("must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match of {
        "Exempt" => {
            if spec.has("limited") {
                spec.at("limited").forbidden("must be nil if the type is not Limited");
            }
            if let Some(exempt) = spec.opt("exempt") {
                check_shares(&exempt);
                check_lendable(&exempt);
            }
        }
        "Limited" => {
            if spec.has("exempt") {
                spec.at("exempt").forbidden("must be nil if the type is Limited");
            }
            match spec.opt("limited") {
                None => spec.at("limited").required("must not be empty when type is Limited"),
                Some(limited) => check_limited(&limited),
            }
        }
        "" => {}
        _ => spec.at("type").not_supported(&["Exempt", "Limited"]),
    }
}

fn check_shares(of: &Field<'_>) {
    if of.int("nominalConcurrencyShares").is_some_and(|shares| shares < 0) {
        of.at("nominalConcurrencyShares").invalid("must be a non-negative integer");
    }
}

fn check_lendable(of: &Field<'_>) {
    if of.int("lendablePercent").is_some_and(|percent| !(0..=100).contains(&percent)) {
        of.at("lendablePercent").invalid("must be between 0 and 100, inclusive");
    }
}

fn check_limited(limited: &Field<'_>) {
    check_shares(limited);
    let response = limited.at("limitResponse");
    match (response.str("type"), response.opt("queuing")) {
        ("Reject", Some(queuing)) => {
            queuing.forbidden("must be nil if limited.limitResponse.type is not Limited");
        }
        ("Reject", None) => {}
        ("Queue", Some(queuing)) => check_queuing(&queuing),
        ("Queue", None) => response
            .at("queuing")
            .required("must not be empty if limited.limitResponse.type is Limited"),
        ("", _) => {}
        _ => response.at("type").not_supported(&["Queue", "Reject"]),
    }
    check_lendable(limited);
    if limited.int("borrowingLimitPercent").is_some_and(|percent| percent < 0) {
        limited.at("borrowingLimitPercent").invalid("if specified, must be a non-negative integer");
    }
}

fn check_queuing(queuing: &Field<'_>) {
    let number = |field: &str| queuing.int(field).unwrap_or(0);
    let (queues, hand) = (number("queues"), number("handSize"));
    if number("queueLengthLimit") <= 0 {
        queuing.at("queueLengthLimit").invalid("must be positive");
    }
    if queues <= 0 {
        queuing.at("queues").invalid("must be positive");
    } else if queues > MAX_QUEUES {
        queuing.at("queues").invalid(format!("must not be greater than {MAX_QUEUES}"));
    }
    let at = queuing.at("handSize");
    if hand <= 0 {
        at.invalid("must be positive");
    } else if hand > queues {
        at.invalid(format!("should not be greater than queues ({queues})"));
    } else if entropy(queues, hand) > MAX_HASH_BITS {
        at.invalid(format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater \
             than {MAX_HASH_BITS}"
        ));
    }
}

/// Number of bits needed to deal `hand` of `queues` cards, rounded up.
fn entropy(queues: i64, hand: i64) -> i64 {
    ((queues as f64).log2() * hand as f64).ceil() as i64
}

/// The value of a limited level in a table.
pub(super) fn limited(object: &Value, path: &[&str]) -> Value {
    match object.get_path(&["spec", "limited"]).and_then(|limited| limited.get_path(path)) {
        Some(value) => value.clone(),
        None => "<none>".into(),
    }
}

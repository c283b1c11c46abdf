//! ResourceQuota and LimitRange.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use apimachinery::field::ErrorList;
use apimachinery::quantity::{Format, Quantity};
use apimachinery::{Object, ObjectExt, names};
use rules::resources::may_overcommit;
use serde_json::{Value, json};

use super::resource_names::{
    check_amount, check_container_name, check_name, check_quota_name, is_quota_resource,
};
use crate::registry::check::{Field, check};
use crate::registry::strategy::{Context, Strategy, items_mut};

pub(super) struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({});
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_quota(&object.at("spec"));
            check_status(&object.at("status"));
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let set = |spec: &Value| -> BTreeSet<String> {
                let scopes = spec["scopes"].as_array().into_iter().flatten();
                scopes.filter_map(|s| s.as_str().map(str::to_owned)).collect()
            };
            let spec = object.at("spec");
            if set(spec.value()) != set(&old["spec"]) {
                spec.at("scopes").invalid_value(spec.get("scopes").clone(), "field is immutable");
            }
        })
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| check_status(&object.at("status")))
    }
}

fn check_amounts(parent: &Field<'_>, list: &str) {
    for (name, amount) in parent.entries(list) {
        check_quota_name(&amount, name);
        check_amount(&amount, name);
    }
}

fn check_status(status: &Field<'_>) {
    check_amounts(status, "hard");
    check_amounts(status, "used");
}

/// Scopes, and the exclusive pairs among them.
const SCOPES: &[&str] = &[
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "VolumeAttributesClass",
    "CrossNamespacePodAffinity",
];
const EXCLUSIVE: [[&str; 2]; 2] =
    [["BestEffort", "NotBestEffort"], ["NotTerminating", "Terminating"]];

/// Returns true if a quota with the scope may limit the resource.
fn scope_fits(scope: &str, resource: &str) -> bool {
    const COMPUTE: &[&str] =
        &["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => {
            matches!(resource, "persistentvolumeclaims" | "requests.storage")
        }
        _ if SCOPES.contains(&scope) => resource == "pods" || COMPUTE.contains(&resource),
        _ => true,
    }
}

/// The number of limited resources that the scope does not fit.
fn misfits(spec: &Field<'_>, scope: &str) -> usize {
    let names = spec.get("hard").as_object().into_iter().flatten().map(|(name, _)| name);
    names.filter(|name| is_quota_resource(name) && !scope_fits(scope, name)).count()
}

fn conflicts(seen: &HashSet<&str>) -> usize {
    EXCLUSIVE.iter().filter(|pair| pair.iter().all(|scope| seen.contains(scope))).count()
}

fn check_quota(spec: &Field<'_>) {
    check_amounts(spec, "hard");
    let scopes = spec.at("scopes");
    let mut seen = HashSet::new();
    for scope in spec.strings("scopes") {
        if !SCOPES.contains(&scope) {
            scopes.invalid("unsupported scope");
        }
        for _ in 0..misfits(spec, scope) {
            scopes.invalid("unsupported scope applied to resource");
        }
        seen.insert(scope);
    }
    for _ in 0..conflicts(&seen) {
        scopes.invalid("conflicting scopes");
    }
    if let Some(selector) = spec.opt("scopeSelector") {
        check_scope_selector(spec, &selector);
    }
}

fn check_scope_selector(spec: &Field<'_>, selector: &Field<'_>) {
    let list = selector.at("matchExpressions");
    let mut seen = HashSet::new();
    for requirement in selector.items("matchExpressions") {
        // Upstream reports errors at the list.
        let at = |field: &str| list.instead(requirement.value()).at(field);
        let (scope, operator) = (requirement.str("scopeName"), requirement.str("operator"));
        if !SCOPES.contains(&scope) {
            at("scopeName").invalid("unsupported scope");
        }
        for _ in 0..misfits(spec, scope) {
            list.instead(selector.value())
                .invalid_as("ScopeSelector", "unsupported scope applied to resource");
        }
        let own_operator =
            !matches!(scope, "PriorityClass" | "VolumeAttributesClass") && SCOPES.contains(&scope);
        if own_operator && operator != "Exists" {
            at("operator").invalid(
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                 ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                 ResourceQuotaScopeNotBestEffort or \
                 ResourceQuotaScopeCrossNamespacePodAffinity",
            );
        }
        let given = requirement.len("values");
        match operator {
            "In" | "NotIn" if given == 0 => at("values").required(
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            ),
            "Exists" | "DoesNotExist" if given > 0 => at("values").invalid(
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            ),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => at("operator").invalid("not a valid selector operator"),
        }
        seen.insert(scope);
    }
    for _ in 0..conflicts(&seen) {
        list.invalid_value(spec.get("scopes").clone(), "conflicting scopes");
    }
}

pub(super) struct LimitRange;

impl Strategy for LimitRange {
    fn create_on_update(&self) -> bool {
        true
    }

    /// A container's limit defaults to the maximum, its request to the limit or the minimum.
    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec") else { return };
        for item in items_mut(spec, "limits").filter(|i| i["type"] == "Container") {
            for (to, from) in
                [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")]
            {
                for (name, amount) in item[from].as_object().cloned().unwrap_or_default() {
                    if item[to][&name].is_null() {
                        item.set_path(&[to, &name], amount);
                    }
                }
            }
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        // The only kind whose objects need no name, as in upstream.
        if object.name().is_empty() {
            object.set_meta("name", uuid::Uuid::new_v4().to_string().into());
        }
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let mut seen = HashSet::new();
            for limit in object.at("spec").items("limits") {
                check_limit_type(&limit);
                if !seen.insert(limit.str("type")) {
                    limit.at("type").duplicate();
                }
                check_limit(&limit);
            }
        })
    }
}

fn check_limit_type(limit: &Field<'_>) {
    let (of, at) = (limit.str("type"), limit.at("type"));
    let messages = names::qualified_name(of);
    if !messages.is_empty() {
        return at.invalid_all(messages);
    }
    let standard = matches!(of, "Pod" | "Container" | "PersistentVolumeClaim");
    if !of.contains('/') && !standard {
        at.invalid("must be a standard limit type or fully qualified");
    }
}

fn check_limit(limit: &Field<'_>) {
    let of = limit.str("type");
    let mut amounts: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
        if of == "Pod" && list.starts_with("default") {
            if limit.len(list) > 0 {
                limit.at(list).forbidden("may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if list == "maxLimitRequestRatio"
            && of == "PersistentVolumeClaim"
            && limit.get("min")["storage"].is_null()
            && limit.get("max")["storage"].is_null()
        {
            limit.at("limits").required(
                "either minimum or maximum storage value is required, but neither was provided",
            );
        }
        for (name, amount) in limit.entries(list) {
            if matches!(of, "Pod" | "Container") {
                check_container_name(&amount, name);
            } else {
                check_name(&amount, name);
            }
            amounts.entry(name).or_default().insert(list, amount.quantity());
        }
    }
    for (name, amounts) in amounts {
        check_order(limit, name, &amounts);
    }
}

/// min ≤ defaultRequest ≤ default ≤ max, and a satisfiable ratio.
fn check_order(limit: &Field<'_>, name: &str, amounts: &BTreeMap<&str, Quantity>) {
    let of = |list: &str| amounts.get(list).copied();
    let refuse = |list: &str, shown: Quantity, detail: String| {
        limit.at(list).key(name).invalid_value(shown, detail);
    };
    // The lower and the upper bound, their names, the field to report and the value to show.
    let rules = [
        ("min", "max", "min value", "max value", "min", "min"),
        (
            "min",
            "defaultRequest",
            "min value",
            "default request value",
            "defaultRequest",
            "defaultRequest",
        ),
        (
            "defaultRequest",
            "max",
            "default request value",
            "max value",
            "defaultRequest",
            "defaultRequest",
        ),
        (
            "defaultRequest",
            "default",
            "default request value",
            "default limit value",
            "defaultRequest",
            "defaultRequest",
        ),
        ("min", "default", "min value", "default value", "default", "min"),
        ("default", "max", "default value", "max value", "default", "max"),
    ];
    for (low, high, low_name, high_name, place, shown) in rules {
        if let (Some(l), Some(h)) = (of(low), of(high))
            && l > h
        {
            let detail = format!("{low_name} {l} is greater than {high_name} {h}");
            refuse(place, if shown == low { l } else { h }, detail);
        }
    }
    if let Some(ratio) = of("maxLimitRequestRatio") {
        if ratio < Quantity::from_units(1, Format::DecimalSi) {
            refuse("maxLimitRequestRatio", ratio, format!("ratio {ratio} is less than 1"));
        }
        if let (Some(min), Some(max)) = (of("min"), of("max")) {
            let most = max.as_f64() / min.as_f64();
            if ratio.as_f64() > most {
                let detail = format!("ratio {ratio} is greater than max/min = {most:.6}");
                refuse("maxLimitRequestRatio", ratio, detail);
            }
        }
    }
    if let (Some(limit), Some(request)) = (of("default"), of("defaultRequest"))
        && limit != request
        && !may_overcommit(name)
    {
        let detail =
            format!("default value {limit} must equal to defaultRequest value {request} in {name}");
        refuse("defaultRequest", request, detail);
    }
}

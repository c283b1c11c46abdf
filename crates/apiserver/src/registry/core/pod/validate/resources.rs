//! Resources of containers and pods.

use std::collections::{BTreeSet, HashSet};

use apimachinery::{Object, ObjectExt, names};
use rules::resources::{PodResources, is_huge_page, is_pod_level, may_overcommit};

use super::Scope;
use crate::registry::check::{Field, quantity};
use crate::registry::core::resource_names::{
    check_amount, check_container_name, check_huge_pages, check_name,
};

type NameRule = fn(&Field<'_>, &str);

fn check(resources: &Field<'_>, name_rule: NameRule) {
    let (mut computes, mut huge) = (false, false);
    let entry = |field: &Field<'_>, name: &str| {
        name_rule(field, name);
        check_amount(field, name);
    };
    for (name, limit) in resources.entries("limits") {
        entry(&limit, name);
        if is_huge_page(name) {
            huge = true;
            check_huge_pages(&limit, name);
        }
        computes |= matches!(name, "cpu" | "memory");
    }
    for (name, request) in resources.entries("requests") {
        entry(&request, name);
        let limit = resources.get("limits").get(name).map(quantity);
        let shown = resources.at("requests");
        match limit {
            Some(limit) if request.quantity() != limit && !may_overcommit(name) => shown
                .invalid_value(request.text(), format!("must be equal to {name} limit of {limit}")),
            Some(limit) if request.quantity() > limit => shown.invalid_value(
                request.text(),
                format!("must be less than or equal to {name} limit of {limit}"),
            ),
            None if !may_overcommit(name) => resources
                .at("limits")
                .required("Limit must be set for non overcommitable resources"),
            _ => {}
        }
        if is_huge_page(name) {
            huge = true;
            check_huge_pages(&request, name);
        }
        computes |= matches!(name, "cpu" | "memory");
    }
    if huge && !computes {
        resources.forbidden("HugePages require cpu or memory");
    }
}

pub(super) fn check_container(resources: &Field<'_>, scope: &Scope<'_>) {
    check(resources, check_container_name);
    check_container_claims(resources, &scope.claims);
}

/// Checks the overhead of a runtime, to which the rules of limits apply.
pub(in crate::registry) fn check_overhead(overhead: &Field<'_>) {
    let limits = serde_json::json!({"limits": overhead.value()});
    let errors = crate::registry::check::check_at(&limits, overhead.path().clone(), |f| {
        check(f, check_container_name);
    });
    overhead.extend(errors);
}

/// Checks claims of a container, by name and request.
fn check_container_claims(resources: &Field<'_>, known: &BTreeSet<&str>) {
    let mut seen: HashSet<String> = HashSet::new();
    for claim in resources.items("claims") {
        let (name, request) = (claim.str("name"), claim.str("request"));
        if name.is_empty() {
            claim.required("");
            continue;
        }
        if seen.contains(name) {
            claim.duplicate_of(name);
        } else {
            let key = if request.is_empty() {
                name.to_owned()
            } else {
                claim.valid("request", names::dns1123_label);
                format!("{name}/{request}")
            };
            if seen.contains(&key) {
                claim.duplicate_of(key.as_str());
            } else if request.is_empty() {
                let prefix = format!("{name}/");
                for _ in seen.iter().filter(|k| k.starts_with(&prefix)) {
                    claim.duplicate_of(name);
                }
            }
            seen.insert(key);
        }
        if !known.contains(name) {
            let mut detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            if known.is_empty() {
                detail.push_str(" which is empty");
            } else {
                let names: Vec<&str> = known.iter().copied().collect();
                detail.push_str(&format!(": {}", names.join(", ")));
            }
            let mut error = apimachinery::field::FieldError::not_found(claim.path(), name);
            error.detail = detail;
            claim.push(error);
        }
    }
}

pub(super) fn claim_names<'a>(spec: &Field<'a>) -> BTreeSet<&'a str> {
    spec.items("resourceClaims").map(|c| c.str("name")).filter(|n| !n.is_empty()).collect()
}

/// Checks resource claims of the pod.
pub(super) fn check_claims(spec: &Field<'_>, pod: Option<&Object>) {
    let mirror = pod.is_some_and(|p| p.annotation(crate::registry::MIRROR_POD).is_some());
    let mut seen = HashSet::new();
    for claim in spec.items("resourceClaims") {
        if mirror {
            claim.push(apimachinery::field::FieldError::forbidden(
                &apimachinery::field::Path::new(""),
                "static pods do not support resource claims",
            ));
            continue;
        }
        let name = claim.str("name");
        if claim.needs("name") {
            if seen.insert(name) {
                claim.valid("name", names::dns1123_label);
            } else {
                claim.at("name").duplicate();
            }
        }
        let wrong = match (claim.has("resourceClaimName"), claim.has("resourceClaimTemplateName")) {
            (true, true) => {
                "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            }
            (false, false) => {
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            }
            _ => "",
        };
        if !wrong.is_empty() {
            claim.invalid_as("PodResourceClaim", wrong);
        }
        for field in ["resourceClaimName", "resourceClaimTemplateName"] {
            if claim.has(field) {
                claim.valid(field, names::dns1123_subdomain);
            }
        }
    }
}

pub(super) fn check_resize_policy(container: &Field<'_>, scope: &Scope<'_>) {
    let mut seen = HashSet::new();
    let list = container.at("resizePolicy");
    for policy in container.items("resizePolicy") {
        let (resource, restart) = (policy.str("resourceName"), policy.str("restartPolicy"));
        if !seen.insert(resource) {
            policy.duplicate_of(resource);
        }
        let enumerated = |value: &str, supported: &[&str]| match value {
            "" => list.required(""),
            other if !supported.contains(&other) => list.push(
                apimachinery::field::FieldError::not_supported(list.path(), other, supported),
            ),
            _ => {}
        };
        enumerated(resource, &["cpu", "memory"]);
        enumerated(restart, &["NotRequired", "RestartContainer"]);
        if scope.never_restarts() && restart != "NotRequired" {
            list.invalid_value(restart, "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// Checks resources of the pod as a whole (KEP-2837).
pub(super) fn check_pod_level(spec: &Field<'_>, scope: &Scope<'_>) {
    let Some(resources) = spec.opt("resources") else { return };
    if spec.at("os").str("name") == "windows" {
        return resources.forbidden("may not be set for a windows pod");
    }
    if resources.has("claims") {
        resources.at("claims").forbidden("claims may not be set for Resources at pod-level");
    }
    check(&resources, |field, name| {
        if check_name(field, name) && !is_pod_level(name) {
            field.push(apimachinery::field::FieldError::not_supported(
                field.path(),
                name,
                &["cpu", "hugepages-", "memory"],
            ));
        }
    });
    check_container_claims(&resources, &scope.claims);
    let of_containers = PodResources::of_spec(spec.value()).of_containers();
    for (name, sum) in of_containers.requests.iter() {
        if let Some((_, own)) = resources.entries("requests").find(|(n, _)| *n == name)
            && sum > own.quantity()
        {
            own.invalid(format!(
                "must be greater than or equal to aggregate container requests of {sum}"
            ));
        }
    }
    for (name, sum) in of_containers.limits.iter() {
        if is_huge_page(name)
            && let Some((_, own)) = resources.entries("limits").find(|(n, _)| *n == name)
            && sum > own.quantity()
        {
            own.invalid(format!(
                "must be greater than or equal to aggregate container limits of {sum}"
            ));
        }
    }
    for (i, container) in spec.items("containers").enumerate() {
        for (name, limit) in container.at("resources").entries("limits") {
            if let Some((_, own)) = resources.entries("limits").find(|(n, _)| *n == name)
                && limit.quantity() > own.quantity()
            {
                resources.at("containers").index(i).key(name).at("limits").invalid_value(
                    limit.text(),
                    format!("must be less than or equal to pod limits of {}", own.text()),
                );
            }
        }
    }
}

//! Rules for the devices that a container status reports (KEP-4680).

use std::collections::HashSet;

use apimachinery::quantity::Quantity;

use crate::registry::check::{self, Field};

const HEALTH: &[&str] = &["Healthy", "Unhealthy", "Unknown"];
const MAX_MESSAGE: usize = 1024;
const CLAIM: &str = "claim:";
const NOT_A_CLAIM: &str = "must match one of the container's resource claims as \
    'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or \
    'claim:<claimName>' when it is empty";
const NOT_A_REQUEST: &str = "must match one of the container's resource requests";

/// Checks them against the containers of `list`; those of other names are not judged.
pub(super) fn check_allocated(status: &Field<'_>, field: &str, spec: &Field<'_>, list: &str) {
    for of in status.items(field) {
        let container = spec.items(list).find(|own| own.str("name") == of.str("name"));
        for resource in of.items("allocatedResourcesStatus") {
            if let Some(container) = &container {
                check_name(&resource, container, status);
            }
            check_health(&resource);
        }
    }
}

/// The status of an ephemeral container has none.
pub(super) fn check_none_allocated(status: &Field<'_>, field: &str) {
    for of in status.items(field).filter(|of| of.len("allocatedResourcesStatus") > 0) {
        of.at("allocatedResourcesStatus").forbidden("must not be specified in container status");
    }
}

fn check_name(resource: &Field<'_>, container: &Field<'_>, status: &Field<'_>) {
    let name = resource.str("name");
    let resources = container.at("resources");
    let Some(claimed) = name.strip_prefix(CLAIM) else {
        if resources.at("requests").get(name).is_null() {
            resource.at("name").invalid(NOT_A_REQUEST);
        }
        return;
    };
    let (claim, request) = claimed.split_once('/').unwrap_or((claimed, ""));
    let own = resources.items("claims").any(|of| match of.str("request") {
        "" => of.str("name") == claimed,
        own => of.str("name") == claim && own == request,
    });
    if !own && !is_extended(claim, request, container, status) {
        resource.at("name").invalid(NOT_A_CLAIM);
    }
}

/// Returns true if the claim was made for an extended resource that the container requests.
fn is_extended(claim: &str, request: &str, container: &Field<'_>, status: &Field<'_>) -> bool {
    let Some(made) = status.opt("extendedResourceClaimStatus") else { return false };
    let requests = container.at("resources").at("requests");
    !request.is_empty()
        && made.str("resourceClaimName") == claim
        && made.items("requestMappings").any(|mapping| {
            mapping.str("containerName") == container.str("name")
                && mapping.str("requestName") == request
                && check::quantity(requests.get(mapping.str("resourceName"))) != Quantity::default()
        })
}

fn check_health(resource: &Field<'_>) {
    let mut seen = HashSet::new();
    for device in resource.items("resources") {
        device.one_of("health", HEALTH);
        match device.get("message").as_str() {
            Some("") => device.at("message").required("must be non-empty if specified"),
            Some(text) if text.len() > MAX_MESSAGE => device.at("message").too_long(MAX_MESSAGE),
            _ => {}
        }
        if !seen.insert(device.str("resourceID")) {
            device.at("resourceID").duplicate();
        }
    }
}

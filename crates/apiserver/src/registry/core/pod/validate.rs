//! Validation of pods and pod templates (upstream's `ValidatePodSpec` and its surroundings).

mod affinity;
mod allocated;
mod annotations;
mod containers;
mod env;
mod handlers;
mod host;
mod mounts;
mod ports;
mod resize;
mod resources;
mod restart;
mod scheduling;
mod security;
mod status;
#[cfg(test)]
mod tests;
mod update;
mod volumes;
mod windows;

use apimachinery::field::ErrorList;
use apimachinery::{Object, names};
use serde_json::Value;

use crate::registry::check::{Field, check, check_labels};

pub(in crate::registry) use affinity::check_node_selector;
pub(in crate::registry) use containers::PULL_POLICIES;
pub(in crate::registry) use env::{VOLUME_FIELDS, check_field_ref, check_resource_field_ref};
pub(in crate::registry) use ports::PROTOCOLS;
pub(super) use resize::validate_resize;
pub(in crate::registry) use resources::check_overhead;
pub(crate) use scheduling::tolerations_at;
pub(in crate::registry) use scheduling::{TAINT_EFFECTS, check_tolerations};
pub(super) use status::validate_status_update;
pub(super) use update::{validate_ephemeral_update, validate_update};

/// Objects that the parts of a pod refer to.
pub(super) struct Scope<'a> {
    /// The volumes without an error, by name.
    volumes: std::collections::HashMap<&'a str, &'a Value>,
    /// Names of the resource claims.
    claims: std::collections::BTreeSet<&'a str>,
    spec: &'a Value,
}

impl Scope<'_> {
    fn grace_period(&self) -> Option<i64> {
        self.spec["terminationGracePeriodSeconds"].as_i64()
    }

    fn host_users(&self) -> bool {
        self.spec["hostUsers"] != false
    }

    fn never_restarts(&self) -> bool {
        self.spec["restartPolicy"] == "Never"
    }
}

/// The lists of containers in the order in which upstream visits them.
pub(super) const CONTAINER_LISTS: &[&str] =
    &["initContainers", "containers", "ephemeralContainers"];

/// All containers of a spec.
pub(super) fn all_containers<'a>(spec: &Field<'a>) -> impl Iterator<Item = Field<'a>> {
    let lists: Vec<_> = CONTAINER_LISTS.iter().map(|list| spec.items(list)).collect();
    lists.into_iter().flatten()
}

/// Checks a new or updated pod, except for rules that only apply to new ones.
fn check_pod(pod: &Field<'_>) {
    annotations::check(&pod.at("metadata").at("annotations"), pod.get("spec"));
    let spec = pod.at("spec");
    check_spec(&spec, Some(pod.value()));
    if spec.str("serviceAccountName").is_empty() {
        for volume in spec.items("volumes") {
            for source in volume.at("projected").items("sources") {
                if let Some(token) = source.opt("serviceAccountToken") {
                    token.forbidden("must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for list in ["containers", "initContainers"] {
        for container in spec.items(list) {
            containers::check_image_spaces(&container);
        }
    }
}

/// Checks a new pod.
pub(super) fn validate_create(pod: &Object) -> ErrorList {
    check(pod, |pod| {
        check_pod(pod);
        let spec = pod.at("spec");
        if spec.len("ephemeralContainers") > 0 {
            spec.at("ephemeralContainers").forbidden("cannot be set on create");
        }
        if !spec.str("nodeName").is_empty() && spec.len("schedulingGates") > 0 {
            spec.at("nodeName")
                .forbidden("cannot be set until all schedulingGates have been cleared");
        }
        annotations::check_fields_match(&pod.at("metadata"), &spec);
    })
}

/// Checks a pod template.
pub(in crate::registry) fn check_template(template: &Field<'_>) {
    // The metadata's fields are reported at the template.
    let meta = template.instead(template.get("metadata"));
    check_labels(&meta.at("labels"));
    let annotations = meta.at("annotations");
    check_annotations(&annotations);
    annotations::check(&annotations, template.get("spec"));
    let spec = template.at("spec");
    check_spec(&spec, None);
    annotations::check_fields_match(&template.at("metadata"), &spec);
    if spec.len("ephemeralContainers") > 0 {
        spec.at("ephemeralContainers")
            .forbidden("ephemeral containers not allowed in pod template");
    }
}

/// Maximum total size of annotation keys and values, in bytes.
const MAX_ANNOTATIONS: usize = 256 << 10;

fn check_annotations(annotations: &Field<'_>) {
    let mut size = 0;
    for (key, value) in annotations.value().as_object().into_iter().flatten() {
        for message in names::qualified_name(&key.to_lowercase()) {
            annotations.invalid_value(key.as_str(), message);
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        annotations.too_long(MAX_ANNOTATIONS);
    }
}

pub(super) const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// Checks a pod spec; `pod` is the pod that it belongs to.
fn check_spec(spec: &Field<'_>, pod: Option<&Object>) {
    if !spec.has("terminationGracePeriodSeconds") {
        spec.at("terminationGracePeriodSeconds").required("");
    }
    let scope = Scope {
        volumes: volumes::check(spec, pod),
        claims: resources::claim_names(spec),
        spec: spec.value(),
    };
    resources::check_claims(spec, pod);
    containers::check_regular(spec, &scope);
    containers::check_init(spec, &scope);
    containers::check_ephemeral(spec, &scope);
    resources::check_pod_level(spec, &scope);
    ports::check_host_network(spec, pod.is_some());
    spec.needs_one_of("restartPolicy", RESTART_POLICIES);
    spec.needs_one_of("dnsPolicy", DNS_POLICIES);
    check_labels(&spec.at("nodeSelector"));
    if let Some(context) = spec.opt("securityContext") {
        security::check_pod(&context, spec);
    }
    if let Some(affinity) = spec.opt("affinity") {
        affinity::check(&affinity);
    }
    host::check_dns(spec);
    scheduling::check_gates(spec);
    scheduling::check_spread(spec);
    windows::check_host_process(spec);
    host::check_users(spec);
    host::check_hostname_override(spec);
    spec.maybe_valid("serviceAccountName", names::dns1123_subdomain);
    spec.maybe_valid("nodeName", names::dns1123_subdomain);
    spec.within("activeDeadlineSeconds", 1, i64::from(i32::MAX));
    spec.maybe_valid("hostname", names::dns1123_label);
    spec.maybe_valid("subdomain", names::dns1123_label);
    check_tolerations(spec);
    host::check_aliases(spec);
    spec.maybe_valid("priorityClassName", names::dns1123_subdomain);
    if spec.has("runtimeClassName") {
        spec.valid("runtimeClassName", names::dns1123_subdomain);
    }
    if spec.has("preemptionPolicy") {
        spec.needs_one_of("preemptionPolicy", &["PreemptLowerPriority", "Never"]);
    }
    if let Some(overhead) = spec.opt("overhead") {
        check_overhead(&overhead);
    }
    if let Some(os) = spec.opt("os") {
        windows::check_os(&os, spec);
    }
    env::check_file_keys(spec);
}

//! Pod and PodTemplate: columns, selectable fields and strategy.

pub(in crate::registry) mod app_armor;
mod defaults;
mod print;
mod scheduling;
mod validate;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use rules::resources::PodResources;
use serde_json::{Value, json};

use crate::registry::Sub;
use crate::registry::check::check;
use crate::registry::column::{AGE, Column, NAME, containers, images, label_map};
use crate::registry::kind::Selectable;
use crate::registry::strategy::{Context, Strategy, ensure, items_mut};

pub(in crate::registry) use defaults::default_disk;
pub(crate) use defaults::{default_spec, default_template};
pub(crate) use validate::tolerations_at;
pub(in crate::registry) use validate::{
    PROTOCOLS, PULL_POLICIES, TAINT_EFFECTS, VOLUME_FIELDS, check_field_ref, check_node_selector,
    check_overhead, check_resource_field_ref, check_template, check_tolerations,
};

pub(super) const SELECTABLE: &[Selectable] = &[
    Selectable::new("spec.nodeName", &["spec", "nodeName"]),
    Selectable::new("spec.restartPolicy", &["spec", "restartPolicy"]),
    Selectable::new("spec.schedulerName", &["spec", "schedulerName"]),
    Selectable::new("spec.serviceAccountName", &["spec", "serviceAccountName"]),
    Selectable::new("spec.hostNetwork", &["spec", "hostNetwork"]).or("false"),
    Selectable::new("status.phase", &["status", "phase"]),
    Selectable::new("status.podIP", &["status", "podIP"]),
    Selectable::new("status.podIPs", &["status", "podIPs"]),
    Selectable::new("status.nominatedNodeName", &["status", "nominatedNodeName"]),
];

/// Conditions of a table row that mark a pod as finished.
pub(super) fn row_conditions(object: &Value) -> Option<Value> {
    let message = match object.str_at(&["status", "phase"]) {
        "Succeeded" => "The pod has completed successfully.",
        "Failed" => "The pod failed.",
        _ => return None,
    };
    let reason = &object["status"]["phase"];
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::make("Ready", print::ready),
    Column::make("Status", print::status),
    Column::make("Restarts", print::restarts),
    AGE,
    Column::text("IP", &["status", "podIP"]),
    Column::text("Node", &["spec", "nodeName"]),
    Column::text("Nominated Node", &["status", "nominatedNodeName"]),
    Column::make("Readiness Gates", print::gates),
];

pub(super) const TEMPLATE_COLUMNS: &[Column] = &[
    NAME,
    Column::make("Containers", |o| containers(o, &["template", "spec", "containers"])),
    Column::make("Images", |o| images(o, &["template", "spec", "containers"])),
    Column::make("Pod Labels", |o| label_map(o.get_path(&["template", "metadata", "labels"]))),
];

pub(super) struct Pod;

impl Strategy for Pod {
    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        match sub {
            None => &["status"],
            Some(Sub::Status) => {
                &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"]
            }
            Some(_) => &[],
        }
    }

    fn default(&self, object: &mut Object) {
        if object["status"].is_object() {
            same_addresses(&mut object["status"]);
        }
        let spec = ensure(object, &["spec"]);
        default_spec(spec);
        defaults::default_requests(spec);
        defaults::default_pod_resources(spec);
        defaults::default_host_ports(spec);
        defaults::default_service_links(spec);
    }

    fn prepare_for_create(&self, ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        let qos = PodResources::of_tree(object).qos_class().as_str();
        object["status"] = json!({"phase": "Pending", "qosClass": qos});
        scheduling::note_gates(object);
        scheduling::merge_label_keys(object);
        app_armor::copy_annotations(object).into_iter().for_each(|warning| ctx.warn(warning));
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        validate::validate_create(object)
    }

    fn validate_change(&self, sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        match sub {
            // The binding has been validated, and nothing else has changed.
            Some(Sub::Binding) => ErrorList::new(),
            Some(Sub::EphemeralContainers) => validate::validate_ephemeral_update(object, old),
            Some(Sub::Resize) => validate::validate_resize(object, old),
            _ => validate::validate_update(object, old),
        }
    }

    fn prepare_for_status(&self, object: &mut Object, old: &Object) {
        if object.str_at(&["status", "qosClass"]).is_empty()
            && let Some(class) = old.get_path(&["status", "qosClass"])
        {
            object.set_path(&["status", "qosClass"], class.clone());
        }
        keep_generations(&mut object["status"], &old["status"]);
        // Features that are off.
        for field in ["volumeHealth", "nodeAllocatableResourceClaimStatuses"] {
            if old["status"].get(field).is_none() {
                object.remove_path(&["status", field]);
            }
        }
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        &["ownerReferences"]
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        validate::validate_status_update(object, old)
    }

    fn grace_period(&self, object: &Object, asked: Option<i64>) -> Option<i64> {
        // A pod without a kubelet, or one that has finished, needs no grace period.
        let phase = object.str_at(&["status", "phase"]);
        if object.str_at(&["spec", "nodeName"]).is_empty()
            || matches!(phase, "Succeeded" | "Failed")
        {
            return Some(0);
        }
        let own = object.get_path(&["spec", "terminationGracePeriodSeconds"]);
        let seconds = asked.unwrap_or_else(|| own.and_then(Value::as_i64).unwrap_or(0));
        // Negative values mean one second (upstream's pod strategy).
        Some(if seconds < 0 { 1 } else { seconds })
    }
}

/// The single address equals the first of the list; the older field takes precedence.
fn same_addresses(status: &mut Value) {
    let one = status["podIP"].as_str().unwrap_or_default().to_owned();
    let first = status["podIPs"][0].as_object().map(|_| status["podIPs"][0]["ip"].clone());
    match first {
        Some(first) if one.is_empty() => status["podIP"] = first,
        Some(first) if first != *one => status["podIPs"] = json!([{"ip": one}]),
        None if !one.is_empty() => status["podIPs"] = json!([{"ip": one}]),
        _ => {}
    }
}

/// A status without a generation keeps the previously observed one.
fn keep_generations(status: &mut Value, was: &Value) {
    let unset = |value: &Value| value.as_i64().unwrap_or(0) == 0;
    let keep = |now: &mut Value, was: &Value| {
        if unset(&now["observedGeneration"]) && !unset(&was["observedGeneration"]) {
            now["observedGeneration"] = was["observedGeneration"].clone();
        }
    };
    keep(status, was);
    let mut before: Vec<&Value> = was["conditions"].as_array().into_iter().flatten().collect();
    for condition in items_mut(status, "conditions") {
        if let Some(i) = before.iter().position(|was| was["type"] == condition["type"]) {
            keep(condition, before.remove(i));
        }
    }
}

pub(super) struct PodTemplate;

impl Strategy for PodTemplate {
    fn default(&self, object: &mut Object) {
        default_spec(ensure(object, &["template", "spec"]));
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |f| check_template(&f.at("template")))
    }
}

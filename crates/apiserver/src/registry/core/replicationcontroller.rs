//! ReplicationController.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::Sub;
use crate::registry::check::check;
use crate::registry::column::{AGE, Column, NAME, containers, images, label_map};
use crate::registry::kind::{Kind, Selectable};
use crate::registry::strategy::{Context, Strategy, clear_status, set_default};
use crate::registry::workload::{check_replicated_counts, check_running_template};

const POD: &[&str] = &["spec", "template", "spec"];
const TEMPLATE: &[&str] = &["spec", "template", "spec", "containers"];

pub(super) const ROW: Kind =
    Kind::new("", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller")
        .rechecks(0, 1)
        .namespaced()
        .short(&["rc"])
        .stored_at("controllers")
        .pod_spec(POD)
        .in_all()
        .subs(&[Sub::Scale, Sub::Status])
        .selectable(&[Selectable::new("status.replicas", &["status", "replicas"]).or("0")])
        .strategy(&Controller)
        .generation()
        .columns(&[
            NAME,
            Column::number("Desired", &["spec", "replicas"]),
            Column::number("Current", &["status", "replicas"]),
            Column::number("Ready", &["status", "readyReplicas"]),
            AGE,
            Column::make("Containers", |o| containers(o, TEMPLATE)),
            Column::make("Images", |o| images(o, TEMPLATE)),
            Column::make("Selector", |o| label_map(o.get_path(&["spec", "selector"]))),
        ]);

struct Controller;

impl Strategy for Controller {
    fn checks_generate_name(&self) -> bool {
        false
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        apimachinery::names::long_name(name)
    }

    fn default(&self, object: &mut Object) {
        let labels = object.get_path(&["spec", "template", "metadata", "labels"]).cloned();
        if let Some(labels @ Value::Object(_)) = labels {
            if object.get_path(&["spec", "selector"]).is_none() {
                object.set_path(&["spec", "selector"], labels.clone());
            }
            if object.get_path(&["metadata", "labels"]).is_none() {
                object.set_meta("labels", labels);
            }
        }
        if let Some(spec) = object.get_mut("spec") {
            set_default(spec, "replicas", 1);
        }
        if object.get_path(&["spec", "template"]).is_some() {
            super::pod::default_template(object);
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            spec.non_negative("minReadySeconds");
            spec.needs("selector");
            spec.non_negative("replicas");
            let template = spec.at("template");
            if template.value().is_null() {
                return template.required("");
            }
            let labels = template.at("metadata").at("labels");
            let mut wanted = spec.get("selector").as_object().into_iter().flatten();
            if wanted.any(|(key, value)| labels.get(key) != value) {
                labels.invalid_value(
                    labels.value().clone(),
                    "`selector` does not match template `labels`",
                );
            }
            check_running_template(&template, "ReplicationController");
        })
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| check_replicated_counts(&object.at("status")))
    }
}

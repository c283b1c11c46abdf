//! ReplicationController.

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::Sub;
use crate::registry::column::{AGE, Column, NAME, containers, images, label_map};
use crate::registry::kind::{Kind, Selectable};
use crate::registry::strategy::{Strategy, set_default};

const TEMPLATE: &[&str] = &["spec", "template", "spec", "containers"];

pub(super) const ROW: Kind =
    Kind::new("", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller")
        .namespaced()
        .short(&["rc"])
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
            Column::make("Containers", |o| containers(o, TEMPLATE)).wide(),
            Column::make("Images", |o| images(o, TEMPLATE)).wide(),
            Column::make("Selector", |o| label_map(o.get_path(&["spec", "selector"]))).wide(),
        ]);

struct Controller;

impl Strategy for Controller {
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
        super::pod::default_template(object);
    }
}

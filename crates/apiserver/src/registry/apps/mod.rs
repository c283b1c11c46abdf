//! The apps group.

mod daemonset;
mod deployment;
mod replicaset;
mod revision;
mod statefulset;
#[cfg(test)]
mod tests;

use apimachinery::ObjectExt;
use serde_json::Value;

use super::Sub;
use super::column::{AGE, Column, NAME, containers, images, label_map, selector};
use super::kind::Kind;
use daemonset::DaemonSet;
use deployment::Deployment;
use replicaset::ReplicaSet;
use statefulset::StatefulSet;

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("apps", "v1", kind, resource, singular).namespaced()
}

const POD: &[&str] = &["spec", "template", "spec"];
const TEMPLATE: &[&str] = &["spec", "template", "spec", "containers"];
const CONTAINERS: Column = Column::make("Containers", |o| containers(o, TEMPLATE));
const IMAGES: Column = Column::make("Images", |o| images(o, TEMPLATE));
const SELECTOR: Column = Column::make("Selector", |o| selector(o.get_path(&["spec", "selector"])));

fn out_of(object: &Value, part: &[&str], whole: &[&str]) -> Value {
    let number = |path| object.get_path(path).and_then(Value::as_i64).unwrap_or(0);
    format!("{}/{}", number(part), number(whole)).into()
}

pub(super) static KINDS: &[Kind] = &[
    row("ControllerRevision", "controllerrevisions", "controllerrevision")
        .rechecks(1, 1)
        .strategy(&revision::Revision)
        .columns(&[
            NAME,
            Column::make("Controller", |o| match o.controller_of() {
                Some(owner) => {
                    let group =
                        owner.str_at(&["apiVersion"]).split_once('/').map_or("", |(g, _)| g);
                    let kind = owner.str_at(&["kind"]).to_lowercase();
                    let dot = if group.is_empty() { "" } else { "." };
                    format!("{kind}{dot}{group}/{}", owner.str_at(&["name"])).into()
                }
                None => "<none>".into(),
            }),
            Column::number("Revision", &["revision"]),
            AGE,
        ]),
    row("DaemonSet", "daemonsets", "daemonset")
        .rechecks(0, 1)
        .short(&["ds"])
        .in_all()
        .subs(&[Sub::Status])
        .strategy(&DaemonSet)
        .pod_spec(POD)
        .generation()
        .columns(&[
            NAME,
            Column::number("Desired", &["status", "desiredNumberScheduled"]),
            Column::number("Current", &["status", "currentNumberScheduled"]),
            Column::number("Ready", &["status", "numberReady"]),
            Column::number("Up-to-date", &["status", "updatedNumberScheduled"]),
            Column::number("Available", &["status", "numberAvailable"]),
            Column::make("Node Selector", |o| {
                label_map(o.get_path(&["spec", "template", "spec", "nodeSelector"]))
            }),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ]),
    row("Deployment", "deployments", "deployment")
        .rechecks(0, 1)
        .short(&["deploy"])
        .in_all()
        .subs(&[Sub::Scale, Sub::Status])
        .strategy(&Deployment)
        .pod_spec(POD)
        .generation()
        .columns(&[
            NAME,
            Column::make("Ready", |o| {
                out_of(o, &["status", "readyReplicas"], &["spec", "replicas"])
            }),
            Column::number("Up-to-date", &["status", "updatedReplicas"]),
            Column::number("Available", &["status", "availableReplicas"]),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ]),
    row("ReplicaSet", "replicasets", "replicaset")
        .rechecks(0, 1)
        .short(&["rs"])
        .in_all()
        .subs(&[Sub::Scale, Sub::Status])
        .strategy(&ReplicaSet)
        .pod_spec(POD)
        .generation()
        .columns(&[
            NAME,
            Column::number("Desired", &["spec", "replicas"]),
            Column::number("Current", &["status", "replicas"]),
            Column::number("Ready", &["status", "readyReplicas"]),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ]),
    row("StatefulSet", "statefulsets", "statefulset")
        .rechecks(0, 1)
        .short(&["sts"])
        .in_all()
        .subs(&[Sub::Scale, Sub::Status])
        .strategy(&StatefulSet)
        .pod_spec(POD)
        .generation()
        .columns(&[
            NAME,
            Column::make("Ready", |o| {
                out_of(o, &["status", "readyReplicas"], &["spec", "replicas"])
            }),
            AGE,
            CONTAINERS,
            IMAGES,
        ]),
];

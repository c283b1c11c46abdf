//! The resource.k8s.io group (dynamic resource allocation).

use apimachinery::ObjectExt;
use serde_json::Value;

use super::Sub;
use super::column::{AGE, Column, NAME};
use super::kind::{Kind, Selectable};

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("resource.k8s.io", "v1", kind, resource, singular)
}

fn state(object: &Value) -> Value {
    let mut states = Vec::new();
    if object.deletion_timestamp().is_some() {
        states.push("deleted");
    }
    if object.get_path(&["status", "allocation"]).is_none() {
        states.push("pending");
    } else {
        states.push("allocated");
        if object["status"]["reservedFor"].as_array().is_some_and(|r| !r.is_empty()) {
            states.push("reserved");
        }
    }
    states.join(",").into()
}

pub(super) static KINDS: &[Kind] = &[
    row("DeviceClass", "deviceclasses", "deviceclass").generation(),
    row("ResourceClaim", "resourceclaims", "resourceclaim")
        .namespaced()
        .subs(&[Sub::Status])
        .columns(&[NAME, Column::make("State", state), AGE]),
    row("ResourceClaimTemplate", "resourceclaimtemplates", "resourceclaimtemplate").namespaced(),
    row("ResourceSlice", "resourceslices", "resourceslice")
        .selectable(&[
            Selectable::new("spec.nodeName", &["spec", "nodeName"]),
            Selectable::new("spec.driver", &["spec", "driver"]),
        ])
        .generation()
        .columns(&[
            NAME,
            Column::text_or("Node", &["spec", "nodeName"], "<unset>"),
            Column::text_or("Driver", &["spec", "driver"], ""),
            Column::text_or("Pool", &["spec", "pool", "name"], ""),
            AGE,
        ]),
];

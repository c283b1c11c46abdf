//! The resource.k8s.io group (dynamic resource allocation).

mod claim;
mod device;
mod rules;
mod sharing;
mod slice;
mod taint_rule;

use apimachinery::ObjectExt;
use serde_json::Value;

use super::Sub;
use super::column::{AGE, Column, NAME};
use super::kind::{Kind, Selectable};
use super::strategy::{items_mut, set_default};

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

/// Requests ask for one device by default.
fn default_requests(spec: Option<&mut Value>) {
    let Some(devices) = spec.and_then(|spec| spec.get_mut("devices")) else { return };
    for request in items_mut(devices, "requests") {
        if let Some(exactly) = request.get_mut("exactly") {
            default_number(exactly);
            default_tolerations(exactly);
        }
        for one in items_mut(request, "firstAvailable") {
            default_number(one);
            default_tolerations(one);
        }
    }
}

fn default_tolerations(of: &mut Value) {
    for toleration in items_mut(of, "tolerations").filter(|toleration| toleration.is_object()) {
        set_default(toleration, "operator", "Equal");
    }
}

fn default_number(request: &mut Value) {
    if !request.is_object() {
        return;
    }
    set_default(request, "allocationMode", "ExactCount");
    if request["allocationMode"] == "ExactCount" && request["count"].as_i64().unwrap_or(0) == 0 {
        request["count"] = 1.into();
    }
}

/// A taint begins now.
fn default_taint(taint: Option<&mut Value>) {
    if let Some(taint) = taint {
        set_default(taint, "timeAdded", apimachinery::time::now_rfc3339());
    }
}

/// Removes fields.
fn drop_fields(of: &mut Value, fields: &[&str]) {
    if let Some(map) = of.as_object_mut() {
        fields.iter().for_each(|field| drop(map.remove(*field)));
    }
}

pub(super) static KINDS: &[Kind] = &[
    row("DeviceClass", "deviceclasses", "deviceclass").strategy(&claim::Class).generation(),
    row("DeviceTaintRule", "devicetaintrules", "devicetaintrule")
        .rechecks(0, 1)
        .subs(&[Sub::Status])
        .strategy(&taint_rule::Rule)
        .generation()
        .columns(&[
            NAME,
            Column::text_or("Key", &["spec", "taint", "key"], ""),
            Column::text_or("Value", &["spec", "taint", "value"], ""),
            Column::text_or("Effect", &["spec", "taint", "effect"], ""),
            Column::since("TimeAdded", &["spec", "taint", "timeAdded"]),
            AGE,
        ]),
    row("ResourceClaim", "resourceclaims", "resourceclaim")
        .namespaced()
        .subs(&[Sub::Status])
        .strategy(&claim::Claim)
        .columns(&[NAME, Column::make("State", state), AGE]),
    row("ResourceClaimTemplate", "resourceclaimtemplates", "resourceclaimtemplate")
        .namespaced()
        .strategy(&claim::Template),
    row("ResourceSlice", "resourceslices", "resourceslice")
        .rechecks(0, 1)
        .selectable(&[
            Selectable::new("spec.nodeName", &["spec", "nodeName"]),
            Selectable::new("spec.driver", &["spec", "driver"]),
            Selectable::new("spec.pool.name", &["spec", "pool", "name"]),
        ])
        .strategy(&slice::Slice)
        .generation()
        .columns(&[
            NAME,
            Column::text_or("Node", &["spec", "nodeName"], "<unset>"),
            Column::text_or("Driver", &["spec", "driver"], ""),
            Column::text_or("Pool", &["spec", "pool", "name"], ""),
            AGE,
        ]),
];

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn requests_ask_for_one_device() {
        let requests = json!([
            {"name": "a", "exactly": {"deviceClassName": "c"}},
            {"name": "b", "exactly": {"deviceClassName": "c", "allocationMode": "All"}},
            {"name": "c", "firstAvailable": [{"name": "d", "count": 2}, {"name": "e"}]},
        ]);
        let spec = json!({"devices": {"requests": requests}});
        let of = |kind, base| subject("resource.k8s.io", "v1", kind, base).object(&json!({}));
        let claim = of("ResourceClaim", json!({ "spec": spec }));
        let template = of("ResourceClaimTemplate", json!({"spec": {"spec": spec}}));
        assert_eq!(template["spec"]["spec"], claim["spec"]);
        assert_eq!(
            claim["spec"]["devices"]["requests"],
            json!([
                {"name": "a", "exactly": {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}},
                {"name": "b", "exactly": {"deviceClassName": "c", "allocationMode": "All"}},
                {"name": "c", "firstAvailable": [
                    {"name": "d", "count": 2, "allocationMode": "ExactCount", "deviceClassName": ""},
                    {"name": "e", "count": 1, "allocationMode": "ExactCount", "deviceClassName": ""},
                ]},
            ])
        );
    }
}

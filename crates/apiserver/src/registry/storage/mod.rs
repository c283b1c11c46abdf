//! The storage.k8s.io group.

mod attachment;
mod csi;

use std::collections::{BTreeMap, BTreeSet};

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};

use super::Sub;
use super::check::{Field, check};
use super::column::{AGE, CREATED_AT, Column, NAME, join};
use super::kind::Kind;
use super::strategy::{Strategy, set_default};

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("storage.k8s.io", "v1", kind, resource, singular)
}

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The name, marked if it is the default.
const CLASS_NAME: Column = Column {
    ..Column::make("Name", |o| match o.annotation(IS_DEFAULT) {
        Some("true") => format!("{} (default)", o.name()).into(),
        _ => o.name().into(),
    })
};

pub(super) static KINDS: &[Kind] = &[
    row("CSIDriver", "csidrivers", "csidriver")
        .rechecks(0, 1)
        .strategy(&csi::Driver)
        .generation()
        .columns(&[
            NAME,
            Column::flag("AttachRequired", &["spec", "attachRequired"]),
            Column::flag("PodInfoOnMount", &["spec", "podInfoOnMount"]),
            Column::flag("StorageCapacity", &["spec", "storageCapacity"]),
            Column::make("TokenRequests", |o| {
                let requests = o["spec"]["tokenRequests"].as_array().into_iter().flatten();
                let text = join(requests.map(|r| r.str_at(&["audience"]).to_owned()));
                if text == "<none>" { "<unset>".into() } else { text }
            }),
            Column::flag("RequiresRepublish", &["spec", "requiresRepublish"]),
            Column::make("Modes", |o| {
                let modes = o["spec"]["volumeLifecycleModes"].as_array().into_iter().flatten();
                join(modes.filter_map(|m| m.as_str().map(str::to_owned)))
            }),
            AGE,
        ]),
    row("CSINode", "csinodes", "csinode")
        .rechecks(2, 0)
        .subs(&[Sub::Status])
        .strategy(&csi::Node)
        .columns(&[
            NAME,
            Column {
                of: "integer",
                ..Column::make("Drivers", |o| {
                    o["spec"]["drivers"].as_array().map_or(0, Vec::len).into()
                })
            },
            AGE,
        ]),
    row("CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity")
        .namespaced()
        .strategy(&csi::Capacity)
        .columns(&[NAME, CREATED_AT]),
    row("StorageClass", "storageclasses", "storageclass").short(&["sc"]).strategy(&Class).columns(
        &[
            CLASS_NAME,
            Column::text_or("Provisioner", &["provisioner"], ""),
            Column::text_or("ReclaimPolicy", &["reclaimPolicy"], "Delete"),
            Column::text_or("VolumeBindingMode", &["volumeBindingMode"], "Immediate"),
            Column::flag("AllowVolumeExpansion", &["allowVolumeExpansion"]),
            AGE,
        ],
    ),
    row("VolumeAttachment", "volumeattachments", "volumeattachment")
        .rechecks(1, 0)
        .subs(&[Sub::Status])
        .strategy(&attachment::Attachment)
        .columns(&[
            NAME,
            Column::text_or("Attacher", &["spec", "attacher"], ""),
            Column::text_or("PV", &["spec", "source", "persistentVolumeName"], ""),
            Column::text_or("Node", &["spec", "nodeName"], ""),
            Column::flag("Attached", &["status", "attached"]),
            AGE,
        ]),
    row("VolumeAttributesClass", "volumeattributesclasses", "volumeattributesclass")
        .short(&["vac"])
        .change_first()
        .strategy(&attachment::AttributesClass)
        .columns(&[NAME, Column::text_or("DriverName", &["driverName"], ""), AGE]),
];

struct Class;

impl Strategy for Class {
    fn default(&self, object: &mut Object) {
        set_default(object, "reclaimPolicy", "Delete");
        set_default(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_provisioner(object, "provisioner");
            check_parameters(object);
            if !object.str("reclaimPolicy").is_empty() {
                object.one_of("reclaimPolicy", &["Delete", "Retain"]);
            }
            object.one_of("volumeBindingMode", &["Immediate", "WaitForFirstConsumer"]);
            check_topologies(object);
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate(object);
        errors.0.extend(
            check(object, |object| {
                object.immutable_all(
                    &["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"],
                    old,
                );
            })
            .0,
        );
        errors
    }
}

/// Maximum number of parameters, and maximum total size of their keys and values in bytes.
const MAX_PARAMETERS: usize = 512;
const MAX_PARAMETER_BYTES: usize = 256 << 10;

/// Checks the name of a provisioner.
fn check_provisioner(class: &Field<'_>, field: &str) {
    if class.needs(field) {
        let provisioner = class.at(field);
        let lower = provisioner.text().to_lowercase();
        for message in names::qualified_name(&lower) {
            provisioner.invalid_value(lower.as_str(), message);
        }
    }
}

fn check_parameters(class: &Field<'_>) {
    let parameters = class.at("parameters");
    if class.len("parameters") > MAX_PARAMETERS {
        return parameters.too_long(MAX_PARAMETERS);
    }
    let mut bytes = 0;
    for (key, value) in class.entries("parameters") {
        if key.is_empty() {
            parameters.invalid_value(key, "field can not be empty.");
        }
        bytes += key.len() + value.text().len();
    }
    if bytes > MAX_PARAMETER_BYTES {
        parameters.too_long(MAX_PARAMETER_BYTES);
    }
}

fn check_topologies(class: &Field<'_>) {
    // Upstream starts with as many empty terms, so another empty one is a duplicate.
    let mut terms: Vec<BTreeMap<&str, BTreeSet<&str>>> =
        vec![BTreeMap::new(); class.len("allowedTopologies")];
    for topology in class.items("allowedTopologies") {
        let mut term = BTreeMap::new();
        for expression in topology.items("matchLabelExpressions") {
            let mut values = BTreeSet::new();
            expression.needs("values");
            for value in expression.items("values") {
                if !values.insert(value.text()) {
                    value.duplicate();
                }
            }
            expression.valid("key", names::qualified_name);
            if term.insert(expression.str("key"), values).is_some() {
                expression.at("key").duplicate();
            }
        }
        for _ in terms.iter().filter(|t| **t == term) {
            topology.at("matchLabelExpressions").duplicate_of("");
        }
        terms.push(term);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn classes() {
        let base = json!({"provisioner": "example.com/x"});
        let class = subject("storage.k8s.io", "v1", "StorageClass", base);
        let term = json!({"matchLabelExpressions": [{"key": "a", "values": ["b"]}]});
        class.creates(&[
            (json!({}), &[]),
            (
                json!({"provisioner": "", "reclaimPolicy": "Recycle", "volumeBindingMode": "Later"}),
                &[
                    "provisioner: Required value",
                    "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
                    "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
                ],
            ),
            (
                json!({"allowedTopologies": [term, term, {"matchLabelExpressions": [{"key": "a", "values": ["b", "b"]}, {"key": "a"}]}]}),
                &[
                    "allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\"",
                    "allowedTopologies[2].matchLabelExpressions[0].values[1]: Duplicate value: \"b\"",
                    "allowedTopologies[2].matchLabelExpressions[1].values: Required value",
                    "allowedTopologies[2].matchLabelExpressions[1].key: Duplicate value: \"a\"",
                ],
            ),
        ]);
        class.updates(&[(
            json!({}),
            json!({"parameters": {"a": "b"}, "provisioner": "other", "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"}),
            &[
                "parameters: Invalid value: {\"a\":\"b\"}: field is immutable",
                "provisioner: Invalid value: \"other\": field is immutable",
                "reclaimPolicy: Invalid value: \"Retain\": field is immutable",
                "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
            ],
        )]);
    }
}

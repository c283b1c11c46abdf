//! The storage.k8s.io group.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::Sub;
use super::column::{AGE, Column, NAME, join};
use super::kind::Kind;
use super::strategy::{Context, Strategy, set_default};

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("storage.k8s.io", "v1", kind, resource, singular)
}

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The name, marked when it is the default.
const CLASS_NAME: Column = Column {
    format: "name",
    ..Column::make("Name", |o| match o.annotation(IS_DEFAULT) {
        Some("true") => format!("{} (default)", o.name()).into(),
        _ => o.name().into(),
    })
};

pub(super) static KINDS: &[Kind] = &[
    row("CSIDriver", "csidrivers", "csidriver").columns(&[
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
    row("CSINode", "csinodes", "csinode").columns(&[
        NAME,
        Column {
            of: "integer",
            ..Column::make("Drivers", |o| {
                o["spec"]["drivers"].as_array().map_or(0, Vec::len).into()
            })
        },
        AGE,
    ]),
    row("CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity").namespaced().columns(
        &[
            NAME,
            Column::text_or("StorageClassName", &["storageClassName"], ""),
            Column::text("Capacity", &["capacity"]),
        ],
    ),
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
    row("VolumeAttachment", "volumeattachments", "volumeattachment").subs(&[Sub::Status]).columns(
        &[
            NAME,
            Column::text_or("Attacher", &["spec", "attacher"], ""),
            Column::text_or("PV", &["spec", "source", "persistentVolumeName"], ""),
            Column::text_or("Node", &["spec", "nodeName"], ""),
            Column::flag("Attached", &["status", "attached"]),
            AGE,
        ],
    ),
    row("VolumeAttributesClass", "volumeattributesclasses", "volumeattributesclass")
        .short(&["vac"])
        .columns(&[NAME, Column::text_or("DriverName", &["driverName"], ""), AGE]),
];

struct Class;

impl Strategy for Class {
    fn default(&self, object: &mut Object) {
        set_default(object, "reclaimPolicy", "Delete");
        set_default(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        if object.str_at(&["provisioner"]).is_empty() {
            errors.0.push(FieldError::required(&Path::new("provisioner"), ""));
        }
        for (field, allowed) in [
            ("reclaimPolicy", &["Delete", "Retain"]),
            ("volumeBindingMode", &["Immediate", "WaitForFirstConsumer"]),
        ] {
            let value = object.str_at(&[field]);
            if !allowed.contains(&value) {
                errors.0.push(FieldError::not_supported(&Path::new(field), value, allowed));
            }
        }
        errors
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            let set = |o: &Object| o.get(field).cloned().unwrap_or(Value::Null);
            if set(object) != set(old) {
                errors.0.push(FieldError::forbidden(
                    &Path::new(field),
                    format!("updates to {field} are forbidden."),
                ));
            }
        }
        errors
    }
}

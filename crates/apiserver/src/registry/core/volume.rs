//! PersistentVolume and PersistentVolumeClaim.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use crate::registry::column::{AGE, Column, NAME};
use crate::registry::strategy::{Context, Strategy, set_default};

/// `RWO,ROX,…`.
fn access_modes(modes: Option<&Value>) -> Value {
    let modes = modes.and_then(Value::as_array);
    let mut short: Vec<&str> = Vec::new();
    for (mode, abbreviation) in [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ] {
        if modes.is_some_and(|m| m.iter().any(|x| x == mode)) {
            short.push(abbreviation);
        }
    }
    short.join(",").into()
}

/// The phase, or Terminating.
fn phase(object: &Value) -> Value {
    match object.deletion_timestamp() {
        Some(_) => "Terminating".into(),
        None => object.str_at(&["status", "phase"]).into(),
    }
}

const VOLUME_MODE: Column =
    Column::text_or("VolumeMode", &["spec", "volumeMode"], "<unset>").wide();
const ATTRIBUTES_CLASS: Column =
    Column::text_or("VolumeAttributesClass", &["spec", "volumeAttributesClassName"], "<unset>");

pub(super) const VOLUME_COLUMNS: &[Column] = &[
    NAME,
    Column::text_or("Capacity", &["spec", "capacity", "storage"], ""),
    Column::make("Access Modes", |o| access_modes(o.get_path(&["spec", "accessModes"]))),
    Column::text_or("Reclaim Policy", &["spec", "persistentVolumeReclaimPolicy"], ""),
    Column::make("Status", phase),
    Column::make("Claim", |o| match o.get_path(&["spec", "claimRef"]) {
        Some(claim) => {
            format!("{}/{}", claim.str_at(&["namespace"]), claim.str_at(&["name"])).into()
        }
        None => "".into(),
    }),
    Column::text_or("StorageClass", &["spec", "storageClassName"], ""),
    ATTRIBUTES_CLASS,
    Column::text_or("Reason", &["status", "reason"], ""),
    AGE,
    VOLUME_MODE,
];

pub(super) const CLAIM_COLUMNS: &[Column] = &[
    NAME,
    Column::make("Status", phase),
    Column::text_or("Volume", &["spec", "volumeName"], ""),
    Column::make("Capacity", |o| match o.str_at(&["spec", "volumeName"]) {
        "" => "".into(),
        _ => o.str_at(&["status", "capacity", "storage"]).into(),
    }),
    Column::make("Access Modes", |o| match o.str_at(&["spec", "volumeName"]) {
        "" => "".into(),
        _ => access_modes(o.get_path(&["status", "accessModes"])),
    }),
    Column::text_or("StorageClass", &["spec", "storageClassName"], ""),
    ATTRIBUTES_CLASS,
    AGE,
    VOLUME_MODE,
];

const MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn check_modes(errors: &mut ErrorList, object: &Object) {
    let path = Path::new("spec").child("accessModes");
    let modes = object.get_path(&["spec", "accessModes"]).and_then(Value::as_array);
    match modes.filter(|m| !m.is_empty()) {
        None => errors.0.push(FieldError::required(&path, "at least 1 access mode is required")),
        Some(modes) => {
            for mode in modes {
                if !mode.as_str().is_some_and(|m| MODES.contains(&m)) {
                    errors.0.push(FieldError::not_supported(&path, mode.clone(), MODES));
                }
            }
        }
    }
}

pub(super) struct Claim;

impl Strategy for Claim {
    fn default(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec") {
            set_default(spec, "volumeMode", "Filesystem");
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"phase": "Pending"});
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        check_modes(&mut errors, object);
        if object.get_path(&["spec", "resources", "requests", "storage"]).is_none() {
            let path = Path::new("spec").child("resources").key("storage");
            errors.0.push(FieldError::required(&path, ""));
        }
        errors
    }
}

pub(super) struct Volume;

impl Strategy for Volume {
    fn default(&self, object: &mut Object) {
        if let Some(spec) = object.get_mut("spec") {
            set_default(spec, "volumeMode", "Filesystem");
            set_default(spec, "persistentVolumeReclaimPolicy", "Retain");
            if let Some(path) = spec.get_mut("hostPath") {
                set_default(path, "type", "");
            }
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"phase": "Pending"});
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        check_modes(&mut errors, object);
        if object.get_path(&["spec", "capacity", "storage"]).is_none() {
            errors.0.push(FieldError::required(&Path::new("spec").child("capacity"), ""));
        }
        errors
    }
}

//! PersistentVolume and PersistentVolumeClaim.

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt, names, time};
use serde_json::{Value, json};

use super::claim::{VOLUME_MODES, check_access_modes, check_claim_spec};
use super::pod::check_node_selector;
use super::resource_names::check_amount;
use super::volume_source::{check_persistent_source, persistent_sources};
use crate::registry::check::{Field, check, diff, quantity};

use crate::registry::Sub;
use crate::registry::column::{AGE, Column, NAME};
use crate::registry::strategy::{Context, Strategy, ensure, set_default};

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

/// The phase, or `Terminating`.
fn phase(object: &Value) -> Value {
    match object.deletion_timestamp() {
        Some(_) => "Terminating".into(),
        None => object.str_at(&["status", "phase"]).into(),
    }
}

const VOLUME_MODE: Column = Column::text_or("VolumeMode", &["spec", "volumeMode"], "<unset>");
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

pub(super) struct Claim;

impl Strategy for Claim {
    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "volumeMode", "Filesystem");
        default_phase(object);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"phase": "Pending"});
        drop_foreign_sources(&mut object["spec"], &Value::Null);
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        drop_foreign_sources(&mut object["spec"], &old["spec"]);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_claim_spec(&object.at("spec")))
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_claim_update(object, old))
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, check_claim_status)
    }
}

/// Drops sources in other namespaces, which are disabled, and values that the older field cannot
/// express, as before the newer field existed.
fn drop_foreign_sources(spec: &mut Value, old: &Value) {
    if old["dataSourceRef"].is_null()
        && !spec["dataSourceRef"]["namespace"].as_str().unwrap_or_default().is_empty()
    {
        spec.remove_path(&["dataSourceRef"]);
    }
    let (source, group) = (&spec["dataSource"], spec["dataSource"]["apiGroup"].as_str());
    let known = match source["kind"].as_str() {
        Some("PersistentVolumeClaim") => group.unwrap_or_default().is_empty(),
        Some("VolumeSnapshot") => group == Some("snapshot.storage.k8s.io"),
        _ => false,
    };
    if old["dataSource"].is_null() && spec["dataSourceRef"].is_null() && !known {
        spec.remove_path(&["dataSource"]);
    }
    same_source(spec);
}

/// Makes the two source fields equal, unless only the newer one can express the source.
fn same_source(spec: &mut Value) {
    let (source, reference) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    if reference.is_null() && source.is_object() {
        spec["dataSourceRef"] = source;
    } else if source.is_null()
        && reference.is_object()
        && reference.str_at(&["namespace"]).is_empty()
    {
        spec["dataSource"] = reference;
        spec.remove_path(&["dataSource", "namespace"]);
    }
}

/// The phase defaults to pending.
fn default_phase(object: &mut Object) {
    if object["status"].is_object() || object["status"].is_null() {
        set_default(ensure(object, &["status"]), "phase", "Pending");
    }
}

/// States of a resize.
const RESIZE_STATES: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizePending",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
];

fn check_claim_status(object: &Field<'_>) {
    if object.at("spec").len("accessModes") == 0 {
        object.at("Spec").at("accessModes").required("");
    }
    let status = object.at("status");
    let check_size = |amount: &Field<'_>| {
        let value = amount.quantity().value();
        if value < 0 {
            amount.invalid_value(value, "must be a valid resource quantity");
        }
        value >= 0
    };
    for (_, amount) in status.entries("capacity") {
        check_size(&amount);
    }
    let states = status.at("allocatedResourceStatuses");
    for (name, state) in status.entries("allocatedResourceStatuses") {
        check_claim_resource(&states, name);
        if !RESIZE_STATES.contains(&state.text()) {
            let mut sorted = RESIZE_STATES.to_vec();
            sorted.sort_unstable();
            states.push(FieldError::not_supported(states.path(), name, &sorted));
        }
    }
    let allocated = status.at("allocatedResources");
    for (name, amount) in status.entries("allocatedResources") {
        if check_claim_resource(&allocated, name) && check_size(&amount) {
            check_amount(&amount, "storage");
        }
    }
}

/// Returns true if a claim can request a resource of this name; errors are reported at the list.
fn check_claim_resource(list: &Field<'_>, name: &str) -> bool {
    let messages = names::qualified_name(name);
    if !messages.is_empty() {
        messages.into_iter().for_each(|message| list.invalid_value(name, message));
        return false;
    }
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    if native && name != "storage" {
        list.push(FieldError::not_supported(list.path(), name, &["storage"]));
        return false;
    }
    true
}

const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn check_claim_update(object: &Field<'_>, old: &Object) {
    let (spec, was) = (object.at("spec"), &old["spec"]);
    let (mut now, mut before) = (spec.value().clone(), was.clone());
    let put = |target: &mut Value, from: &Value, path: &[&str]| match from.get_path(path) {
        Some(value) => target.set_path(path, value.clone()),
        None => {
            target.remove_path(path);
        }
    };
    if was["volumeName"].is_null() {
        put(&mut before, spec.value(), &["volumeName"]);
    }
    check_class(object, old, &mut now);
    if object.at("status").str("phase") == "Bound" {
        put(&mut now, was, &["resources", "requests", "storage"]);
        put(&mut now, was, &["volumeAttributesClassName"]);
    }
    if now != before {
        spec.forbidden(format!(
            "spec is immutable after creation except resources.requests and \
             volumeAttributesClassName for bound claims\n{}",
            diff(&before, &now, "PersistentVolumeClaimSpec")
        ));
    }
    let storage =
        |value: &Value, path: &[&str]| value.get_path(path).map(quantity).unwrap_or_default();
    let size = ["resources", "requests", "storage"];
    let (new_size, old_size) = (storage(spec.value(), &size), storage(was, &size));
    if new_size < old_size && new_size <= storage(&old["status"], &["capacity", "storage"]) {
        spec.at("resources")
            .at("requests")
            .at("storage")
            .forbidden("field can not be less than status.capacity");
    }
    if spec.get("volumeMode") != &was["volumeMode"] {
        object.at("volumeMode").invalid_value(spec.get("volumeMode").clone(), "field is immutable");
    }
    let class = spec.at("volumeAttributesClassName");
    if class.value() != &was["volumeAttributesClassName"]
        && !old["status"]["currentVolumeAttributesClassName"].is_null()
    {
        let to = match class.value() {
            Value::Null => "nil",
            value if value == "" => "empty string",
            _ => return,
        };
        class.forbidden(format!(
            "update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil"
        ));
    }
}

/// The class may move from the annotation to the field, and be set if there was none.
fn check_class(object: &Field<'_>, old: &Object, now: &mut Value) {
    let (name, before) =
        (object.at("spec").get("storageClassName"), &old["spec"]["storageClassName"]);
    let (annotation, was) = (object.value().annotation(BETA_CLASS), old.annotation(BETA_CLASS));
    let moved = before.is_null()
        && was.is_some_and(|was| name == was && annotation.is_none_or(|now| now == was));
    if moved {
        now.remove_path(&["storageClassName"]);
        return;
    }
    if annotation.unwrap_or_default() != was.unwrap_or_default() {
        object
            .at("metadata")
            .at("annotations")
            .at(BETA_CLASS)
            .invalid_value(annotation.unwrap_or_default(), "field is immutable");
    }
    if !name.is_null() && before.is_null() && was.is_none_or(|was| name == was) {
        now.remove_path(&["storageClassName"]);
    }
}

pub(super) struct Volume;

impl Strategy for Volume {
    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "volumeMode", "Filesystem");
        set_default(spec, "persistentVolumeReclaimPolicy", "Retain");
        default_volume_source(spec);
        default_phase(object);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] =
            json!({"phase": "Pending", "lastPhaseTransitionTime": time::now_rfc3339()});
        ErrorList::new()
    }

    fn prepare_for_status(&self, object: &mut Object, old: &Object) {
        let (status, was) = (&mut object["status"], &old["status"]);
        let same = status["phase"] == was["phase"];
        if same && status["lastPhaseTransitionTime"].is_null() {
            if !was["lastPhaseTransitionTime"].is_null() {
                status["lastPhaseTransitionTime"] = was["lastPhaseTransitionTime"].clone();
            }
        } else if !same
            && (status["lastPhaseTransitionTime"].is_null()
                || status["lastPhaseTransitionTime"] == was["lastPhaseTransitionTime"])
        {
            status["lastPhaseTransitionTime"] = time::now_rfc3339().into();
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_volume(&object.at("spec"), object.value().name()))
    }

    /// The volume is checked twice, as in upstream.
    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            for _ in 0..2 {
                check_volume(&object.at("spec"), object.value().name());
            }
            check_volume_update(object, old);
        })
    }
}

/// Defaults of a volume's source.
pub(in crate::registry) fn default_volume_source(spec: &mut Value) {
    if let Some(path) = spec.get_mut("hostPath") {
        set_default(path, "type", "");
    }
    super::pod::default_disk(spec);
}

/// Checks a volume that is embedded in an attachment rather than an object of its own.
pub(in crate::registry) fn check_inline_volume(spec: &Field<'_>) {
    const HERE: &str = "in the context of inline volumes";
    for field in ["claimRef", "capacity"] {
        if spec.filled(field) {
            spec.at(field).forbidden(format!("may not be specified {HERE}"));
        }
    }
    if !spec.has("csi") {
        spec.at("csi").required(format!("has to be specified {HERE}"));
    }
    check_access_modes(spec, "");
    if !matches!(spec.str("persistentVolumeReclaimPolicy"), "" | "Retain") {
        spec.at("persistentVolumeReclaimPolicy").forbidden(format!("may only be Retain {HERE}"));
    }
    if spec.has("nodeAffinity") {
        spec.at("nodeAffinity").forbidden(format!("may not be specified {HERE}"));
    }
    check_persistent_source(spec, "");
    if !spec.str("storageClassName").is_empty() {
        spec.at("storageClassName").forbidden(format!("may not be specified {HERE}"));
    }
    if spec.has("volumeMode") && spec.str("volumeMode") != "Filesystem" {
        spec.at("volumeMode")
            .forbidden(format!("may not specify volumeMode other than Filesystem {HERE}"));
    }
}

fn check_volume(spec: &Field<'_>, name: &str) {
    check_access_modes(spec, "");
    let capacity = spec.at("capacity");
    spec.needs("capacity");
    if spec.len("capacity") > 1 || capacity.get("storage").is_null() {
        let shown = capacity.value().clone();
        let error = FieldError::not_supported(capacity.path(), shown, &["storage"]);
        capacity.push(error);
    }
    for (_, amount) in spec.entries("capacity") {
        let value = amount.quantity().value();
        if value < 0 {
            amount.invalid_value(value, "must be a valid resource quantity");
        }
        if amount.quantity().sign() <= 0 {
            amount.invalid("must be greater than zero");
        }
    }
    let policy = spec.str("persistentVolumeReclaimPolicy");
    if !policy.is_empty() {
        spec.one_of("persistentVolumeReclaimPolicy", &["Delete", "Recycle", "Retain"]);
    }
    check_affinity(spec);
    check_persistent_source(spec, name);
    let path = spec.at("hostPath").str("path");
    let root = path.starts_with('/') && path.split('/').all(|p| p.is_empty() || p == ".");
    if root && policy == "Recycle" {
        spec.at("persistentVolumeReclaimPolicy")
            .forbidden("may not be 'recycle' for a hostPath mount of '/'");
    }
    spec.maybe_valid("storageClassName", names::dns1123_subdomain);
    spec.maybe_one_of("volumeMode", VOLUME_MODES);
    check_attributes_class(spec);
}

fn check_affinity(spec: &Field<'_>) {
    let affinity = spec.at("nodeAffinity");
    if spec.has("nodeAffinity") {
        match affinity.opt("required") {
            Some(selector) => check_node_selector(&selector),
            None => affinity.at("required").required("must specify required node constraints"),
        }
    }
}

fn check_attributes_class(spec: &Field<'_>) {
    if let Some(class) = spec.opt("volumeAttributesClassName") {
        if class.text().is_empty() {
            class.required("an empty string is disallowed");
        } else {
            class.invalid_all(names::dns1123_subdomain(class.text()));
        }
        if !spec.has("csi") {
            spec.at("csi").required("has to be specified when using volumeAttributesClassName");
        }
    }
}

fn check_volume_update(object: &Field<'_>, old: &Object) {
    let (spec, was) = (object.at("spec"), &old["spec"]);
    let source = |spec: &Value| {
        let mut source = json!({});
        for name in persistent_sources().filter(|name| !spec[*name].is_null()) {
            source[name] = spec[name].clone();
        }
        source
    };
    let (mut now, before) = (source(spec.value()), source(was));
    // The secret for expansion may be added once.
    let secret = ["csi", "controllerExpandSecretRef"];
    if before["csi"].is_object() && before.get_path(&secret).is_none() {
        now.remove_path(&secret);
    }
    if now != before {
        spec.at("persistentvolumesource").forbidden(format!(
            "spec.persistentvolumesource is immutable after creation\n{}",
            diff(&before, &now, "PersistentVolumeSource")
        ));
    }
    if spec.get("volumeMode") != &was["volumeMode"] {
        object.at("volumeMode").invalid_value(spec.get("volumeMode").clone(), "field is immutable");
    }
    if was["nodeAffinity"].is_object() && spec.get("nodeAffinity") != &was["nodeAffinity"] {
        object.at("nodeAffinity").instead(spec.get("nodeAffinity")).invalid_as(
            "VolumeNodeAffinity",
            "field is immutable, except for updating from beta label to GA",
        );
    }
    if !was["volumeAttributesClassName"].is_null() && !spec.has("volumeAttributesClassName") {
        spec.at("volumeAttributesClassName")
            .forbidden("update from non-nil value to nil is forbidden");
    }
}

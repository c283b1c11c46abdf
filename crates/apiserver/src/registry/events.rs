//! The events.k8s.io group: the core group's events by other field names.

use apimachinery::ObjectExt;
use serde_json::Value;

use super::core::STORED_EVENT;
use super::kind::{Conversion, Kind, Selectable};

/// (events.k8s.io name, core name).
const RENAMED: &[(&str, &str)] = &[
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

fn rename(
    object: &mut Value,
    api_version: &str,
    names: impl Iterator<Item = (&'static str, &'static str)>,
) {
    object["apiVersion"] = api_version.into();
    for (from, to) in names {
        if let Some(value) = object.remove_path(&[from]) {
            object[to] = value;
        }
    }
}

fn to_stored(object: &mut Value) {
    rename(object, "v1", RENAMED.iter().copied());
}

fn from_stored(object: &mut Value) {
    rename(object, "events.k8s.io/v1", RENAMED.iter().map(|(new, core)| (*core, *new)));
}

pub(super) static KINDS: &[Kind] = &[Kind::new("events.k8s.io", "v1", "Event", "events", "event")
    .namespaced()
    .short(&["ev"])
    .columns(super::core::EVENT_COLUMNS)
    .selectable(&[
        Selectable::new("regarding.kind", &["involvedObject", "kind"]),
        Selectable::new("regarding.namespace", &["involvedObject", "namespace"]),
        Selectable::new("regarding.name", &["involvedObject", "name"]),
        Selectable::new("regarding.uid", &["involvedObject", "uid"]),
        Selectable::new("regarding.apiVersion", &["involvedObject", "apiVersion"]),
        Selectable::new("regarding.resourceVersion", &["involvedObject", "resourceVersion"]),
        Selectable::new("regarding.fieldPath", &["involvedObject", "fieldPath"]),
        Selectable::new("reason", &["reason"]),
        Selectable::new("reportingController", &["reportingComponent"]),
        Selectable::new("type", &["type"]),
    ])
    .converted(Conversion {
        group: STORED_EVENT.0,
        version: STORED_EVENT.1,
        to_stored,
        from_stored,
    })];

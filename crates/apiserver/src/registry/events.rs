//! The events.k8s.io group: the core group's events with other field names.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::Sub;
use super::check::{Field, check};
use super::core::{STORED_EVENT, check_event};
use super::kind::{Conversion, Kind, Selectable};
use super::strategy::Strategy;

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
    .rechecks(0, 1)
    .namespaced()
    .short(&["ev"])
    .columns(super::core::EVENT_COLUMNS)
    .strategy(&Event)
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

struct Event;

impl Strategy for Event {
    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |event| {
            check_common(event);
            check_series(event);
            if !event.has("eventTime") {
                event.at("eventTime").required("");
            }
            let of = event.str("type");
            if !matches!(of, "Normal" | "Warning") {
                event.at("type").invalid_value("", format!("has invalid value: {of}"));
            }
            for (field, shown) in [
                ("deprecatedFirstTimestamp", "firstTimestamp"),
                ("deprecatedLastTimestamp", "lastTimestamp"),
                ("deprecatedCount", "count"),
                ("deprecatedSource", "source"),
            ] {
                let unset = match event.get(field) {
                    Value::Null => true,
                    Value::Object(source) => source.values().all(|v| v == ""),
                    value => value == 0,
                };
                if !unset {
                    event.at(shown).invalid_value("", "needs to be unset");
                }
            }
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |event| {
            check_common(event);
            if event.get("series") != &old["series"] {
                check_series(event);
            }
            check_immutable(event, old);
        })
    }

    fn create_on_update(&self) -> bool {
        true
    }
}

fn check_common(event: &Field<'_>) {
    check_event(event, "regarding", "reportingController", "note");
}

/// Everything but the series and the metadata is immutable.
fn check_immutable(event: &Field<'_>, old: &Object) {
    for (field, of) in [
        ("regarding", "ObjectReference"),
        ("reason", ""),
        ("note", ""),
        ("deprecatedSource", "EventSource"),
        ("deprecatedFirstTimestamp", ""),
        ("deprecatedLastTimestamp", ""),
        ("deprecatedCount", ""),
        ("reason", ""),
        ("type", ""),
        ("eventTime", ""),
        ("action", ""),
        ("related", "ObjectReference"),
        ("reportingController", ""),
        ("reportingInstance", ""),
    ] {
        if event.get(field) == &old[field] {
            continue;
        }
        let shown = RENAMED.iter().find(|(new, _)| *new == field && field != "reportingController");
        let at = event.at_as(field, shown.map_or(field, |(_, core)| core));
        if field == "eventTime" {
            at.invalid_value(at.value().clone(), "field is immutable")
        } else if of.is_empty() {
            at.invalid("field is immutable")
        } else {
            at.invalid_as(of, "field is immutable")
        }
    }
}

fn check_series(event: &Field<'_>) {
    let Some(series) = event.opt("series") else { return };
    if series.int("count").unwrap_or(0) < 2 {
        series.at("count").invalid_value("", "should be at least 2");
    }
    if !series.has("lastObservedTime") {
        series.at("lastObservedTime").required("");
    }
}

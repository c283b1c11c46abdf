//! Event in the core group; `events.k8s.io` serves the same objects.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::column::{Column, NAME, since};
use crate::registry::kind::{Kind, Selectable};
use crate::registry::strategy::Strategy;

/// The version in which both groups' events are stored.
pub(crate) const STORED: (&str, &str) = ("", "v1");

pub(crate) const COLUMNS: &[Column] = &[
    Column::make("Last Seen", last_seen),
    Column::text_or("Type", &["type"], ""),
    Column::text_or("Reason", &["reason"], ""),
    Column::make("Object", |o| {
        let involved = &o["involvedObject"];
        let kind = involved["kind"].as_str().unwrap_or_default().to_lowercase();
        format!("{kind}/{}", involved["name"].as_str().unwrap_or_default()).into()
    }),
    Column::text_or("Subobject", &["involvedObject", "fieldPath"], ""),
    Column::make("Source", source),
    Column::make("Message", |o| o.str_at(&["message"]).trim().into()),
    Column::make("First Seen", first_seen),
    Column { of: "integer", ..Column::make("Count", count) },
    NAME,
];

fn moment(object: &Value, field: &str) -> String {
    let when = if object[field].is_string() { &object[field] } else { &object["eventTime"] };
    since(Some(when))
}

fn last_seen(object: &Value) -> Value {
    let series = object.get_path(&["series", "lastObservedTime"]);
    series.map_or_else(|| moment(object, "lastTimestamp"), |t| since(Some(t))).into()
}

fn first_seen(object: &Value) -> Value {
    moment(object, "firstTimestamp").into()
}

fn count(object: &Value) -> Value {
    let series = object.get_path(&["series", "count"]).and_then(Value::as_i64);
    series.or(object["count"].as_i64()).filter(|n| *n > 0).unwrap_or(1).into()
}

fn source(object: &Value) -> Value {
    let either = |old: &[&str], new: &str| {
        let old = object.str_at(old);
        if old.is_empty() { object.str_at(&[new]).to_owned() } else { old.to_owned() }
    };
    let component = either(&["source", "component"], "reportingComponent");
    match either(&["source", "host"], "reportingInstance").as_str() {
        "" => component.into(),
        instance => format!("{component}, {instance}").into(),
    }
}

/// Field selectors of core events.
const SELECTABLE: &[Selectable] = &[
    Selectable::new("involvedObject.kind", &["involvedObject", "kind"]),
    Selectable::new("involvedObject.namespace", &["involvedObject", "namespace"]),
    Selectable::new("involvedObject.name", &["involvedObject", "name"]),
    Selectable::new("involvedObject.uid", &["involvedObject", "uid"]),
    Selectable::new("involvedObject.apiVersion", &["involvedObject", "apiVersion"]),
    Selectable::new("involvedObject.resourceVersion", &["involvedObject", "resourceVersion"]),
    Selectable::new("involvedObject.fieldPath", &["involvedObject", "fieldPath"]),
    Selectable::new("reason", &["reason"]),
    Selectable::new("reportingComponent", &["reportingComponent"]),
    Selectable::new("source", &["source", "component"]).or_at(&["reportingComponent"]),
    Selectable::new("type", &["type"]),
];

pub(super) const EVENT: Kind = Kind::new("", "v1", "Event", "events", "event")
    .rechecks(0, 0)
    .any_finalizer()
    .namespaced()
    .short(&["ev"])
    .selectable(SELECTABLE)
    .strategy(&CoreEvent)
    .columns(COLUMNS);

struct CoreEvent;

impl Strategy for CoreEvent {
    /// An event may have any name that is valid in a path.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::path_segment_name(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |event| check_event(event, "involvedObject", "reportingComponent", "message"))
    }

    fn create_on_update(&self) -> bool {
        true
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, _old: &Object) -> ErrorList {
        self.validate(object)
    }
}

const MAX_TEXT: usize = 128;
const MAX_MESSAGE: usize = 1024;

/// Rules for events of both groups; `object`, `controller` and `message` are field names of the
/// group. Errors use the core names like upstream, which stores events by them.
pub(in crate::registry) fn check_event(
    event: &Field<'_>,
    object: &str,
    controller: &str,
    message: &str,
) {
    let namespace = event.value().namespace();
    let about = event.at_as(object, "involvedObject");
    let of = about.str("namespace");
    let differs = || about.at("namespace").invalid_value(of, "does not match event.namespace");
    if !event.has("eventTime") {
        let agrees =
            if of.is_empty() { matches!(namespace, "" | "default") } else { namespace == of };
        if !agrees {
            differs();
        }
    } else {
        if of.is_empty() && !matches!(namespace, "default" | "kube-system") {
            differs();
        }
        event.needs(controller);
        event.valid(controller, names::qualified_name);
        event.needs("reportingInstance");
        let limit = |field: &str, shown: &str, max: usize| {
            if event.str(field).len() > max {
                event.at(shown).invalid_value("", format!("can have at most {max} characters"));
            }
        };
        limit("reportingInstance", "reportingInstance", MAX_TEXT);
        for field in ["action", "reason"] {
            event.needs(field);
            limit(field, field, MAX_TEXT);
        }
        limit(message, "message", MAX_MESSAGE);
    }
    for why in names::dns1123_subdomain(namespace) {
        event.at("namespace").invalid_value(namespace, why);
    }
}

//! `componentstatuses`: the state of the control plane, computed on request.

use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Call;
use super::list::Filter;
use super::list_options::ListOptions;
use crate::body::Body;
use crate::encode::{self, Include};
use crate::negotiate::Form;
use crate::registry;
use crate::server::Server;

/// Components that may run separately and then hold a lease of their name in `kube-system`.
const LED: &[(&str, &str)] =
    &[("controller-manager", "kube-controller-manager"), ("scheduler", "kube-scheduler")];
/// The store, under the name that clients expect.
const STORE: &str = "etcd-0";

pub(super) fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let found = all(call.server).into_iter().find(|status| status.name() == call.info.name);
    let status = found.ok_or_else(|| Status::not_found("", "componentstatus", &call.info.name))?;
    call.answer(StatusCode::OK, &status)
}

pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, Status> {
    ListOptions::read(call)?;
    let filter = Filter::parse(call)?;
    let mut found = all(call.server);
    found.retain(|status| filter.selects(status));
    let metadata = json!({});
    let version = call.accepted.meta_version();
    let list = match call.accepted.form {
        Form::Table => {
            let include = Include::parse(call.query.get("includeObject"))?;
            let row = |status| encode::row(&call.kind, status, include, version);
            let rows = found.iter().map(row).collect();
            encode::table(&call.kind, rows, metadata, true, version)
        }
        Form::Partial => {
            let form = "PartialObjectMetadata";
            return Err(encode::wrong_form(form, "a list", &call.kind, "List"));
        }
        Form::PartialList => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": metadata,
            "items": found.iter().map(|s| encode::partial(s, version)).collect::<Value>(),
        }),
        Form::Object => json!({
            "kind": "ComponentStatusList", "apiVersion": "v1", "metadata": metadata,
            "items": found,
        }),
    };
    encode::value(StatusCode::OK, &list, call.accepted.encoding)
}

fn all(server: &Server) -> Vec<Object> {
    let store = match server.store_failed() {
        false => healthy(STORE),
        true => unhealthy(STORE, "the store has failed"),
    };
    let mut all: Vec<Object> = LED.iter().map(|(name, lease)| led(server, name, lease)).collect();
    all.insert(1, store);
    all
}

/// A component that runs separately renews its lease. One in this process ends the process when it
/// fails permanently. The state of any other is unknown.
fn led(server: &Server, name: &str, lease: &str) -> Object {
    let held = registry::find("coordination.k8s.io", "v1", "leases")
        .and_then(|kind| server.entry(kind, "kube-system", lease))
        .map(|entry| entry.object());
    let Some(held) = held else {
        if server.settings.components_within {
            return healthy(name);
        }
        return condition(
            name,
            json!({
                "type": "Healthy", "status": "Unknown",
                "error": format!("the lease kube-system/{lease} has never been held"),
            }),
        );
    };
    let seconds = held["spec"]["leaseDurationSeconds"].as_i64().unwrap_or(0);
    let renewed = time::parse(held.str_at(&["spec", "renewTime"])).unwrap_or_default();
    if Timestamp::now() <= time::after(renewed, seconds) {
        return healthy(name);
    }
    let why =
        format!("the lease kube-system/{lease} was last renewed at {}", time::rfc3339(renewed));
    unhealthy(name, &why)
}

fn healthy(name: &str) -> Object {
    condition(name, json!({"type": "Healthy", "status": "True", "message": "ok"}))
}

fn unhealthy(name: &str, why: &str) -> Object {
    condition(name, json!({"type": "Healthy", "status": "False", "error": why}))
}

fn condition(name: &str, condition: Value) -> Object {
    json!({
        "kind": "ComponentStatus", "apiVersion": "v1",
        "metadata": {"name": name}, "conditions": [condition],
    })
}

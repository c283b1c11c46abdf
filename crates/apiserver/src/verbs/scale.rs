//! The scale subresource: `autoscaling/v1` Scale over a kind's replica fields.

use std::sync::Arc;

use apimachinery::apply::{self, Writer};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::schema::{Registry, Type};
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::create::Ownership;
use super::patch::{Patch, check_configuration, merged};
use super::{Call, update};
use crate::body::Body;
use crate::decode::Expected;
use crate::encode::{self, Include, view};
use crate::registry::{self, Column, Kind, ScalePaths};

const SCALE: Expected<'static> = Expected::builtin("autoscaling", "v1", "Scale");

/// The paths of the replicas, in the spec and in the status.
type Paths<'a> = (Vec<&'a str>, Vec<&'a str>);

fn paths(kind: &Kind) -> Paths<'_> {
    match custom(kind) {
        Some(scale) => (
            scale.replicas.iter().map(String::as_str).collect(),
            scale.status.iter().map(String::as_str).collect(),
        ),
        None => (vec!["spec", "replicas"], vec!["status", "replicas"]),
    }
}

fn custom(kind: &Kind) -> Option<&ScalePaths> {
    kind.custom.as_ref()?.scale.as_ref()
}

/// The selector of the pods that a workload has, as text.
fn selector(kind: &Kind, object: &Object) -> String {
    if let Some(scale) = custom(kind) {
        let path: Vec<&str> = scale.selector.iter().flatten().map(String::as_str).collect();
        let found = object.get_path(&path).filter(|_| !path.is_empty());
        return found.and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let selector = object.get_path(&["spec", "selector"]);
    match selector.and_then(|s| s.get("matchLabels").or(s.get("matchExpressions"))) {
        Some(_) => Column::selector_text(selector),
        None => Column::label_text(selector),
    }
}

/// The Scale of a workload.
fn of(kind: &Kind, object: &Object) -> Value {
    let meta = |field: &str| object.get_path(&["metadata", field]).cloned().unwrap_or(Value::Null);
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        metadata[field] = meta(field);
    }
    let text = selector(kind, object);
    let (spec, status) = paths(kind);
    let count = |path: &[&str]| object.get_path(path).and_then(Value::as_i64).unwrap_or(0);
    let wanted = count(&spec);
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
        "spec": if wanted == 0 { json!({}) } else { json!({"replicas": wanted}) },
        "status": {"replicas": count(&status)},
    });
    if !text.is_empty() {
        scale["status"]["selector"] = text.into();
    }
    scale
}

fn respond(call: &Call<'_>, object: &Object) -> Result<Response<Body>, Status> {
    let include = Include::parse(call.query.get("includeObject"))?;
    encode::object(
        StatusCode::OK,
        &registry::SCALE,
        &of(&call.kind, object),
        call.accepted,
        include,
    )
}

pub(super) async fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let entry = call.own_entry().await?;
    respond(call, &view(&call.kind, &entry))
}

/// The workload with the replicas of the scale.
fn scaled(kind: &Kind, old: &Object, scale: &Value) -> Result<Object, Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let error = FieldError::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", old.name(), ErrorList(vec![error])));
    }
    let mut object = old.clone();
    object.set_path(&paths(kind).0, replicas.into());
    let version = scale.resource_version();
    object
        .set_meta("resourceVersion", if version.is_empty() { Value::Null } else { version.into() });
    let uid = scale.uid();
    if !uid.is_empty() {
        object.set_meta("uid", uid.into());
    }
    Ok(object)
}

/// The Scale of a workload, with the owners of its replicas.
fn live(kind: &Kind, old: &Object) -> Value {
    let mut live = of(kind, old);
    let managers = apply::scale_managers(recorded(old), &paths(kind).0);
    live.set_meta("managedFields", managers);
    live
}

fn recorded(object: &Object) -> Option<&Value> {
    object.get_path(&["metadata", "managedFields"])
}

fn schema() -> Result<&'static Arc<Type>, Status> {
    Registry::builtin()
        .lookup(SCALE.group, SCALE.version, SCALE.kind)
        .ok_or_else(|| Status::internal("no schema for Scale"))
}

/// The workload after a write of its scale: the new owner of the scale's replicas owns those of the
/// workload.
fn written(
    call: &Call<'_>,
    ty: &Arc<Type>,
    old: &Object,
    mut scale: Value,
) -> Result<(Object, Ownership), Status> {
    let (manager, now) = (call.manager(), time::now_rfc3339());
    apply::update_managers(
        ty,
        Some(&live(&call.kind, old)),
        &mut scale,
        &writer(call, &manager, &now),
    );
    owned(call, old, &scale)
}

fn writer<'a>(call: &'a Call<'_>, manager: &'a str, now: &'a str) -> Writer<'a> {
    Writer {
        manager,
        api_version: "autoscaling/v1",
        subresource: call.subresource(),
        now,
        reset_fields: &["status"],
    }
}

/// The workload of a scale with known owners.
fn owned(call: &Call<'_>, old: &Object, scale: &Value) -> Result<(Object, Ownership), Status> {
    let version = call.kind.api_version();
    let replicas = paths(&call.kind).0;
    let managers = apply::workload_managers(recorded(old), recorded(scale), &version, &replicas);
    let mut object = scaled(&call.kind, old, scale)?;
    object.set_meta("managedFields", managers);
    Ok((object, Ownership::Recorded))
}

pub(super) async fn update(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let scale = call.decode(body, SCALE).await?;
    if scale.name() != call.info.name {
        return Err(update::wrong_name(scale.name(), &call.info.name));
    }
    let ty = schema()?;
    let updated = update::change(call, |old| written(call, ty, old, scale.clone())).await?;
    respond(call, &updated)
}

pub(super) async fn patch(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let patch = Patch::read(call, body).await?;
    let ty = schema()?;
    if call.applies() {
        let updated = update::change(call, |old| applied(call, ty, old, &patch)).await?;
        return respond(call, &updated);
    }
    let updated = update::change(call, |old| {
        let scale = patch.onto(call, &live(&call.kind, old), ty)?;
        written(call, ty, old, scale)
    })
    .await?;
    respond(call, &updated)
}

/// The workload after a server-side apply of its scale: the owners of the scale's replicas own
/// those of the workload.
fn applied(
    call: &Call<'_>,
    ty: &Arc<Type>,
    old: &Object,
    patch: &Patch,
) -> Result<(Object, Ownership), Status> {
    let mut config = patch.configuration().clone();
    check_configuration(&config, "autoscaling/v1", SCALE.kind)?;
    if config.name().is_empty() {
        config.set_meta("name", call.info.name.clone().into());
    } else if config.name() != call.info.name {
        return Err(update::wrong_name(config.name(), &call.info.name));
    }
    let (manager, now) = (call.manager(), time::now_rfc3339());
    let writer = writer(call, &manager, &now);
    let force = call.query.flag("force");
    let scale = apply::apply(ty, Some(&live(&call.kind, old)), &config, &writer, force)?;
    let mut scale = merged(call, ty, scale, &config)?;
    // The version that was read is no precondition.
    scale.set_meta("resourceVersion", config.resource_version().into());
    owned(call, old, &scale)
}

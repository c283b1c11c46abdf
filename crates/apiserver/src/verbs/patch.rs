//! PATCH: JSON patch, merge patch, strategic merge patch and server-side apply.

use std::sync::Arc;

use apimachinery::apply::{self, Writer};
use apimachinery::codec::Duplicate;
use apimachinery::patch::{json_patch, merge_patch, strategic};
use apimachinery::schema::{Registry, Type};
use apimachinery::validate::FieldValidation;
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use serde_json::Value;

use super::create::{Ownership, create_object, reset_fields};
use super::{Call, update};
use crate::body::Body;
use crate::decode;

/// The patch forms, by media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Merge,
    Strategic,
    Apply,
}

impl Form {
    fn of(content_type: Option<&str>) -> Result<Self, Status> {
        let media_type =
            content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match media_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(Status::unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: \
                 application/json-patch+json, application/merge-patch+json, \
                 application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }
}

fn schema(call: &Call<'_>) -> Result<&'static Arc<Type>, Status> {
    Registry::builtin()
        .lookup(call.kind.group, call.kind.version, call.kind.kind)
        .ok_or_else(|| Status::internal(format!("no schema for {}", call.kind.kind)))
}

/// Applies a patch that is not server-side apply to `target`.
pub(super) struct Patch {
    form: Form,
    value: Value,
    mode: FieldValidation,
}

impl Patch {
    /// Reads a patch from the request.
    pub(super) async fn read(call: &Call<'_>, body: Body) -> Result<Self, Status> {
        let form = Form::of(call.content_type.as_deref())?;
        let mode = call.field_validation();
        let bytes = crate::body::read(body).await?;
        let (value, duplicates) = match form {
            Form::Apply => apimachinery::codec::yaml::decode(&bytes)?,
            _ => apimachinery::codec::json::decode(&bytes)?,
        };
        match mode {
            FieldValidation::Strict if !duplicates.is_empty() => {
                let list = Duplicate::complaints(&duplicates);
                let what = match form {
                    Form::Apply => "error strict decoding YAML: error converting YAML to JSON",
                    _ => "strict decoding error",
                };
                return Err(Status::bad_request(format!("{what}: {}", list.join(", "))));
            }
            FieldValidation::Warn => call.warn(duplicates.iter().map(ToString::to_string)),
            _ => {}
        }
        Ok(Self { form, value, mode })
    }

    /// `old` with the patch applied to it.
    pub(super) fn patched(&self, old: &Object, ty: &Type) -> Result<Object, Status> {
        let mut object = old.clone();
        match self.form {
            Form::Json => json_patch(&mut object, &self.value)?,
            Form::Merge => merge_patch(&mut object, &self.value),
            Form::Strategic => object = strategic::merge(object, self.value.clone(), ty)?,
            Form::Apply => {
                return Err(Status::unsupported_media_type(
                    "this path does not take apply patches",
                ));
            }
        }
        // The version that the patch does not mention is not one the client insists on.
        if object.resource_version() == old.resource_version() && !self.names_version() {
            object.set_meta("resourceVersion", Value::Null);
        }
        Ok(object)
    }

    /// The configuration of a server-side apply.
    pub(super) fn configuration(&self) -> &Value {
        &self.value
    }

    fn names_version(&self) -> bool {
        self.form != Form::Json && self.value.get_path(&["metadata", "resourceVersion"]).is_some()
    }
}

pub(super) async fn patch(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let patch = Patch::read(call, body).await?;
    if patch.form == Form::Apply {
        return server_side_apply(call, patch).await;
    }
    let ty = schema(call)?;
    let updated = update::change(call, |old| {
        let mut object = patch.patched(old, ty)?;
        if !object.is_object() {
            return Err(Status::bad_request("the patch does not leave an object"));
        }
        let warnings = decode::check_fields(&mut object, call.expected(), patch.mode, &[])?;
        call.warn(warnings);
        check_identity(call, &object, old)?;
        Ok((object, Ownership::Update))
    })
    .await?;
    call.answer(StatusCode::OK, &updated)
}

/// A patch may not turn an object into another.
fn check_identity(call: &Call<'_>, object: &Object, old: &Object) -> Result<(), Status> {
    if object.name() != old.name() {
        return Err(update::wrong_name(object.name(), &call.info.name));
    }
    for (field, now, was) in [
        ("apiVersion", object.api_version(), old.api_version()),
        ("kind", object.kind(), old.kind()),
    ] {
        if now != was {
            return Err(Status::bad_request(format!(
                "the {field} in the data ({now}) does not match the expected {field} ({was})"
            )));
        }
    }
    Ok(())
}

async fn server_side_apply(call: &Call<'_>, patch: Patch) -> Result<Response<Body>, Status> {
    let manager = &call.manager();
    let ty = schema(call)?;
    let force = call.query.flag("force");
    let mut applied = patch.value;
    if !applied.is_object() {
        return Err(Status::bad_request("error decoding YAML: the body is not an object"));
    }
    for (field, want) in
        [("apiVersion", call.kind.api_version()), ("kind", call.kind.kind.to_owned())]
    {
        let given = applied.str_at(&[field]).to_owned();
        if given.is_empty() {
            return Err(Status::bad_request(format!(
                "Object '{}' is missing in the body",
                capital(field)
            )));
        }
        if given != want {
            return Err(Status::bad_request(format!(
                "Incorrect version specified in apply patch. Specified patch version: {given}, expected: {want}"
            )));
        }
    }
    if applied
        .get_path(&["metadata", "managedFields"])
        .is_some_and(|m| m.as_array().is_some_and(|a| !a.is_empty()))
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    if applied.name().is_empty() {
        applied.set_meta("name", call.info.name.clone().into());
    } else if applied.name() != call.info.name {
        return Err(update::wrong_name(applied.name(), &call.info.name));
    }
    super::meta::place(call, &mut applied)?;
    let (api_version, now) = (call.kind.api_version(), time::now_rfc3339());
    let writer = Writer {
        manager,
        api_version: &api_version,
        subresource: call.subresource(),
        now: &now,
        reset_fields: reset_fields(call),
    };

    loop {
        if call.server.entry(call.kind, &call.info.namespace, &call.info.name).is_none() {
            if call.sub.is_some() {
                return Err(call.not_found());
            }
            if !applied.uid().is_empty() {
                return Err(Status::conflict(
                    call.kind.group,
                    call.kind.resource,
                    &call.info.name,
                    format!(
                        "uid mismatch: the provided object specified uid {}, and no existing object was found",
                        applied.uid()
                    ),
                ));
            }
            let object = merged(call, apply::apply(ty, None, &applied, &writer, force)?)?;
            match create_object(call, object, Ownership::Recorded).await {
                Ok(created) => return call.answer(StatusCode::CREATED, &created),
                // Somebody created it meanwhile: apply onto that.
                Err(status) if status.is("AlreadyExists") => continue,
                Err(status) => return Err(status),
            }
        }
        let updated = update::change(call, |old| {
            let mut object = merged(call, apply::apply(ty, Some(old), &applied, &writer, force)?)?;
            if applied.resource_version().is_empty() {
                object.set_meta("resourceVersion", Value::Null);
            }
            Ok((object, Ownership::Recorded))
        })
        .await?;
        return call.answer(StatusCode::OK, &updated);
    }
}

/// The outcome of an apply as an object is kept. Until then zeros and nulls count: who applies an
/// empty value owns it, although it does not show.
fn merged(call: &Call<'_>, mut object: Object) -> Result<Object, Status> {
    decode::check_fields(&mut object, call.expected(), FieldValidation::Ignore, &[])?;
    Ok(object)
}

fn capital(field: &str) -> &str {
    if field == "kind" { "Kind" } else { "apiVersion" }
}

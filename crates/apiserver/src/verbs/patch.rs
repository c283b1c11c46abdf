//! PATCH: JSON patch, merge patch, strategic merge patch and server-side apply.

use std::sync::Arc;

use apimachinery::apply::{self, Writer};
use apimachinery::codec::Duplicate;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::patch::{json_patch, merge_patch, shown_patched, strategic};
use apimachinery::schema::Type;
use apimachinery::validate::{self, FieldValidation};
use apimachinery::{Object, ObjectExt, Status, text, time};
use http::{Response, StatusCode};
use serde_json::Value;

use super::create::{Ownership, create_object, reset_fields};
use super::{Call, update};
use crate::body::Body;
use crate::registry::{Custom, Sub};

/// The patch formats, by media type.
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
            _ => Err(Status {
                details: Some(Box::default()),
                ..Status::unsupported_media_type("415: Unsupported Media Type")
            }),
        }
    }
}

fn schema<'a>(call: &'a Call<'_>) -> Result<&'a Arc<Type>, Status> {
    call.kind.schema().ok_or_else(|| Status::internal(format!("no schema for {}", call.kind.kind)))
}

/// The definition of the objects that are patched, if they are custom resources.
fn custom<'a>(call: &'a Call<'_>) -> Option<&'a Custom> {
    call.kind.custom.as_deref().filter(|_| call.sub != Some(Sub::Scale))
}

/// A patch that is not server-side apply.
pub(super) struct Patch {
    form: Form,
    value: Value,
    mode: FieldValidation,
    /// Errors about fields that the patch repeats.
    duplicates: Vec<String>,
}

impl Patch {
    /// Reads a patch from the request.
    pub(super) async fn read(call: &Call<'_>, body: Body) -> Result<Self, Status> {
        let form = Form::of(call.content_type.as_deref())?;
        if form == Form::Strategic && call.kind.custom.is_some() {
            return Err(Status::unsupported_media_type(UNSTRATEGIC));
        }
        let mode = call.field_validation();
        let bytes = crate::body::read(body).await?;
        let (value, duplicates) = match form {
            Form::Apply => apimachinery::codec::yaml::decode(&bytes).map_err(undecoded)?,
            _ => apimachinery::codec::json::decode(&bytes)?,
        };
        if form == Form::Apply {
            match mode {
                FieldValidation::Strict if !duplicates.is_empty() => {
                    let list = Duplicate::complaints(&duplicates).join(", ");
                    let what = "error strict decoding patch: error converting YAML to JSON";
                    return Err(Status::bad_request(format!("{what}: {list}")));
                }
                FieldValidation::Warn => call.warn(duplicates.iter().map(ToString::to_string)),
                _ => {}
            }
        }
        call.audit.requests_as_it_is(&value);
        let prefix = if form == Form::Json { "json patch " } else { "" };
        let duplicates = duplicates.iter().map(|found| format!("{prefix}{found}")).collect();
        Ok(Self { form, value, mode, duplicates })
    }

    /// Applies the patch to `old` and checks the result against its type. A version that the patch
    /// does not mention is no precondition.
    pub(super) fn onto(&self, call: &Call<'_>, old: &Object, ty: &Type) -> Result<Object, Status> {
        let mut object = self.patched(old, ty)?;
        let unknown = match (self.form, custom(call)) {
            (_, Some(custom)) => Ok(custom.schema().prune(&mut object)),
            (Form::Strategic, None) => validate::unknown_fields_converted(ty, &mut object),
            _ => validate::unknown_fields(ty, &mut object),
        };
        let unknown = unknown.map_err(|why| self.refuse(old, ty, &why.to_string()))?;
        let found: Vec<String> = self.duplicates.iter().cloned().chain(unknown).collect();
        match self.mode {
            FieldValidation::Strict if !found.is_empty() => {
                let why = format!("strict decoding error: {}", found.join(", "));
                return Err(self.refuse(old, ty, &why));
            }
            FieldValidation::Warn => call.warn(found),
            _ => {}
        }
        if object.resource_version() == old.resource_version() && !self.names_version() {
            object.set_meta("resourceVersion", Value::Null);
        } else if object.resource_version().is_empty() && !call.kind.policy().unconditional_update()
        {
            return Err(update::without_version(call));
        }
        Ok(object)
    }

    /// The error for a result that does not fit its type: upstream shows the result, or the patch
    /// if the result was never encoded.
    fn refuse(&self, old: &Object, ty: &Type, why: &str) -> Status {
        let (shown, why) = match (self.form, self.patched(old, ty)) {
            (Form::Strategic, _) => (text::go_value(&self.value), why.to_owned()),
            (_, Ok(patched)) => (shown_patched(ty, old, &patched), why.to_owned()),
            (_, Err(status)) => return status,
        };
        let error = FieldError::invalid(&Path::new("patch"), shown, why);
        Status::invalid("", "", "", ErrorList(vec![error]))
    }

    fn patched(&self, old: &Object, ty: &Type) -> Result<Object, Status> {
        let mut object = old.clone();
        match self.form {
            Form::Json => json_patch(&mut object, &self.value)?,
            Form::Merge if !self.value.is_object() => {
                return Err(Status::bad_request(format!(
                    "error decoding patch: json: cannot unmarshal {} into {GO_MAP}",
                    text::json_type(&self.value)
                )));
            }
            Form::Merge => merge_patch(&mut object, &self.value),
            Form::Strategic => object = strategic::merge(object, self.value.clone(), ty)?,
            Form::Apply => {
                return Err(Status::unsupported_media_type(
                    "this path does not take apply patches",
                ));
            }
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
        let object = patch.onto(call, old, ty)?;
        check_identity(call, &object, old)?;
        Ok((object, Ownership::Update))
    })
    .await?;
    call.answer_written(StatusCode::OK, &updated)
}

/// A patch may not change the identity of an object.
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
    check_configuration(&applied, &call.kind.api_version(), call.kind.kind)?;
    if applied
        .get_path(&["metadata", "managedFields"])
        .is_some_and(|m| m.as_array().is_some_and(|a| !a.is_empty()))
    {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let named = applied.get_path(&["metadata", "name"]).is_some();
    if named && applied.name() != call.info.name {
        return Err(update::wrong_name(applied.name(), &call.info.name));
    }
    if !named {
        applied.set_meta("name", call.info.name.clone().into());
    }
    let (api_version, now) = (call.kind.api_version(), time::now_rfc3339());
    let writer = Writer {
        manager,
        api_version: &api_version,
        subresource: call.subresource(),
        now: &now,
        reset_fields: reset_fields(call),
    };

    loop {
        if call.server.entry(&call.kind, &call.info.namespace, &call.info.name).is_none() {
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
            let object = apply::apply(ty, None, &applied, &writer, force)?;
            let object = merged(call, ty, object, &applied)?;
            match create_object(call, object, Ownership::Recorded).await {
                Ok(created) => return call.answer_written(StatusCode::CREATED, &created),
                // Another request created it meanwhile: apply to that object.
                Err(status) if status.is("AlreadyExists") => continue,
                Err(status) => return Err(status),
            }
        }
        let updated = update::change(call, |old| {
            let object = apply::apply(ty, Some(old), &applied, &writer, force)?;
            let mut object = merged(call, ty, object, &applied)?;
            if applied.resource_version().is_empty() {
                object.set_meta("resourceVersion", Value::Null);
            }
            Ok((object, Ownership::Recorded))
        })
        .await?;
        return call.answer_written(StatusCode::OK, &updated);
    }
}

/// Converts the outcome of an apply to the stored form. Zeros and nulls matter until then: an
/// applied empty value is owned, although it is not visible.
pub(super) fn merged(
    call: &Call<'_>,
    ty: &Type,
    mut object: Object,
    applied: &Object,
) -> Result<Object, Status> {
    if let Some(custom) = custom(call) {
        custom.schema().prune(&mut object);
        return Ok(object);
    }
    validate::unknown_fields_converted(ty, &mut object).map_err(|why| {
        let kind = apply::shown_kind(applied.api_version(), applied.kind());
        let message = format!(
            "failed to convert new object ({}) to proper version: unable to convert unstructured \
             object to {kind}: {}",
            apply::shown_object(applied),
            why
        );
        Status::generic(500, "", message)
    })?;
    Ok(object)
}

/// Checks that the configuration is an object of this kind.
pub(super) fn check_configuration(
    applied: &Value,
    api_version: &str,
    kind: &str,
) -> Result<(), Status> {
    if !applied.is_object() && !applied.is_null() {
        return Err(Status::bad_request(format!(
            "error decoding patch: error unmarshaling JSON: while decoding JSON: json: cannot \
             unmarshal {} into {GO_MAP}",
            text::json_type(applied)
        )));
    }
    if (applied.api_version(), applied.kind()) != (api_version, kind) {
        let given = apply::shown_kind(applied.api_version(), applied.kind());
        return Err(Status::bad_request(format!("invalid object type: {given}")));
    }
    Ok(())
}

/// The answer to a strategic merge patch of a custom resource.
const UNSTRATEGIC: &str = "the body of the request was in an unknown format - accepted media types \
    include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
const GO_MAP: &str = "Go value of type map[string]interface {}";

fn undecoded(status: Status) -> Status {
    let message = format!("error decoding patch: {}", status.message);
    status.with_message(message)
}

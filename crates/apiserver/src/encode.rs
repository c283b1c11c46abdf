//! Encodes objects as answers: entries share their bytes; other forms are built on demand.

use std::borrow::Cow;
use std::sync::Arc;

use apimachinery::codec::{protobuf, yaml};
use apimachinery::schema::{Registry, Type};
use apimachinery::{Object, ObjectExt, Status};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::audit::Said;
use crate::body::{self, Body};
use crate::cache::Entry;
use crate::negotiate::{Accepted, Encoding, Form};
use crate::registry::{Kind, column_definitions};

/// The part of each object that a table includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    Metadata,
    Object,
}

impl Include {
    /// `?includeObject=`.
    pub(crate) fn parse(parameter: Option<&str>) -> Result<Self, Status> {
        match parameter {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {}: must \
                 be 'Metadata', 'Object', 'None', or empty",
                apimachinery::text::quote(other)
            ))),
        }
    }
}

/// Converts the object of an entry to this kind's version.
pub(crate) fn view(kind: &Kind, entry: &Entry) -> Object {
    let mut object = entry.object();
    kind.read(&mut object);
    object
}

/// An entry's bytes in an encoding.
pub(crate) fn entry_bytes(kind: &Kind, entry: &Entry, encoding: Encoding) -> Result<Bytes, Status> {
    match encoding {
        Encoding::Json if kind.shows(&entry.bytes) => Ok(entry.bytes.clone()),
        Encoding::Protobuf if kind.shows(&entry.bytes) => match protobuf_type(kind) {
            Some(ty) => {
                let raw = entry.raw_protobuf(ty);
                Ok(protobuf::envelope(&kind.api_version(), kind.kind, raw).into())
            }
            None => value_bytes(&entry.object(), encoding),
        },
        _ => value_bytes(&view(kind, entry), encoding),
    }
}

fn protobuf_type(kind: &Kind) -> Option<&'static Type> {
    Registry::builtin().lookup(kind.group, kind.version, kind.kind).map(Arc::as_ref)
}

/// An entry's protobuf without envelope, as in lists.
pub(crate) fn raw_protobuf(kind: &Kind, entry: &Entry) -> Result<Bytes, Status> {
    let ty = protobuf_type(kind)
        .ok_or_else(|| Status::internal(format!("no schema for {}", kind.kind)))?;
    Ok(match kind.conversion {
        None => entry.raw_protobuf(ty).clone(),
        Some(_) => protobuf::encode_raw(ty, &view(kind, entry)).into(),
    })
}

/// A value's bytes in an encoding.
pub(crate) fn value_bytes(value: &Value, encoding: Encoding) -> Result<Bytes, Status> {
    Ok(match encoding {
        // As bytes: formatting would scan each string twice.
        Encoding::Json => Bytes::from(serde_json::to_vec(value).map_err(Status::internal)?),
        Encoding::Yaml => Bytes::from(yaml::encode(value)?),
        Encoding::Protobuf => match meta_form(value) {
            Some((api_version, kind, ty)) => {
                protobuf::envelope(api_version, kind, &protobuf::encode_raw(ty, value)).into()
            }
            None => Bytes::from(protobuf::encode(value)?),
        },
    })
}

/// The type of a partial object or list, which is the same in the older version.
fn meta_form(value: &Value) -> Option<(&str, &str, &'static Type)> {
    let (api_version, kind) = (value.api_version(), value.kind());
    let (group, _) = api_version.split_once('/').filter(|(group, _)| *group == "meta.k8s.io")?;
    let ty = Registry::builtin().lookup(group, "v1", kind)?;
    Some((api_version, kind, ty))
}

/// An answer with a body.
pub(crate) fn respond(code: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A value as an answer.
pub(crate) fn value(
    code: StatusCode,
    value: &Value,
    encoding: Encoding,
) -> Result<Response<Body>, Status> {
    let bytes = value_bytes(value, encoding)?;
    let mut response = respond(code, encoding.media_type(), body::full(bytes));
    if value.kind() == "Status" {
        response.extensions_mut().insert(Said(value.clone()));
    }
    Ok(response)
}

/// The success of an operation that creates no object to return.
pub(crate) fn created(encoding: Encoding) -> Result<Response<Body>, Status> {
    let status = Status { code: 201, ..Status::success() };
    value(StatusCode::CREATED, &status.to_value(), encoding)
}

/// An error as an answer, in the best encoding that the client accepts.
pub(crate) fn error(status: &Status, encoding: Encoding) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let object = status.to_value();
    let mut response = match value_bytes(&object, encoding) {
        Ok(bytes) => respond(code, encoding.media_type(), body::full(bytes)),
        Err(_) => respond(code, crate::negotiate::JSON, body::full(object.to_string())),
    };
    response.extensions_mut().insert(Said(object));
    let retry = status.details.as_ref().map(|d| d.retry_after_seconds);
    if let Some(seconds) = retry.filter(|s| *s > 0) {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// One object in the requested form.
pub(crate) fn object(
    code: StatusCode,
    kind: &Kind,
    object: &Object,
    accepted: Accepted,
    include: Include,
) -> Result<Response<Body>, Status> {
    let version = accepted.meta_version();
    match accepted.form {
        Form::Object => value(code, object, accepted.encoding),
        Form::Partial => {
            value(code, &partial(&as_stored(kind, object), version), accepted.encoding)
        }
        Form::PartialList => Err(wrong_form("PartialObjectMetadataList", "not a list", kind, "")),
        Form::Table => {
            let rows = vec![row(kind, object, include, version)];
            let metadata = json!({"resourceVersion": object.resource_version()});
            value(code, &table(kind, rows, metadata, true, version), accepted.encoding)
        }
    }
}

/// 406: the result is not available in this form; upstream names its own types in the message.
pub(crate) fn wrong_form(form: &str, is: &str, kind: &Kind, suffix: &str) -> Status {
    if kind.custom.is_some() {
        let of = if suffix.is_empty() { "Unstructured" } else { "UnstructuredList" };
        return Status::not_acceptable(format!(
            "you requested {form}, but the requested object is {is} (*unstructured.{of})"
        ));
    }
    let package = match kind.group.split('.').next() {
        None | Some("" | "events") => "core",
        Some(first) => first,
    };
    Status::not_acceptable(format!(
        "you requested {form}, but the requested object is {is} (*{package}.{}{suffix})",
        kind.kind
    ))
}

/// Type and metadata only; `version` is that of the form.
pub(crate) fn partial(object: &Object, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": version,
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// A table of rows.
pub(crate) fn table(
    kind: &Kind,
    rows: Vec<Value>,
    metadata: Value,
    headers: bool,
    version: &str,
) -> Value {
    let columns = if headers { column_definitions(kind).into() } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": version,
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

/// One object's row.
pub(crate) fn row(kind: &Kind, object: &Object, include: Include, version: &str) -> Value {
    let stored = as_stored(kind, object);
    let of = kind.stored().unwrap_or(kind);
    let cells = of.cells(&stored);
    let carried = match include {
        Include::None => Value::Null,
        Include::Metadata => partial(&stored, version),
        Include::Object => object.clone(),
    };
    let mut row = json!({"cells": cells, "object": carried});
    if let Some(conditions) = (of.row_conditions)(&stored) {
        row["conditions"] = conditions;
    }
    row
}

/// The object in its stored version, from which forms other than the kind's own are built.
fn as_stored<'a>(kind: &Kind, object: &'a Object) -> Cow<'a, Object> {
    let Some(conversion) = kind.conversion else { return Cow::Borrowed(object) };
    let mut object = object.clone();
    (conversion.to_stored)(&mut object);
    Cow::Owned(object)
}

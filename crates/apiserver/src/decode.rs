//! From body bytes to an object of the expected kind.

use apimachinery::codec::{Duplicate, json, protobuf, yaml};
use apimachinery::schema::Registry;
use apimachinery::validate::{self, FieldValidation};
use apimachinery::{Object, ObjectExt, Status};

use crate::negotiate::Encoding;
use crate::registry::api_version;

/// Group, version and kind that a body must be of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
}

/// Decodes `bytes`, checks its fields against the schema and gives the warnings.
pub(crate) fn object(
    bytes: &[u8],
    encoding: Encoding,
    expected: Expected<'_>,
    mode: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    let (mut object, duplicates) = match encoding {
        Encoding::Json => json::decode(bytes)?,
        Encoding::Yaml => yaml::decode(bytes)?,
        Encoding::Protobuf => (protobuf::decode(bytes)?, Vec::new()),
    };
    check_kind(&mut object, expected)?;
    let warnings = check_fields(&mut object, expected, mode, &duplicates)?;
    Ok((object, warnings))
}

/// Checks the fields of an object that was put together from a patch.
pub(crate) fn check_fields(
    object: &mut Object,
    expected: Expected<'_>,
    mode: FieldValidation,
    duplicates: &[Duplicate],
) -> Result<Vec<String>, Status> {
    let schema = Registry::builtin()
        .lookup(expected.group, expected.version, expected.kind)
        .ok_or_else(|| Status::internal(format!("no schema for {}", expected.kind)))?;
    validate::check(schema, object, mode, duplicates)
}

/// `apiVersion` and `kind` may be left out, but must not contradict the path.
fn check_kind(object: &mut Object, expected: Expected<'_>) -> Result<(), Status> {
    let wanted = api_version(expected.group, expected.version);
    if !object.is_object() {
        return Err(Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): couldn't get version/kind; \
             json parse error: the body is not an object",
            expected.kind
        )));
    }
    let (given_version, given_kind) = (object.api_version(), object.kind());
    if !given_version.is_empty() && given_version != wanted {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({wanted})"
        )));
    }
    if !given_kind.is_empty() && given_kind != expected.kind {
        return Err(Status::bad_request(format!(
            "{given_kind} in version {} cannot be handled as a {}: the kind in the data does not match the expected kind",
            apimachinery::text::quote(expected.version),
            expected.kind
        )));
    }
    object["apiVersion"] = wanted.into();
    object["kind"] = expected.kind.into();
    Ok(())
}

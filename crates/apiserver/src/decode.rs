//! Decodes request bodies into objects of the expected kind.

use apimachinery::codec::{Duplicate, json, protobuf, yaml};
use apimachinery::schema::Registry;
use apimachinery::text::{json_type, quote};
use apimachinery::validate::{self, FieldValidation};
use apimachinery::{Object, ObjectExt, Status};

use crate::negotiate::Encoding;
use crate::registry::{Custom, api_version};

/// The group, version and kind that a body must have.
#[derive(Clone, Copy)]
pub(crate) struct Expected<'a> {
    pub(crate) group: &'a str,
    pub(crate) version: &'a str,
    pub(crate) kind: &'a str,
    /// Set for custom kinds.
    pub(crate) custom: Option<&'a Custom>,
}

impl Expected<'static> {
    /// A kind of the table.
    pub(crate) const fn builtin(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
    ) -> Self {
        Self { group, version, kind, custom: None }
    }
}

/// Decodes `bytes`, checks its fields against the schema and returns the warnings.
pub(crate) fn object(
    bytes: &[u8],
    encoding: Encoding,
    expected: Expected<'_>,
    mode: FieldValidation,
) -> Result<(Object, Vec<String>), Status> {
    let unreadable = |why: &str| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({})",
            expected.kind,
            summary(bytes)
        ))
    };
    let unparsed =
        |why: &str| unreadable(&format!("couldn't get version/kind; json parse error: {why}"));
    let (mut object, duplicates) = match encoding {
        Encoding::Json => json::decode_object(bytes).map_err(|why| unparsed(&why.message))?,
        Encoding::Yaml => yaml::decode(bytes).map_err(|why| {
            unreadable(why.message.trim_start_matches("error converting YAML to JSON: "))
        })?,
        Encoding::Protobuf if bytes.is_empty() => return Err(unreadable("empty data")),
        Encoding::Protobuf if bytes == protobuf::MAGIC => return Err(unreadable("empty body")),
        Encoding::Protobuf if !bytes.starts_with(protobuf::MAGIC) => {
            let why = protobuf::decode(bytes).err().map(|why| why.message).unwrap_or_default();
            return Err(unreadable(&why));
        }
        Encoding::Protobuf => (protobuf::decode(bytes)?, Vec::new()),
    };
    if object.is_null() {
        object = serde_json::json!({});
    }
    if !object.is_object() {
        return Err(unparsed(&format!(
            "json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \
             \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            json_type(&object)
        )));
    }
    if object.api_version().matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {}", object.api_version());
        return Err(unreadable(&why));
    }
    check_kind(&mut object, expected)?;
    let json = (encoding == Encoding::Json).then_some(bytes);
    let warnings = check_fields(&mut object, expected, mode, &duplicates, json)?;
    Ok((object, warnings))
}

/// Checks the fields of an object; the document is given if it was read from JSON.
pub(crate) fn check_fields(
    object: &mut Object,
    expected: Expected<'_>,
    mode: FieldValidation,
    duplicates: &[Duplicate],
    json: Option<&[u8]>,
) -> Result<Vec<String>, Status> {
    if let Some(custom) = expected.custom {
        return check_custom(object, custom, expected, mode, duplicates);
    }
    let schema = Registry::builtin()
        .lookup(expected.group, expected.version, expected.kind)
        .ok_or_else(|| Status::internal(format!("no schema for {}", expected.kind)))?;
    validate::check(schema, object, mode, duplicates, json)
}

/// The same for a custom resource, whose values are only validated later.
fn check_custom(
    object: &mut Object,
    custom: &Custom,
    expected: Expected<'_>,
    mode: FieldValidation,
    duplicates: &[Duplicate],
) -> Result<Vec<String>, Status> {
    let unknown = custom.schema().decode(object);
    let unknown = unknown.map_err(|why| Status::bad_request(why.to_string()))?;
    let mut found: Vec<String> = duplicates.iter().map(ToString::to_string).collect();
    found.extend(unknown);
    match mode {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(found),
        FieldValidation::Strict if found.is_empty() => Ok(found),
        FieldValidation::Strict => Err(Status::bad_request(format!(
            "{kind} in version {} cannot be handled as a {kind}: strict decoding error: {}",
            quote(expected.version),
            found.join(", "),
            kind = expected.kind,
        ))),
    }
}

/// The first bytes of a body, as upstream prints them.
fn summary(bytes: &[u8]) -> String {
    const MAX: usize = 30;
    let first = &bytes[..bytes.len().min(MAX)];
    let more = if bytes.len() > MAX { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(first)),
        Some(_) => {
            let hex = hex::encode(first);
            format!("{hex}{more}")
        }
    }
}

/// `apiVersion` and `kind` may be omitted, but must not contradict the path.
fn check_kind(object: &mut Object, expected: Expected<'_>) -> Result<(), Status> {
    let wanted = api_version(expected.group, expected.version);
    let or = |given: &str, wanted: &str| {
        if given.is_empty() { wanted.to_owned() } else { given.to_owned() }
    };
    let given = or(object.api_version(), &wanted);
    let kind = or(object.kind(), expected.kind);
    if (given.as_str(), kind.as_str()) != (wanted.as_str(), expected.kind) {
        let (group, version) = given.split_once('/').unwrap_or(("", &given));
        // Go names a type after its package: for the version, and for the group.
        let package = |group: &str| match group.split('.').next().unwrap_or_default() {
            "" => "core".to_owned(),
            first => first.to_owned(),
        };
        let why = match Registry::builtin().lookup(group, version, &kind) {
            Some(_) => format!(
                "converting ({version}.{kind}) to ({}.{}): unknown conversion",
                package(expected.group),
                expected.kind
            ),
            None => format!(
                "no kind {} is registered for version {} in scheme \"pkg/runtime/scheme.go:111\"",
                quote(&kind),
                quote(&given)
            ),
        };
        return Err(Status::bad_request(format!(
            "{kind} in version {} cannot be handled as a {}: {why}",
            quote(version),
            expected.kind
        )));
    }
    object["apiVersion"] = wanted.into();
    object["kind"] = expected.kind.into();
    Ok(())
}

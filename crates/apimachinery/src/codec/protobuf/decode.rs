//! Protobuf to JSON.
//!
//! Go writes fields that are no pointers even when they are zero, and leaves them out of JSON
//! when they are marked `omitempty`. Decoding follows: zero survives in pointers and in fields
//! that JSON always shows, and is dropped as noise elsewhere.

use super::MAGIC;
use super::wire::{Fields, Payload, WireError, read_varint};
use crate::codec::json;
use crate::schema::{
    Alternative, Field, Layout, ListShape, Registry, Shape, Slot, Type, is_time_by_value,
};
use crate::text::quote;
use crate::time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// Only JSON schemas nest to arbitrary depth.
const MAX_DEPTH: usize = 200;

type Result<T> = std::result::Result<T, WireError>;

pub(super) fn enveloped(bytes: &[u8], depth: usize) -> Result<Value> {
    let body = bytes.strip_prefix(MAGIC).ok_or(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
    )?;
    let (mut api_version, mut kind, mut raw) = ("", "", &b""[..]);
    for field in Fields(body) {
        match field? {
            (1, payload) => {
                for field in Fields(payload.bytes()?) {
                    match field? {
                        (1, payload) => api_version = payload.text()?,
                        (2, payload) => kind = payload.text()?,
                        _ => {}
                    }
                }
            }
            (2, payload) => raw = payload.bytes()?,
            (3, payload) if !payload.bytes()?.is_empty() => {
                return Err("unsupported content encoding of protobuf message".into());
            }
            _ => {}
        }
    }
    let ty = Registry::builtin().lookup_api_version(api_version, kind).ok_or_else(|| {
        let (kind, version) = (quote(kind), quote(api_version));
        WireError(format!("no kind {kind} is registered for version {version}"))
    })?;
    let mut value = self::raw(ty, raw, depth)?;
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".into(), api_version.into());
        map.insert("kind".into(), kind.into());
    }
    Ok(value)
}

pub(super) fn raw(ty: &Type, bytes: &[u8], depth: usize) -> Result<Value> {
    let mut map = Map::new();
    message(ty, ty.layout(), bytes, &mut map, depth)?;
    Ok(Value::Object(map))
}

/// Decodes into `map`: protobuf merges repeated occurrences of a message.
fn message(
    ty: &Type,
    layout: &Layout,
    bytes: &[u8],
    map: &mut Map<String, Value>,
    depth: usize,
) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err("exceeded max depth".into());
    }
    for field in Fields(bytes) {
        let (number, payload) = field?;
        match layout.slot(number) {
            None => {}
            Some(Slot::Flattened(inner)) => message(ty, inner, payload.bytes()?, map, depth + 1)?,
            Some(Slot::Field(index)) => {
                let field = &ty.fields[*index];
                let before = map.remove(&field.name);
                let value = merge(&field.shape, before, payload, depth)?;
                let value = value.filter(|value| keeps(field, value));
                if let Some(value) =
                    value.or_else(|| is_time_by_value(field).then_some(Value::Null))
                {
                    map.insert(field.name.clone(), value);
                }
            }
        }
    }
    Ok(())
}

fn keeps(field: &Field, value: &Value) -> bool {
    field.pointer
        || !field.omit_empty
        || match value {
            // Empty bytes appear here as a string.
            Value::String(s) => !s.is_empty(),
            Value::Bool(b) => *b,
            Value::Number(n) => n.as_f64() != Some(0.0),
            _ => true,
        }
}

/// Adds one occurrence of a field to what came before it.
fn merge(
    shape: &Shape,
    before: Option<Value>,
    payload: Payload<'_>,
    depth: usize,
) -> Result<Option<Value>> {
    Ok(Some(match shape {
        Shape::List(list) => {
            let mut items = match before {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            if list.wrapped {
                for field in Fields(payload.bytes()?) {
                    if let (1, payload) = field? {
                        append(list, payload, &mut items, depth)?;
                    }
                }
            } else {
                append(list, payload, &mut items, depth)?;
            }
            Value::Array(items)
        }
        Shape::Map(map) => {
            let mut entries = match before {
                Some(Value::Object(entries)) => entries,
                _ => Map::new(),
            };
            let (mut key, mut value) = ("", None);
            for field in Fields(payload.bytes()?) {
                match field? {
                    (1, payload) => key = payload.text()?,
                    (2, payload) => value = merge(&map.value, value, payload, depth + 1)?,
                    _ => {}
                }
            }
            entries.insert(key.to_owned(), value.unwrap_or_else(|| zero(&map.value)));
            Value::Object(entries)
        }
        Shape::Object(ty) => {
            let mut map = match before {
                Some(Value::Object(map)) => map,
                _ => Map::new(),
            };
            message(ty, ty.layout(), payload.bytes()?, &mut map, depth + 1)?;
            Value::Object(map)
        }
        _ => return single(shape, payload, depth),
    }))
}

/// Appends one item, or the run of items of a packed field.
fn append(
    list: &ListShape,
    payload: Payload<'_>,
    items: &mut Vec<Value>,
    depth: usize,
) -> Result<()> {
    let numeric = matches!(list.item, Shape::Int32 | Shape::Int64 | Shape::Bool);
    if let (true, Payload::Bytes(mut packed)) = (numeric, payload) {
        while !packed.is_empty() {
            let item = Payload::Varint(read_varint(&mut packed)?);
            items.extend(single(&list.item, item, depth)?);
        }
        return Ok(());
    }
    let item = merge(&list.item, None, payload, depth + 1)?;
    items.push(item.unwrap_or_else(|| zero(&list.item)));
    Ok(())
}

/// The value in a list or map for an element that was not written.
fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::String | Shape::Bytes => "".into(),
        Shape::Bool => false.into(),
        Shape::Int32 | Shape::Int64 | Shape::IntOrString => 0.into(),
        Shape::Double => 0.0.into(),
        Shape::Quantity => "0".into(),
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Map(_) | Shape::Object(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

/// Decodes a value that does not accumulate; `None` if JSON shows it as null.
fn single(shape: &Shape, payload: Payload<'_>, depth: usize) -> Result<Option<Value>> {
    Ok(Some(match shape {
        Shape::String => payload.text()?.into(),
        Shape::Bool => (payload.varint()? != 0).into(),
        // Go keeps the low bits, as protobuf asks.
        Shape::Int32 => (payload.varint()? as i32).into(),
        Shape::Int64 => (payload.varint()? as i64).into(),
        Shape::Double => match payload {
            Payload::Fixed64(bits) => f64::from_bits(bits).into(),
            _ => return Err("proto: wrong wireType for double field".into()),
        },
        Shape::Bytes => STANDARD.encode(payload.bytes()?).into(),
        Shape::Time | Shape::MicroTime => return timestamp(shape, payload.bytes()?),
        Shape::Duration => {
            let nanos = numbers(payload.bytes()?)?[1];
            time::format_duration(nanos).into()
        }
        Shape::Quantity => match text(payload.bytes()?, 1)? {
            "" => return Ok(None),
            text => text.into(),
        },
        Shape::IntOrString => {
            let bytes = payload.bytes()?;
            let numbers = numbers(bytes)?;
            if numbers[1] == 1 { text(bytes, 3)?.into() } else { (numbers[2] as i32).into() }
        }
        Shape::Any | Shape::RawExtension | Shape::FieldsV1 => {
            return embedded(payload.bytes()?, depth);
        }
        Shape::SchemaOr(alternative, schema) => {
            return schema_or(*alternative, schema, payload.bytes()?, depth + 1);
        }
        Shape::List(_) | Shape::Map(_) | Shape::Object(_) => {
            return merge(shape, None, payload, depth);
        }
    }))
}

fn timestamp(shape: &Shape, bytes: &[u8]) -> Result<Option<Value>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let [_, seconds, nanos] = numbers(bytes)?;
    let nanos = i32::try_from(nanos).map_err(|_| "nanoseconds out of range")?;
    let t = Timestamp::new(seconds, nanos).map_err(|_| "timestamp out of range")?;
    Ok(Some(match shape {
        Shape::Time => time::rfc3339(t).into(),
        _ => time::micro(t).into(),
    }))
}

/// The integer fields 1 and 2, at these indexes.
fn numbers(bytes: &[u8]) -> Result<[i64; 3]> {
    let mut found = [0; 3];
    for field in Fields(bytes) {
        if let (number @ 1..=2, Payload::Varint(v)) = field? {
            found[number as usize] = v as i64;
        }
    }
    Ok(found)
}

/// A text field.
fn text(bytes: &[u8], wanted: u32) -> Result<&str> {
    let mut found = "";
    for field in Fields(bytes) {
        let (number, payload) = field?;
        if number == wanted {
            found = payload.text()?;
        }
    }
    Ok(found)
}

/// JSON, or an enveloped object, inside a message's field 1.
fn embedded(bytes: &[u8], depth: usize) -> Result<Option<Value>> {
    let mut raw = &b""[..];
    for field in Fields(bytes) {
        if let (1, payload) = field? {
            raw = payload.bytes()?;
        }
    }
    if raw.is_empty() {
        return Ok(None);
    }
    if raw.starts_with(MAGIC) {
        if depth > MAX_DEPTH {
            return Err("exceeded max depth".into());
        }
        return enveloped(raw, depth + 1).map(Some);
    }
    let (value, _) = json::decode(raw).map_err(|e| WireError(e.message))?;
    Ok(Some(value).filter(|v| !v.is_null()))
}

fn schema_or(
    alternative: Alternative,
    schema: &Type,
    bytes: &[u8],
    depth: usize,
) -> Result<Option<Value>> {
    let (mut one, mut many, mut allows) = (None, Vec::new(), false);
    for field in Fields(bytes) {
        match (alternative, field?) {
            (Alternative::Bool, (1, payload)) => allows = payload.varint()? != 0,
            (Alternative::Bool, (2, payload))
            | (Alternative::Array | Alternative::Strings, (1, payload)) => {
                one = Some(raw(schema, payload.bytes()?, depth)?);
            }
            (Alternative::Array, (2, payload)) => many.push(raw(schema, payload.bytes()?, depth)?),
            (Alternative::Strings, (2, payload)) => many.push(payload.text()?.into()),
            _ => {}
        }
    }
    Ok(Some(match (one, alternative) {
        (Some(schema), _) => schema,
        (None, Alternative::Bool) => allows.into(),
        (None, _) if many.is_empty() => return Ok(None),
        (None, _) => Value::Array(many),
    }))
}

//! JSON to protobuf. Values that do not fit the schema are left out: objects are checked before
//! they get here.

use super::wire::Writer;
use crate::schema::{Alternative, Layout, Shape, Slot, Type, is_time_by_value};
use crate::time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

pub(super) fn message(ty: &Type, value: &Value, out: &mut Writer) {
    if let Value::Object(map) = value {
        slots(ty, ty.layout(), map, out);
    }
}

fn slots(ty: &Type, layout: &Layout, map: &Map<String, Value>, out: &mut Writer) {
    for (number, slot) in &layout.0 {
        match slot {
            Slot::Field(index) => {
                let field = &ty.fields[*index];
                match map.get(&field.name) {
                    None => {}
                    Some(Value::Null) if !is_time_by_value(field) => {}
                    Some(value) => encode(&field.shape, *number, value, out),
                }
            }
            Slot::Flattened(inner) => {
                out.message(*number, |out| slots(ty, inner, map, out));
            }
        }
    }
}

fn encode(shape: &Shape, number: u32, value: &Value, out: &mut Writer) {
    match (shape, value) {
        (Shape::String, Value::String(s)) => out.bytes(number, s.as_bytes()),
        (Shape::Bool, Value::Bool(b)) => out.integer(number, i64::from(*b)),
        (Shape::Int32 | Shape::Int64, Value::Number(n)) => {
            if let Some(n) = n.as_i64() {
                out.integer(number, n);
            }
        }
        (Shape::Double, Value::Number(n)) => {
            if let Some(n) = n.as_f64() {
                out.double(number, n);
            }
        }
        (Shape::Bytes, Value::String(s)) => {
            if let Ok(bytes) = STANDARD.decode(s) {
                out.bytes(number, &bytes);
            }
        }
        (Shape::Time | Shape::MicroTime, Value::String(s)) => out.message(number, |out| {
            if let Some(t) = time::parse(s) {
                // Nanoseconds count up from the second; jiff's do not before 1970.
                let nanos = t.as_nanosecond();
                out.integer(1, nanos.div_euclid(1_000_000_000) as i64);
                let fraction = nanos.rem_euclid(1_000_000_000) as i64;
                out.integer(2, if matches!(shape, Shape::Time) { 0 } else { fraction });
            }
        }),
        // In a list or map, the zero time.
        (Shape::Time | Shape::MicroTime, Value::Null) => out.message(number, |_| {}),
        (Shape::Duration, Value::String(s)) => out.message(number, |out| {
            if let Some(nanos) = time::parse_duration(s) {
                out.integer(1, nanos);
            }
        }),
        (Shape::Quantity, Value::String(s)) => {
            out.message(number, |out| out.bytes(1, s.as_bytes()));
        }
        (Shape::Quantity, Value::Number(n)) => {
            out.message(number, |out| out.bytes(1, n.to_string().as_bytes()));
        }
        (Shape::IntOrString, value) => out.message(number, |out| {
            let text = value.as_str();
            out.integer(1, i64::from(text.is_some()));
            out.integer(2, value.as_i64().unwrap_or_default());
            out.bytes(3, text.unwrap_or_default().as_bytes());
        }),
        (Shape::Any | Shape::RawExtension | Shape::FieldsV1, value) => {
            let json = value.to_string();
            out.message(number, |out| out.bytes(1, json.as_bytes()));
        }
        (Shape::SchemaOr(alternative, schema), value) => {
            out.message(number, |out| schema_or(*alternative, schema, value, out));
        }
        (Shape::List(list), Value::Array(items)) if list.wrapped => out.message(number, |out| {
            items.iter().for_each(|item| encode(&list.item, 1, item, out));
        }),
        (Shape::List(list), Value::Array(items)) => {
            items.iter().for_each(|item| encode(&list.item, number, item, out));
        }
        (Shape::Map(map), Value::Object(entries)) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            for (key, value) in entries {
                out.message(number, |out| {
                    out.bytes(1, key.as_bytes());
                    encode(&map.value, 2, value, out);
                });
            }
        }
        (Shape::Object(ty), value) => out.message(number, |out| message(ty, value, out)),
        _ => {}
    }
}

fn schema_or(alternative: Alternative, schema: &Type, value: &Value, out: &mut Writer) {
    match (alternative, value) {
        (Alternative::Bool, Value::Bool(b)) => out.integer(1, i64::from(*b)),
        (Alternative::Bool, value) => {
            out.integer(1, 1);
            out.message(2, |out| message(schema, value, out));
        }
        (Alternative::Array, Value::Array(schemas)) => {
            schemas.iter().for_each(|s| out.message(2, |out| message(schema, s, out)));
        }
        (Alternative::Strings, Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).for_each(|n| out.bytes(2, n.as_bytes()));
        }
        (Alternative::Array | Alternative::Strings, value) => {
            out.message(1, |out| message(schema, value, out));
        }
    }
}

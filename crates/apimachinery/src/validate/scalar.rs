//! Scalars: their types, canonical text and Go names.

use crate::quantity::{Quantity, QuantityError};
use crate::schema::{Shape, Type};
use crate::text::quote;
use crate::time;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use serde_json::Value;

/// The defect of a scalar.
pub(super) enum Bad {
    /// Its JSON type.
    Type,
    /// Its content.
    Content(Content),
}

/// The reason why the content of a scalar is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Content {
    /// Not a quantity.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// Not base64 from this byte on.
    #[error("illegal base64 data at input byte {0}")]
    Base64(usize),
    /// Not a time.
    #[error("{}", time::complaint(text, layout))]
    Time {
        /// The text.
        text: String,
        /// Go's example layout.
        layout: &'static str,
    },
    /// Not a duration.
    #[error("time: invalid duration {}", quote(.0))]
    Duration(String),
}

impl<T: Into<Content>> From<T> for Bad {
    fn from(content: T) -> Self {
        Self::Content(content.into())
    }
}

/// Checks a scalar and brings it into its canonical form.
pub(super) fn check(shape: &Shape, value: &mut Value) -> Result<(), Bad> {
    let ok = match (shape, &*value) {
        (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => true,
        (Shape::Int32, Value::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (Shape::Int64, Value::Number(n)) => n.as_i64().is_some(),
        (Shape::Double, Value::Number(_)) => true,
        (Shape::IntOrString, Value::String(_)) => true,
        (Shape::IntOrString, Value::Number(n)) => {
            n.as_i64().is_some_and(|n| i32::try_from(n).is_ok())
        }
        (Shape::Quantity, Value::String(text)) => {
            let normal = Quantity::normalize(text.trim())?;
            replace(value, normal);
            true
        }
        (Shape::Quantity, Value::Number(n)) => {
            let normal = Quantity::normalize(&n.to_string())?;
            replace(value, normal);
            true
        }
        (Shape::Quantity, Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            // Quantities parse any value themselves.
            return Err(QuantityError::Format.into());
        }
        (Shape::Bytes, Value::String(text)) => {
            let normal = base64(text)?;
            replace(value, normal);
            true
        }
        (Shape::Time | Shape::MicroTime, Value::String(text)) => {
            let t = time::parse(text).ok_or_else(|| bad_time(shape, text))?;
            if matches!(shape, Shape::MicroTime) && !has_micros(text) {
                return Err(bad_time(shape, text).into());
            }
            let normal = match shape {
                Shape::Time => time::rfc3339(t),
                _ => time::micro(t),
            };
            replace(value, normal);
            true
        }
        (Shape::Duration, Value::String(text)) => {
            let nanos = time::parse_duration(text);
            let nanos = nanos.ok_or_else(|| Content::Duration(text.clone()))?;
            replace(value, time::format_duration(nanos));
            true
        }
        _ => false,
    };
    if ok { Ok(()) } else { Err(Bad::Type) }
}

/// Most values are canonical already and are not written again.
fn replace(value: &mut Value, normal: String) {
    if value.as_str() != Some(normal.as_str()) {
        *value = normal.into();
    }
}

/// Like Go's decoder: line breaks and excess bits in the last symbol are ignored.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn base64(text: &str) -> Result<String, Content> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    match LENIENT.decode(&plain) {
        Ok(bytes) => Ok(LENIENT.encode(bytes)),
        Err(_) => Err(Content::Base64(corrupt(text.as_bytes()))),
    }
}

/// The offset at which Go's decoder stops.
fn corrupt(text: &[u8]) -> usize {
    let skip_breaks = |mut at: usize| {
        while matches!(text.get(at), Some(b'\r' | b'\n')) {
            at += 1;
        }
        at
    };
    // Number of symbols read of a group of four, which encodes three bytes.
    let mut symbols = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\r' | b'\n' => {}
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' => symbols = (symbols + 1) % 4,
            b'=' if symbols == 2 => {
                let next = skip_breaks(at + 1);
                return match text.get(next) {
                    None => text.len(),
                    Some(b'=') => skip_breaks(next + 1),
                    Some(_) => next - 1,
                };
            }
            b'=' if symbols == 3 => return skip_breaks(at + 1),
            _ => return at,
        }
    }
    text.len() - symbols
}

/// Returns true if a time has exactly six digits of fraction.
fn has_micros(text: &str) -> bool {
    let rest = text.get("2006-01-02T15:04:05".len()..).unwrap_or_default();
    let digits = rest.strip_prefix('.').unwrap_or_default();
    digits.bytes().take_while(u8::is_ascii_digit).count() == 6
}

fn bad_time(shape: &Shape, text: &str) -> Content {
    let layout = match shape {
        Shape::Time => time::TIME,
        _ => time::MICRO_TIME,
    };
    Content::Time { text: text.to_owned(), layout }
}

/// Go's decoder's name of a JSON value; numbers that do not fit are shown.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(n) => format!("number {n}"),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

/// `v1.PodSpec`.
pub(super) fn go_name(ty: &Type) -> String {
    let mut segments = ty.name.rsplit('.');
    match (segments.next(), segments.next()) {
        (Some(name), Some(package)) => format!("{package}.{name}"),
        _ => ty.name.clone(),
    }
}

/// Go's name of a shape.
pub(super) fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::String => "string".to_owned(),
        Shape::Bool => "bool".to_owned(),
        Shape::Int32 => "int32".to_owned(),
        Shape::Int64 => "int64".to_owned(),
        Shape::Double => "float64".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Time => "string".to_owned(),
        Shape::MicroTime => "string".to_owned(),
        Shape::Duration => "string".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Any => "interface {}".to_owned(),
        Shape::RawExtension => "runtime.RawExtension".to_owned(),
        Shape::FieldsV1 => "v1.FieldsV1".to_owned(),
        Shape::SchemaOr(_, ty) | Shape::Object(ty) => go_name(ty),
        Shape::List(list) => format!("[]{}", go_type(&list.item)),
        Shape::Map(map) => format!("map[string]{}", go_type(&map.value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_go_reads_it() {
        for (text, want) in [
            ("aGk=", "aGk="),
            ("aG\nk=\n", "aGk="),
            ("YR==", "YQ=="),
            ("", ""),
            ("OnFailure", "8"),
            ("password!", "8"),
            ("my secret", "2"),
            ("a", "0"),
            ("YQ", "0"),
            ("YWJjYQ=", "7"),
            ("YQ=x", "2"),
            ("YQ==YQ==", "4"),
            ("aGk=k", "4"),
            ("a===", "1"),
        ] {
            let got = base64(text).unwrap_or_else(|bad| {
                bad.to_string().rsplit(' ').next().unwrap_or_default().to_owned()
            });
            assert_eq!(got, want, "{text:?}");
        }
    }
}

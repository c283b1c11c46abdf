//! Values as text.

use std::fmt::{self, Write};

use super::{Map, Opaque, Value};
use crate::budget::Budget;

/// As Go's `%g` writes a float: the fewest digits, an exponent where it is large or small.
pub(crate) fn double_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{value}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Seconds with as much of a fraction as there is.
pub(crate) fn duration_text(nanoseconds: i64) -> String {
    let seconds = (nanoseconds / 1_000_000_000) as f64;
    let rest = (nanoseconds % 1_000_000_000) as f64 / 1e9;
    format!("{}s", seconds + rest)
}

/// As error messages of cel-go show values.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Uint(value) => write!(f, "{value}"),
            Value::Double(value) => f.write_str(&double_text(*value)),
            Value::String(text) => f.write_str(text),
            Value::Bytes(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Value::Duration(span) => f.write_str(&duration_text(*span)),
            Value::Timestamp(at) => write!(f, "{at}"),
            Value::Type(ty) => f.write_str(ty.name()),
            Value::List(list) => {
                f.write_char('[')?;
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    match item {
                        Ok(item) => write!(f, "{item}")?,
                        Err(error) => write!(f, "{error}")?,
                    }
                }
                f.write_char(']')
            }
            Value::Map(map) => show_map(map, f),
            Value::Optional(None) => f.write_str("optional.none()"),
            Value::Optional(Some(value)) => write!(f, "optional({value})"),
            Value::Opaque(Opaque::Ip(ip)) => write!(f, "{ip}"),
            Value::Opaque(Opaque::Cidr(cidr)) => write!(f, "{cidr}"),
            Value::Opaque(Opaque::Semver(version)) => write!(f, "{version}"),
            Value::Opaque(Opaque::Url(url)) => f.write_str(&url.text()),
            Value::Opaque(Opaque::Format(format)) => f.write_str(format.name),
            Value::Opaque(value) => f.write_str(value.type_name()),
        }
    }
}

fn show_map(map: &Map<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_char('{')?;
    let mut budget = Budget::unlimited();
    for (index, key) in map.keys().iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{key}: ")?;
        if let Some(Ok(value)) = map.find(key, &mut budget) {
            write!(f, "{value}")?;
        }
    }
    f.write_char('}')
}

//! Resolves YAML 1.1 scalars (`go.yaml.in/yaml/v2`, `resolve.go`).

use base64::Engine as _;
use serde_json::{Number, Value};

use super::error::Error;

const PREFIX: &str = "tag:yaml.org,2002:";

/// A scalar's meaning.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar {
    Value(Value),
    /// A number that JSON does not have, as Go prints it.
    NotFinite(&'static str),
}

/// The type of a value, by its tag.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tag {
    Str,
    Bool,
    Int,
    Float,
    Null,
}

impl Tag {
    fn name(self) -> &'static str {
        match self {
            Self::Str => "!!str",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Null => "!!null",
        }
    }
}

/// Resolves a scalar; `plain` means unquoted, so that the text determines the type.
pub(super) fn resolve(tag: Option<&str>, text: String, plain: bool) -> Result<Scalar, Box<Error>> {
    let string = |text: String| Ok(Scalar::Value(Value::String(text)));
    let Some(tag) = tag.filter(|tag| !tag.is_empty()) else {
        return if plain { Ok(meaning(&text).1) } else { string(text) };
    };
    match tag.strip_prefix(PREFIX) {
        Some("binary") => {
            let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let bytes = base64::engine::general_purpose::STANDARD.decode(plain);
            let bytes = bytes.map_err(Error::Binary)?;
            string(String::from_utf8_lossy(&bytes).into_owned())
        }
        Some(wanted @ ("bool" | "int" | "float" | "null")) => {
            let (found, value) = meaning(&text);
            // Integers are valid floats; a float without a fraction prints as the same number.
            if &found.name()[2..] == wanted || (wanted == "float" && found == Tag::Int) {
                return Ok(value);
            }
            Err(Error::Tag { found: found.name(), text, wanted: wanted.to_owned() }.into())
        }
        // Other tags have no meaning in JSON.
        _ => string(text),
    }
}

/// Returns true if YAML would not read the unquoted text as a string.
pub(super) fn needs_quotes(text: &str) -> bool {
    meaning(text).0 != Tag::Str || is_timestamp(text) || is_base60(text) || text == "<<"
}

fn meaning(text: &str) -> (Tag, Scalar) {
    let value = |tag, value: Value| (tag, Scalar::Value(value));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return value(Tag::Null, Value::Null),
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return value(Tag::Bool, true.into());
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return value(Tag::Bool, false.into());
        }
        ".nan" | ".NaN" | ".NAN" => return (Tag::Float, Scalar::NotFinite("NaN")),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return (Tag::Float, Scalar::NotFinite("+Inf"));
        }
        "-.inf" | "-.Inf" | "-.INF" => return (Tag::Float, Scalar::NotFinite("-Inf")),
        _ => {}
    }
    let number = match text.as_bytes()[0] {
        b'.' => float(text).map(|n| (Tag::Float, n)),
        b'+' | b'-' | b'0'..=b'9' if !is_timestamp(text) => {
            let plain = text.replace('_', "");
            let found = integer(&plain).map(|n| (Tag::Int, n));
            found.or_else(|| float(&plain).map(|n| (Tag::Float, n)))
        }
        _ => None,
    };
    match number {
        Some((tag, number)) => value(tag, Value::Number(number)),
        None => value(Tag::Str, text.into()),
    }
}

/// Go's `ParseInt` and `ParseUint` with base 0: the prefix selects the base, and a leading zero
/// means octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = digits.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (base, digits) = match prefix.as_str() {
        "0x" if digits.len() > 2 => (16, &digits[2..]),
        "0b" if digits.len() > 2 => (2, &digits[2..]),
        "0o" if digits.len() > 2 => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let n = u64::from_str_radix(digits, base).ok()?;
    if !negative {
        // After a plus sign Go only parses a signed number.
        let fits = !text.starts_with('+') || i64::try_from(n).is_ok();
        return fits.then(|| n.into());
    }
    if n <= i64::MAX as u64 {
        return Some((-(n as i64)).into());
    }
    (n == i64::MIN.unsigned_abs()).then(|| i64::MIN.into())
}

/// A decimal number (`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`). One without a
/// fraction is written without it, as Go writes JSON.
fn float(text: &str) -> Option<Number> {
    let mut digits = 0;
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    let skip_digits = |rest: &mut &str| {
        let n = rest.bytes().take_while(u8::is_ascii_digit).count();
        *rest = &rest[n..];
        n
    };
    digits += skip_digits(&mut rest);
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction;
        digits += skip_digits(&mut rest);
    }
    if digits == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        rest = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if skip_digits(&mut rest) == 0 {
            return None;
        }
    }
    if !rest.is_empty() {
        return None;
    }
    let n: f64 = text.parse().ok().filter(|n: &f64| n.is_finite())?;
    if n.fract() == 0.0 && n.abs() < i64::MAX as f64 {
        return Some((n as i64).into());
    }
    Number::from_f64(n)
}

/// `2001-12-14`, also with a time; read as text, but not as a number.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < 6 || bytes[4] != b'-' || !bytes[..4].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let date_len = text.find(['T', 't', ' ']).unwrap_or(text.len());
    let (date, time) = text.split_at(date_len);
    let mut parts = date.split('-').skip(1);
    let within = |part: Option<&str>, most: u32| {
        part.is_some_and(|p| {
            p.len() <= 2 && p.parse::<u32>().is_ok_and(|n| (1..=most).contains(&n))
        })
    };
    if !within(parts.next(), 12) || !within(parts.next(), 31) || parts.next().is_some() {
        return false;
    }
    let Some(time) = time.get(1..) else { return true };
    let end = time.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.'));
    let (clock, zone) = time.split_at(end.unwrap_or(time.len()));
    let zoned = zone == "Z"
        || (zone.len() == 6 && zone.starts_with(['+', '-']) && zone.as_bytes()[3] == b':');
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let clock: Vec<_> = clock.split(':').map(|p| p.len() <= 2 && p.parse::<u8>().is_ok()).collect();
    // A space is followed by a time without a zone, a T by one with a zone.
    let apart = text.as_bytes()[date_len] == b' ';
    clock == [true; 3]
        && !fraction.is_empty()
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && (if apart { zone.is_empty() } else { zoned })
}

/// YAML 1.1's sexagesimal numbers, which upstream reads as text but quotes when it writes.
fn is_base60(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    if !first.starts_with(|c: char| c.is_ascii_digit())
        || !first.bytes().all(|b| b.is_ascii_digit() || b == b'_')
    {
        return false;
    }
    let rest: Vec<&str> = parts.collect();
    let Some((last, middle)) = rest.split_last() else { return false };
    let sixty = |p: &str| {
        (1..=2).contains(&p.len()) && p.parse::<u8>().is_ok_and(|n| n < 60) && !p.starts_with('+')
    };
    let (last, fraction) = last.split_once('.').unwrap_or((last, ""));
    middle.iter().all(|p| sixty(p))
        && sixty(last)
        && fraction.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

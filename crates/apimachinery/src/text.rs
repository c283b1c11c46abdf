//! Text as Go prints it, because upstream's messages are part of the API.

use std::collections::HashSet;
use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Quotes `s` as Go's `%q` does.
#[must_use]
pub fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c if c.is_ascii() || is_printable(c) => out.push(c),
            c if u32::from(c) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// Returns true if a character beyond ASCII is shown as it is. After another one, Rust escapes the
/// same characters as Go.
fn is_printable(c: char) -> bool {
    String::from_iter(['x', c]).escape_debug().nth(1).is_none_or(|first| first != '\\')
}

/// A value as Go's `%v` prints it.
#[must_use]
pub fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(s) => s.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" "))
        }
        Value::Object(map) => {
            let entries: Vec<_> = map.iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

/// The name of a value's type in Go's JSON decoder.
#[must_use]
pub fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A float in Go's shortest form, with an exponent if it is large or small.
#[must_use]
pub fn go_float(n: f64) -> String {
    let text = format!("{n:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..6).contains(&exponent) {
        return n.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// JSON as Go writes it, safe to embed in HTML.
#[must_use]
pub fn go_json(value: &Value) -> String {
    let mut out = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, GoJson));
    debug_assert!(written.is_ok(), "memory takes all that is written");
    String::from_utf8(out).unwrap_or_default()
}

/// Numbers and texts as Go writes them.
struct GoJson;

impl Formatter for GoJson {
    #[expect(clippy::cast_precision_loss, reason = "Go reads these as floats")]
    fn write_u64<W: ?Sized + io::Write>(&mut self, out: &mut W, n: u64) -> io::Result<()> {
        match i64::try_from(n) {
            Ok(n) => write!(out, "{n}"),
            Err(_) => self.write_f64(out, n as f64),
        }
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, n: f64) -> io::Result<()> {
        let size = n.abs();
        if size == 0.0 || (1e-6..1e21).contains(&size) {
            return write!(out, "{n}");
        }
        let text = format!("{n:e}");
        out.write_all(if size < 1.0 { text } else { text.replace('e', "e+") }.as_bytes())
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let special = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = text;
        while let Some(at) = rest.find(special) {
            let (plain, from) = rest.split_at(at);
            let c = from.chars().next().unwrap_or_default();
            write!(out, "{plain}\\u{:04x}", u32::from(c))?;
            rest = &from[c.len_utf8()..];
        }
        out.write_all(rest.as_bytes())
    }
}

/// Joins messages like upstream's error aggregate: a single one as it is, several in brackets
/// without repetitions.
#[must_use]
pub fn aggregate<S: AsRef<str>>(messages: &[S]) -> String {
    let mut seen = HashSet::with_capacity(messages.len());
    let unique: Vec<&str> =
        messages.iter().map(AsRef::as_ref).filter(|message| seen.insert(*message)).collect();
    match unique.as_slice() {
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        assert_eq!(quote("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\n\\x01é\"");
        assert_eq!(
            quote("e\u{301}\u{a0}\u{e000}\u{1f600}\u{f0000}"),
            "\"e\u{301}\\u00a0\\ue000😀\\U000f0000\""
        );
    }

    #[test]
    fn writes_json_like_go() {
        let value = serde_json::json!([1, 2.0, 1.5, 1e20, 1e21, 1e-7, -0.25, "a<b>&\u{2028}\n"]);
        let text =
            r#"[1,2,1.5,100000000000000000000,1e+21,1e-7,-0.25,"a\u003cb\u003e\u0026\u2028\n"]"#;
        assert_eq!(go_json(&value), text);
    }

    #[test]
    fn aggregates_without_repetition() {
        assert_eq!(aggregate(&["a"]), "a");
        assert_eq!(aggregate(&["a", "b", "a"]), "[a, b]");
    }

    #[test]
    fn floats_read_like_go() {
        let table = [
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (100_000.0, "100000"),
            (1e20, "1e+20"),
            (123_456_789.0, "1.23456789e+08"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
        ];
        for (n, text) in table {
            assert_eq!(go_float(n), text);
        }
    }
}

//! YAML as upstream writes it: strings that YAML 1.1 would read as another type are quoted.

use std::cmp::Ordering;

use libyaml_safer::{Emitter, Encoding, Event, MappingStyle, ScalarStyle, SequenceStyle};
use serde_json::Value;

use super::resolve::needs_quotes;
use crate::status::Status;

/// Encodes a value as one document without markers.
///
/// # Errors
/// 500; does not happen, since the text is written to memory.
pub fn encode(value: &Value) -> Result<String, Status> {
    let mut text = Vec::new();
    let mut emitter = Emitter::new();
    emitter.set_output_string(&mut text);
    emitter.set_unicode(true);
    emitter.set_width(-1);
    let written = write(&mut emitter, value);
    drop(emitter);
    written.map_err(Status::internal)?;
    String::from_utf8(text).map_err(Status::internal)
}

fn write(emitter: &mut Emitter<'_>, value: &Value) -> libyaml_safer::Result<()> {
    emitter.emit(Event::stream_start(Encoding::Utf8))?;
    emitter.emit(Event::document_start(None, &[], true))?;
    write_value(emitter, value)?;
    emitter.emit(Event::document_end(true))?;
    emitter.emit(Event::stream_end())?;
    emitter.flush()
}

fn write_value(emitter: &mut Emitter<'_>, value: &Value) -> libyaml_safer::Result<()> {
    match value {
        Value::Null => scalar(emitter, "null", ScalarStyle::Plain),
        Value::Bool(flag) => {
            scalar(emitter, if *flag { "true" } else { "false" }, ScalarStyle::Plain)
        }
        Value::Number(number) => scalar(emitter, &number_text(number), ScalarStyle::Plain),
        Value::String(text) => write_text(emitter, text),
        Value::Array(items) => {
            emitter.emit(Event::sequence_start(None, None, true, SequenceStyle::Block))?;
            items.iter().try_for_each(|item| write_value(emitter, item))?;
            emitter.emit(Event::sequence_end())
        }
        Value::Object(map) => {
            emitter.emit(Event::mapping_start(None, None, true, MappingStyle::Block))?;
            let mut fields: Vec<_> = map.iter().collect();
            fields.sort_by(|(a, _), (b, _)| compare(a, b));
            for (key, value) in fields {
                write_text(emitter, key)?;
                write_value(emitter, value)?;
            }
            emitter.emit(Event::mapping_end())
        }
    }
}

/// Go's `%g`, which omits a zero fraction.
fn number_text(number: &serde_json::Number) -> String {
    match number.as_f64().filter(|n| number.is_f64() && n.fract() == 0.0 && n.abs() < 1e15) {
        Some(whole) => format!("{whole:.0}"),
        None => number.to_string(),
    }
}

fn write_text(emitter: &mut Emitter<'_>, text: &str) -> libyaml_safer::Result<()> {
    let style = if text.contains('\n') {
        ScalarStyle::Literal
    } else if needs_quotes(text) {
        ScalarStyle::DoubleQuoted
    } else {
        ScalarStyle::Plain
    };
    scalar(emitter, text, style)
}

fn scalar(emitter: &mut Emitter<'_>, text: &str, style: ScalarStyle) -> libyaml_safer::Result<()> {
    emitter.emit(Event::scalar(None, None, text, true, true, style))
}

/// The order of keys: letters after everything else, numbers by their value.
fn compare(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    let (x, y) = (a[at], b[at]);
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x.cmp(&y),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    // A zero that follows other digits is not a leading zero.
    let inside = (x == '0' || y == '0')
        && a[..at].iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0');
    let number = |text: &[char]| {
        let digits = text[at..].iter().take_while(|c| c.is_ascii_digit());
        digits.fold((u64::from(inside), 0), |(n, len), c| {
            let digit = u64::from(u32::from(*c) - u32::from('0'));
            (n.saturating_mul(10).saturating_add(digit), len + 1)
        })
    };
    number(&a).cmp(&number(&b)).then(x.cmp(&y))
}

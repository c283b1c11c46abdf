//! `string.format`.

use std::fmt::Write;

use super::convert::text_of;
use super::lists::list;
use super::quoted::Quoted;
use super::strings::text;
use super::{Outcome, Row};
use crate::ast::{Ast, Expr, Kind};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::types::Type;
use crate::value::{Map, Value};

pub(super) const ROWS: &[Row] =
    &[("format", "string_format", ".(string, list(dyn)) -> string", format)];

/// More digits after the point are not written.
const MAX_PRECISION: usize = 1000;
/// Values that nest deeper are not written.
const MAX_DEPTH: usize = 128;

/// A part of a format.
enum Part<'f> {
    Text(&'f str),
    /// The sign that begins a clause.
    Clause,
}

/// The next part and what follows it.
fn next(format: &str) -> Option<(Part<'_>, &str)> {
    let Some(at) = format.find('%') else {
        return (!format.is_empty()).then_some((Part::Text(format), ""));
    };
    if at > 0 {
        return Some((Part::Text(&format[..at]), &format[at..]));
    }
    if format[1..].starts_with('%') {
        return Some((Part::Text("%"), &format[2..]));
    }
    Some((Part::Clause, &format[1..]))
}

/// A clause, from after its sign.
fn clause(rest: &str) -> Result<(char, Option<usize>, &str), EvalError> {
    const WRONG: &str = "could not parse formatting clause: ";
    let precision_error =
        |why: &str| EvalError::new(format!("{WRONG}error while parsing precision: {why}"));
    let (precision, rest) = match rest.strip_prefix('.') {
        None => (None, rest),
        Some(after) => {
            let length = after.bytes().take_while(u8::is_ascii_digit).count();
            if length == after.len() {
                return Err(precision_error("could not find end of precision specifier"));
            }
            let digits = &after[..length];
            let precision = digits.parse::<usize>().map_err(|_| {
                precision_error(&format!(
                    "error while converting precision to integer: strconv.Atoi: parsing \
                     {digits:?}: invalid syntax"
                ))
            })?;
            (Some(precision), &after[length..])
        }
    };
    let verb = rest.chars().next().ok_or_else(|| EvalError::new("unexpected end of string"))?;
    if !"sdfebxXo".contains(verb) {
        return Err(EvalError::new(format!("{WRONG}unrecognized formatting clause \"{verb}\"")));
    }
    Ok((verb, precision, &rest[verb.len_utf8()..]))
}

fn unfit(verb: char, found: &str) -> String {
    let only = match verb {
        's' => {
            "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, \
             types, durations, and timestamps"
        }
        'd' => "decimal clause can only be used on integers",
        'f' => "fixed-point clause can only be used on doubles",
        'e' => "scientific clause can only be used on doubles",
        'b' => "only integers and bools can be formatted as binary",
        'o' => "octal clause can only be used on integers",
        _ => "only integers, byte buffers, and strings can be formatted as hex",
    };
    format!("error during formatting: {only}, was given {found}")
}

fn format<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let (mut rest, list) = (text(args, 0)?, list(args, 1)?);
    let mut out = String::new();
    let mut index = 0;
    while let Some((part, after)) = next(rest) {
        rest = after;
        let before = out.len();
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Clause => {
                let Some(value) = list.get(index) else {
                    return Err(EvalError::new(format!("index {index} out of range")));
                };
                let (verb, precision, after) = clause(rest)?;
                rest = after;
                index += 1;
                write_clause(&mut out, verb, precision, &value?, budget)?;
            }
        }
        budget.allocate(out.len() - before)?;
    }
    Ok(Value::text(out))
}

fn write_clause(
    out: &mut String,
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
    budget: &mut Budget,
) -> Result<(), EvalError> {
    let places = precision.unwrap_or(6).min(MAX_PRECISION);
    let _ = match (verb, value) {
        ('s', value) => return write_value(out, value, false, MAX_DEPTH, budget),
        ('d', Value::Int(value)) => write!(out, "{value}"),
        ('d', Value::Uint(value)) => write!(out, "{value}"),
        ('f' | 'e', Value::String(name)) => match &**name {
            "NaN" => write!(out, "NaN"),
            "Infinity" => write!(out, "∞"),
            "-Infinity" => write!(out, "-∞"),
            _ => return Err(EvalError::new(unfit(verb, "string"))),
        },
        ('f' | 'e', Value::Double(value)) if !value.is_finite() => {
            let name = if value.is_nan() { "NaN" } else { "∞" };
            write!(out, "{}{name}", if *value < 0.0 { "-" } else { "" })
        }
        ('f', Value::Double(value)) => write!(out, "{}", grouped(&format!("{value:.places$}"))),
        ('e', Value::Double(value)) => write!(out, "{}", scientific(*value, places)),
        ('b', Value::Int(value)) => write!(out, "{}", signed(*value, |v| format!("{v:b}"))),
        ('b', Value::Uint(value)) => write!(out, "{value:b}"),
        ('b', Value::Bool(value)) => write!(out, "{}", u8::from(*value)),
        ('o', Value::Int(value)) => write!(out, "{}", signed(*value, |v| format!("{v:o}"))),
        ('o', Value::Uint(value)) => write!(out, "{value:o}"),
        ('x' | 'X', Value::Int(value)) => {
            write!(out, "{}", cased(verb, signed(*value, |v| format!("{v:x}"))))
        }
        ('x' | 'X', Value::Uint(value)) => write!(out, "{}", cased(verb, format!("{value:x}"))),
        ('x' | 'X', Value::String(text)) => {
            budget.allocate(text.len())?;
            write!(out, "{}", cased(verb, hex(text.as_bytes())))
        }
        ('x' | 'X', Value::Bytes(bytes)) => {
            budget.allocate(bytes.len())?;
            write!(out, "{}", cased(verb, hex(bytes)))
        }
        (verb, value) => return Err(EvalError::new(unfit(verb, value.ty().name()))),
    };
    Ok(())
}

fn signed(value: i64, digits: fn(u64) -> String) -> String {
    format!("{}{}", if value < 0 { "-" } else { "" }, digits(value.unsigned_abs()))
}

fn cased(verb: char, hex: String) -> String {
    if verb == 'X' { hex.to_uppercase() } else { hex }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// With commas between thousands, as in English.
fn grouped(number: &str) -> String {
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", number),
    };
    let whole = number.find('.').unwrap_or(number.len());
    let mut out = String::from(sign);
    for (index, digit) in number[..whole].chars().enumerate() {
        if index > 0 && (whole - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out.push_str(&number[whole..]);
    out
}

/// As English writes powers of ten.
fn scientific(value: f64, places: usize) -> String {
    let text = format!("{value:.places$e}");
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { "⁻" } else { "" };
    let raised: String = format!("{:02}", exponent.abs())
        .bytes()
        .filter_map(|digit| "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(usize::from(digit - b'0')))
        .collect();
    format!("{mantissa}×10{sign}{raised}")
}

/// A value as text; within lists and maps as it would be written in an expression.
fn write_value(
    out: &mut String,
    value: &Value<'_>,
    within: bool,
    depth: usize,
    budget: &mut Budget,
) -> Result<(), EvalError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(EvalError::new("values nest too deeply to be formatted"));
    };
    match value {
        Value::List(list) => {
            out.push('[');
            for (index, item) in list.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_value(out, &item?, true, depth, budget)?;
            }
            out.push(']');
        }
        Value::Map(map) if !matches!(map, Map::Struct(_)) => {
            let mut entries = Vec::new();
            for key in map.keys() {
                let mut name = String::new();
                write_value(&mut name, &key, true, depth, budget)?;
                let mut text = String::new();
                if let Some(value) = map.find(&key, budget) {
                    write_value(&mut text, &value?, true, depth, budget)?;
                }
                entries.push(format!("{name}:{text}"));
            }
            entries.sort();
            out.push('{');
            out.push_str(&entries.join(", "));
            out.push('}');
        }
        Value::String(text) if within => {
            budget.allocate(text.len())?;
            let _ = write!(out, "{:?}", Quoted(text));
        }
        Value::Bytes(_) if within => {
            let _ = write!(out, "b{:?}", Quoted(&text_of(value, budget)?));
        }
        Value::Double(number) if within => {
            let _ = write!(out, "{number:.6}");
        }
        Value::Duration(_) if within => {
            let _ = write!(out, "duration({:?})", Quoted(&text_of(value, budget)?));
        }
        Value::Timestamp(_) if within => {
            let _ = write!(out, "timestamp({:?})", Quoted(&text_of(value, budget)?));
        }
        Value::Null => out.push_str("null"),
        Value::Map(_) | Value::Optional(_) | Value::Opaque(_) => {
            return Err(EvalError::new(match within {
                true => format!(
                    "error during formatting: no formatting function for {}",
                    value.ty().name()
                ),
                false => unfit('s', value.ty().name()),
            }));
        }
        value => out.push_str(&text_of(value, budget)?),
    }
    Ok(())
}

/// Checks a format that is known against its arguments. The error says which of them is wrong.
pub(crate) fn check(
    format: &str,
    args: &[&Expr],
    ast: &Ast,
) -> Result<(), (Option<usize>, String)> {
    let fail = |message: String| (None, message);
    let mut rest = format;
    let mut index = 0;
    while let Some((part, after)) = next(rest) {
        rest = after;
        if let Part::Clause = part {
            let Some(arg) = args.get(index) else {
                return Err(fail(match rest.is_empty() {
                    true => "unexpected end of string".to_owned(),
                    false => format!("index {index} out of range"),
                }));
            };
            index += 1;
            let (verb, _, after) = clause(rest).map_err(|error| fail(error.to_string()))?;
            rest = after;
            if let Some(bad) = misfit(verb, arg, ast) {
                return Err((Some(bad.id), unfit(verb, ast.ty(bad).name())));
            }
        }
    }
    if args.len() > index {
        return Err(fail(format!(
            "too many arguments supplied to string.format (expected {index}, got {})",
            args.len()
        )));
    }
    Ok(())
}

/// The part of an argument that a clause cannot write.
fn misfit<'e>(verb: char, arg: &'e Expr, ast: &Ast) -> Option<&'e Expr> {
    let fits = match (verb, ast.ty(arg)) {
        (_, Type::Dyn) => true,
        ('s', ty) => !matches!(ty, Type::Object(_) | Type::Optional(_) | Type::Opaque(_)),
        ('d' | 'o', ty) => matches!(ty, Type::Int | Type::Uint),
        ('f' | 'e', ty) => matches!(ty, Type::Double | Type::String),
        ('b', ty) => matches!(ty, Type::Int | Type::Uint | Type::Bool),
        (_, ty) => matches!(ty, Type::Int | Type::Uint | Type::String | Type::Bytes),
    };
    if !fits {
        return Some(arg);
    }
    match &arg.kind {
        Kind::List { .. } | Kind::Map { .. } if verb == 's' => {
            arg.children().into_iter().find_map(|part| misfit(verb, part, ast))
        }
        _ => None,
    }
}

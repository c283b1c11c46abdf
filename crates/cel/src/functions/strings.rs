//! Text: the standard functions and cel-go's strings library, version 2.

use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("contains", "contains_string", "!.(string, string) -> bool", contains),
    ("startsWith", "starts_with_string", "!.(string, string) -> bool", starts_with),
    ("endsWith", "ends_with_string", "!.(string, string) -> bool", ends_with),
    ("charAt", "string_char_at_int", ".(string, int) -> string", char_at),
    ("indexOf", "string_index_of_string", ".(string, string) -> int", index_of),
    ("indexOf", "string_index_of_string_int", ".(string, string, int) -> int", index_of),
    ("lastIndexOf", "string_last_index_of_string", ".(string, string) -> int", last_index_of),
    (
        "lastIndexOf",
        "string_last_index_of_string_int",
        ".(string, string, int) -> int",
        last_index_of,
    ),
    ("lowerAscii", "string_lower_ascii", ".(string) -> string", lower),
    ("upperAscii", "string_upper_ascii", ".(string) -> string", upper),
    ("replace", "string_replace_string_string", ".(string, string, string) -> string", replace),
    (
        "replace",
        "string_replace_string_string_int",
        ".(string, string, string, int) -> string",
        replace,
    ),
    ("split", "string_split_string", ".(string, string) -> list(string)", split),
    ("split", "string_split_string_int", ".(string, string, int) -> list(string)", split),
    ("substring", "string_substring_int", ".(string, int) -> string", substring),
    ("substring", "string_substring_int_int", ".(string, int, int) -> string", substring),
    ("trim", "string_trim", ".(string) -> string", trim),
    ("join", "list_join", ".(list(string)) -> string", join),
    ("join", "list_join_string", ".(list(string), string) -> string", join),
    ("strings.quote", "strings_quote", "(string) -> string", quote),
];

/// An argument that is text.
pub(super) fn text<'v>(args: &'v [Value<'_>], index: usize) -> Result<&'v str, EvalError> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(EvalError::no_such_overload()),
    }
}

/// An argument that is a number.
pub(super) fn int(args: &[Value<'_>], index: usize) -> Result<i64, EvalError> {
    match args.get(index) {
        Some(Value::Int(value)) => Ok(*value),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn made<'a>(text: String, budget: &mut Budget) -> Outcome<'a> {
    budget.allocate(text.len())?;
    Ok(Value::text(text))
}

fn out_of_range<T>(index: i64) -> Result<T, EvalError> {
    Err(EvalError::new(format!("index out of range: {index}")))
}

/// Where a code point begins; the end is one of the places.
fn offset(text: &str, index: i64) -> Option<usize> {
    let index = usize::try_from(index).ok()?;
    let starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    starts.into_iter().nth(index)
}

fn contains<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(text(args, 0)?.contains(text(args, 1)?)))
}

fn starts_with<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?)))
}

fn ends_with<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(text(args, 0)?.ends_with(text(args, 1)?)))
}

fn char_at<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let (text, index) = (text(args, 0)?, int(args, 1)?);
    match offset(text, index) {
        Some(at) => Ok(Value::text(text[at..].chars().take(1).collect::<String>())),
        None => out_of_range(index),
    }
}

fn index_of<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    let from = if args.len() > 2 { int(args, 2)? } else { 0 };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return out_of_range(from);
    }
    let found = offset(whole, from).and_then(|at| whole[at..].find(part).map(|found| at + found));
    Ok(Value::Int(found.map_or(-1, |at| whole[..at].chars().count() as i64)))
}

fn last_index_of<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    let length = whole.chars().count() as i64;
    let from = match args.len() {
        2 if part.is_empty() => return Ok(Value::Int(length)),
        2 if whole.len() < part.len() => return Ok(Value::Int(-1)),
        2 => length - 1,
        _ => int(args, 2)?,
    };
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    if from < 0 {
        return out_of_range(from);
    }
    if from >= length {
        return Ok(Value::Int(-1));
    }
    // A match that begins no later than there ends no later than this.
    let end = offset(whole, from).map_or(whole.len(), |at| (at + part.len()).min(whole.len()));
    let end = (0..=end).rev().find(|end| whole.is_char_boundary(*end)).unwrap_or(0);
    let found = whole[..end].rfind(part);
    Ok(Value::Int(found.map_or(-1, |at| whole[..at].chars().count() as i64)))
}

fn lower<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    made(text(args, 0)?.to_ascii_lowercase(), budget)
}

fn upper<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    made(text(args, 0)?.to_ascii_uppercase(), budget)
}

fn replace<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let (whole, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let most = if args.len() > 3 { int(args, 3)? } else { -1 };
    let found =
        if from.is_empty() { whole.chars().count() + 1 } else { whole.matches(from).count() };
    let count = usize::try_from(most).map_or(found, |most| most.min(found));
    // Its size is known, and charged, before it is made.
    budget.allocate(count.saturating_mul(to.len()).saturating_add(whole.len()))?;
    Ok(Value::text(whole.replacen(from, to, count)))
}

fn split<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let (whole, separator) = (text(args, 0)?, text(args, 1)?);
    let most = if args.len() > 2 { int(args, 2)? } else { -1 };
    let limit = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts: Vec<Value<'a>> = Vec::new();
    if limit == 0 {
        return Ok(Value::list(parts));
    }
    budget.allocate(whole.len())?;
    let mut rest = whole;
    while parts.len() + 1 < limit {
        let (part, next) = match separator.is_empty() {
            true => match rest.char_indices().nth(1) {
                Some((at, _)) => rest.split_at(at),
                None => break,
            },
            false => match rest.split_once(separator) {
                Some(found) => found,
                None => break,
            },
        };
        budget.allocate(size_of::<Value<'_>>())?;
        parts.push(Value::text(part));
        rest = next;
    }
    if !(separator.is_empty() && rest.is_empty()) {
        parts.push(Value::text(rest));
    }
    Ok(Value::list(parts))
}

fn substring<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let (whole, start) = (text(args, 0)?, int(args, 1)?);
    let end = if args.len() > 2 { Some(int(args, 2)?) } else { None };
    if let Some(end) = end.filter(|end| start > *end) {
        let message = format!("invalid substring range. start: {start}, end: {end}");
        return Err(EvalError::new(message));
    }
    let Some(from) = offset(whole, start) else { return out_of_range(start) };
    let to = match end {
        None => whole.len(),
        Some(end) => match offset(whole, end) {
            Some(to) => to,
            None => return out_of_range(end),
        },
    };
    made(whole[from..to].to_owned(), budget)
}

fn trim<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    made(text(args, 0)?.trim().to_owned(), budget)
}

fn join<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let Value::List(list) = &args[0] else { return Err(EvalError::no_such_overload()) };
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let mut joined = String::new();
    for (index, item) in list.iter().enumerate() {
        let item = item?;
        let Value::String(part) = &item else {
            return Err(EvalError::new(format!("join: invalid input: {item}")));
        };
        let separator = if index > 0 { separator } else { "" };
        budget.allocate(separator.len() + part.len())?;
        joined.push_str(separator);
        joined.push_str(part);
    }
    Ok(Value::text(joined))
}

fn quote<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let mut quoted = String::from("\"");
    for c in text(args, 0)?.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    made(quoted, budget)
}

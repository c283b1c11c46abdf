//! Versions, as the Go library reads them that upstream uses.

use std::cmp::Ordering;
use std::sync::Arc;

use super::quoted::Quoted;
use super::strings::text;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    ("semver", "string_to_semver", "(string) -> Semver", semver),
    ("semver", "string_bool_to_semver", "(string, bool) -> Semver", semver),
    ("isSemver", "is_semver_string", "(string) -> bool", is_semver),
    ("isSemver", "is_semver_string_bool", "(string, bool) -> bool", is_semver),
    ("isGreaterThan", "semver_is_greater_than", ".(Semver, Semver) -> bool", is_greater),
    ("isLessThan", "semver_is_less_than", ".(Semver, Semver) -> bool", is_less),
    ("compareTo", "semver_compare_to", ".(Semver, Semver) -> int", compare),
    ("major", "semver_major", ".(Semver) -> int", major),
    ("minor", "semver_minor", ".(Semver) -> int", minor),
    ("patch", "semver_patch", ".(Semver) -> int", patch),
];

/// A version.
#[derive(Debug, Clone)]
pub struct Semver {
    numbers: [u64; 3],
    pre: Vec<Part>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Text(String),
}

impl std::fmt::Display for Semver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl Semver {
    pub(crate) fn parse(text: &str) -> Result<Semver, EvalError> {
        let wrong = |message: String| Err(EvalError::new(message));
        if text.is_empty() {
            return wrong("Version string empty".to_owned());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts[..] else {
            return wrong("No Major.Minor.Patch elements found".to_owned());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, Some(pre)),
            None => (rest, None),
        };
        let mut numbers = [0; 3];
        for (index, (name, number)) in
            [("Major", major), ("Minor", minor), ("Patch", patch)].into_iter().enumerate()
        {
            let shown = Quoted(number);
            if !number.bytes().all(|b| b.is_ascii_digit()) {
                return wrong(format!(
                    "Invalid character(s) found in {} number {shown:?}",
                    name.to_lowercase()
                ));
            }
            if number.len() > 1 && number.starts_with('0') {
                return wrong(format!("{name} number must not contain leading zeroes {shown:?}"));
            }
            numbers[index] = match number.parse() {
                Ok(value) => value,
                Err(_) => {
                    let why =
                        if number.is_empty() { "invalid syntax" } else { "value out of range" };
                    return wrong(format!("strconv.ParseUint: parsing {shown:?}: {why}"));
                }
            };
        }
        let name = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        let mut parts = Vec::new();
        for part in pre.into_iter().flat_map(|pre| pre.split('.')) {
            let shown = Quoted(part);
            if part.is_empty() {
                return wrong("Prerelease is empty".to_owned());
            }
            if !part.bytes().all(name) {
                return wrong(format!("Invalid character(s) found in prerelease {shown:?}"));
            }
            parts.push(match part.bytes().all(|b| b.is_ascii_digit()) {
                true if part.len() > 1 && part.starts_with('0') => {
                    let message = format!(
                        "Numeric PreRelease version must not contain leading zeroes {shown:?}"
                    );
                    return wrong(message);
                }
                true => Part::Number(part.parse().unwrap_or(u64::MAX)),
                false => Part::Text(part.to_owned()),
            });
        }
        for part in build.into_iter().flat_map(|build| build.split('.')) {
            let shown = Quoted(part);
            if part.is_empty() {
                return wrong("Build meta data is empty".to_owned());
            }
            if !part.bytes().all(name) {
                return wrong(format!("Invalid character(s) found in build meta data {shown:?}"));
            }
        }
        Ok(Semver { numbers, pre: parts, text: text.to_owned() })
    }

    /// With what is missing, and without what is too much: a leading `v` and zeroes.
    fn parse_leniently(text: &str) -> Result<Semver, EvalError> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let mut parts: Vec<String> = text.splitn(3, '.').map(str::to_owned).collect();
        for part in &mut parts {
            if part.len() > 1 {
                let trimmed = part.trim_start_matches('0');
                let digit = trimmed.starts_with(|c: char| c.is_ascii_digit());
                *part = if digit { trimmed.to_owned() } else { format!("0{trimmed}") };
            }
        }
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                let message = "short version cannot contain PreRelease/Build meta data";
                return Err(EvalError::new(message));
            }
            parts.resize(3, "0".to_owned());
        }
        Semver::parse(&parts.join("."))
    }

    /// The order of versions: one before a release comes before it.
    pub(crate) fn cmp(&self, other: &Semver) -> Ordering {
        self.numbers.cmp(&other.numbers).then_with(|| match (self.pre.len(), other.pre.len()) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Greater,
            (_, 0) => Ordering::Less,
            _ => self.pre.cmp(&other.pre),
        })
    }
}

fn parse(args: &[Value<'_>]) -> Result<Semver, EvalError> {
    match args.get(1) {
        Some(Value::Bool(true)) => Semver::parse_leniently(text(args, 0)?),
        _ => Semver::parse(text(args, 0)?),
    }
}

fn operand<'v>(args: &'v [Value<'_>], index: usize) -> Result<&'v Semver, EvalError> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Semver(version))) => Ok(version),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, EvalError> {
    Ok(operand(args, 0)?.cmp(operand(args, 1)?))
}

fn semver<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    parse(args).map(|version| Value::Opaque(Opaque::Semver(Arc::new(version))))
}

fn is_semver<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(parse(args).is_ok()))
}

fn is_greater<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_gt()))
}

fn is_less<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(order(args)?.is_lt()))
}

fn compare<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(order(args)? as i64))
}

fn major<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(operand(args, 0)?.numbers[0] as i64))
}

fn minor<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(operand(args, 0)?.numbers[1] as i64))
}

fn patch<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(operand(args, 0)?.numbers[2] as i64))
}

//! Dates, times and durations.

/// A date such as `2006-01-02`.
pub(super) fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let has_form = bytes.len() == 10
        && bytes.iter().enumerate().all(|(i, b)| match i {
            4 | 7 => *b == b'-',
            _ => b.is_ascii_digit(),
        });
    has_form && text.parse::<jiff::civil::Date>().is_ok()
}

/// A date and time with a zone. Only the hours of the zone are not checked.
pub(super) fn is_date_time(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut parts = lower.split('t');
    match (parts.next(), parts.next()) {
        (Some(date), Some(time)) => is_date(date) && is_time(time),
        _ => false,
    }
}

fn is_time(text: &str) -> bool {
    let Some((clock, rest)) = text.split_at_checked(8) else { return false };
    let mut parts = clock.split(':');
    let mut below = |max: &str| parts.next().is_some_and(|p| is_two_digits(p) && p <= max);
    if !(below("23") && below("59") && below("59")) || parts.next().is_some() {
        return false;
    }
    let zone = match rest.strip_suffix('z') {
        Some(fraction) => return is_fraction(fraction),
        None => rest.len().checked_sub(6).and_then(|at| rest.split_at_checked(at)),
    };
    zone.is_some_and(|(fraction, zone)| {
        let hours = zone.strip_prefix(['+', '-']).and_then(|zone| zone.split_once(':'));
        is_fraction(fraction) && hours.is_some_and(|(h, m)| is_two_digits(h) && is_two_digits(m))
    })
}

fn is_two_digits(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Digits after any one character; may be absent.
fn is_fraction(text: &str) -> bool {
    let mut chars = text.chars();
    match chars.next() {
        None => true,
        Some('\n') => false,
        Some(_) => !chars.as_str().is_empty() && chars.all(|c| c.is_ascii_digit()),
    }
}

/// Units, of each the last one as a beginning too.
const UNITS: &[&[&str]] = &[
    &["ns", "nano"],
    &["us", "µs", "micro"],
    &["ms", "milli"],
    &["s", "sec"],
    &["m", "min"],
    &["h", "hr", "hour"],
    &["d", "day"],
    &["w", "wk", "week"],
];

/// A text with numbers and units somewhere in it, as Scala writes durations.
pub(super) fn is_duration(text: &str) -> bool {
    let mut found = false;
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        rest = &rest[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let is_space = |c| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}');
        let after = after.trim_start_matches(is_space);
        let end = after.find(|c: char| !(c.is_ascii_alphabetic() || c == 'µ'));
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        rest = after;
        if unit.is_empty() {
            continue;
        }
        if number.parse::<i64>().is_err() {
            return false;
        }
        found |= is_unit(&unit.to_lowercase());
    }
    found
}

fn is_unit(unit: &str) -> bool {
    UNITS.iter().any(|names| {
        names.contains(&unit) || names.last().is_some_and(|name| unit.starts_with(name))
    })
}

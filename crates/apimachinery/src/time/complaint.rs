//! Go's error for text that is not a timestamp (`time.ParseError`).

use crate::text::quote;

/// Layout of `metav1.Time`.
pub const TIME: &str = "2006-01-02T15:04:05Z07:00";
/// Layout of `metav1.MicroTime`.
pub const MICRO_TIME: &str = "2006-01-02T15:04:05.000000Z07:00";

/// The parts of both layouts, with the text before each.
const PARTS: [(&str, &str); 6] =
    [("", "2006"), ("-", "01"), ("-", "02"), ("T", "15"), (":", "04"), (":", "05")];
const FRACTION: &str = ".000000";
const ZONE: &str = "Z07:00";

enum Fault {
    /// The remaining text and the part of the layout that it does not match.
    Misfit(String, &'static str),
    OutOfRange(&'static str),
    Extra(String),
}

/// The error for `text`, which does not match the layout.
#[must_use]
pub fn complaint(text: &str, layout: &str) -> String {
    let shown = quote(text);
    match read(text, layout == MICRO_TIME) {
        Err(Fault::OutOfRange(what)) => format!("parsing time {shown}: {what} out of range"),
        Err(Fault::Extra(rest)) => format!("parsing time {shown}: extra text: {}", quote(&rest)),
        Err(Fault::Misfit(rest, part)) => format!(
            "parsing time {shown} as {}: cannot parse {} as {}",
            quote(layout),
            quote(&rest),
            quote(part)
        ),
        // Go would accept it.
        Ok(()) => format!("parsing time {shown}: day out of range"),
    }
}

fn read(text: &str, micro: bool) -> Result<(), Fault> {
    let mut rest = text;
    let (mut month, mut day, mut year) = (0, 0, 0);
    for (between, part) in PARTS {
        rest = rest.strip_prefix(between).ok_or_else(|| Fault::Misfit(rest.to_owned(), between))?;
        let misfit = || Fault::Misfit(rest.to_owned(), part);
        let digits = match part {
            "2006" => rest.get(..4).ok_or_else(misfit)?,
            // An hour may have one digit.
            "15" if !rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                rest.get(..1).ok_or_else(misfit)?
            }
            _ => rest.get(..2).ok_or_else(misfit)?,
        };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(misfit());
        }
        let number: u32 = digits.parse().map_err(|_| misfit())?;
        let (slot, what, fits) = match part {
            "2006" => (Some(&mut year), "year", true),
            "01" => (Some(&mut month), "month", (1..=12).contains(&number)),
            "02" => (Some(&mut day), "day", true),
            "15" => (None, "hour", number < 24),
            "04" => (None, "minute", number < 60),
            _ => (None, "second", number < 60),
        };
        if !fits {
            return Err(Fault::OutOfRange(what));
        }
        if let Some(slot) = slot {
            *slot = number;
        }
        rest = &rest[digits.len()..];
    }
    rest = zone(fraction(rest, micro)?)?;
    if !rest.is_empty() {
        return Err(Fault::Extra(rest.to_owned()));
    }
    let days = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if (1..=days).contains(&day) { Ok(()) } else { Err(Fault::OutOfRange("day")) }
}

/// Skips a fraction of a second, which one layout requires and the other allows.
fn fraction(rest: &str, micro: bool) -> Result<&str, Fault> {
    if micro {
        let six = rest
            .get(..FRACTION.len())
            .filter(|f| f.starts_with(['.', ',']) && f[1..].bytes().all(|b| b.is_ascii_digit()));
        let six = six.ok_or_else(|| Fault::Misfit(rest.to_owned(), FRACTION))?;
        return Ok(&rest[six.len()..]);
    }
    let digits = rest.strip_prefix(['.', ',']).unwrap_or_default();
    let count = digits.bytes().take_while(u8::is_ascii_digit).count();
    Ok(if count > 0 { &digits[count..] } else { rest })
}

fn zone(rest: &str) -> Result<&str, Fault> {
    if let Some(rest) = rest.strip_prefix('Z') {
        return Ok(rest);
    }
    let misfit = || Fault::Misfit(rest.to_owned(), ZONE);
    let own = rest.get(..6).filter(|own| own.is_ascii()).ok_or_else(misfit)?;
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        if digits { text.parse::<u32>().ok() } else { None }
    };
    let parts = (own.starts_with(['+', '-']) && &own[3..4] == ":")
        .then(|| Some((number(&own[1..3])?, number(&own[4..])?)));
    match parts.flatten().ok_or_else(misfit)? {
        (25.., _) => Err(Fault::OutOfRange("time zone offset hour")),
        (_, 61..) => Err(Fault::OutOfRange("time zone offset minute")),
        _ => Ok(&rest[own.len()..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_gos() {
        for (text, want) in [
            ("bad", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "bad" as "2006""#),
            ("", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "2006""#),
            ("2024-01-01", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T""#),
            ("2024-1-01", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "1-01" as "01""#),
            (
                "2024-01-01T00:00:00",
                r#" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
            ),
            (
                "2024-01-01T00:00:00+0é:0",
                r#" as "2006-01-02T15:04:05Z07:00": cannot parse "+0é:0" as "Z07:00""#,
            ),
            ("2024-13-01T00:00:00Z", ": month out of range"),
            ("2023-02-29T00:00:00Z", ": day out of range"),
            ("2024-01-01T25:00:00Z", ": hour out of range"),
            ("2024-01-01T00:00:00Zx", r#": extra text: "x""#),
            ("é", r#" as "2006-01-02T15:04:05Z07:00": cannot parse "é" as "2006""#),
        ] {
            assert_eq!(complaint(text, TIME), format!("parsing time {}{want}", quote(text)));
        }
        assert_eq!(
            complaint("2024-01-01T00:00:00Z", MICRO_TIME),
            r#"parsing time "2024-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "Z" as ".000000""#
        );
    }
}

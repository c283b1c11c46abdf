//! Points in time and spans of it, read and written as Go does.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A point in time, with the offset in which it was written.
#[derive(Debug, Clone, Copy)]
pub struct Timestamp {
    /// Nanoseconds since 1970.
    at: i128,
    /// Seconds east of UTC.
    offset: i32,
}

const SECOND: i128 = 1_000_000_000;
/// The first and the last second of the years 1 to 9999.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Timestamp {
    /// A point in time, in UTC.
    pub fn new(at: jiff::Timestamp) -> Timestamp {
        Timestamp { at: at.as_nanosecond(), offset: 0 }
    }

    pub(crate) fn from_seconds(seconds: i64) -> Option<Timestamp> {
        let at = i128::from(seconds) * SECOND;
        RANGE.contains(&seconds).then_some(Timestamp { at, offset: 0 })
    }

    /// As RFC 3339 writes it.
    pub fn parse(text: &str) -> Option<Timestamp> {
        parse_rfc3339(text)
    }

    pub(crate) fn in_range(&self) -> bool {
        RANGE.contains(&self.seconds())
    }

    /// Seconds since 1970, without the fraction.
    pub(crate) fn seconds(&self) -> i64 {
        self.at.div_euclid(SECOND) as i64
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.at == i128::from(*RANGE.start()) * SECOND
    }

    pub(crate) fn plus(&self, nanoseconds: i128) -> Option<Timestamp> {
        let sum = Timestamp { at: self.at + nanoseconds, offset: self.offset };
        sum.in_range().then_some(sum)
    }

    pub(crate) fn since(&self, other: &Timestamp) -> i128 {
        self.at - other.at
    }

    /// The date and the time of day so many seconds east of UTC.
    pub(crate) fn civil(&self, offset: i32) -> DateTime {
        let span = SignedDuration::new(self.seconds(), self.at.rem_euclid(SECOND) as i32);
        let local = span.checked_add(SignedDuration::from_secs(offset.into()));
        EPOCH.saturating_add(local.unwrap_or(span))
    }

    /// The same in a time zone.
    pub(crate) fn civil_in(&self, zone: &TimeZone) -> DateTime {
        let at = jiff::Timestamp::from_nanosecond(self.at);
        at.map_or_else(|_| self.civil(0), |at| zone.to_datetime(at))
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// As RFC 3339 with as many digits of the fraction as it needs.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.civil(self.offset);
        let (date, hour, minute, second) = (time.date(), time.hour(), time.minute(), time.second());
        write!(f, "{date}T{hour:02}:{minute:02}:{second:02}")?;
        if time.subsec_nanosecond() != 0 {
            let digits = format!("{:09}", time.subsec_nanosecond());
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        match self.offset {
            0 => f.write_str("Z"),
            seconds => {
                let sign = if seconds < 0 { '-' } else { '+' };
                let minutes = seconds.abs() / 60;
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

fn digits(text: &str, from: usize, to: usize) -> Option<i64> {
    let part = text.get(from..to)?;
    part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
}

pub(crate) fn parse_date(text: &str) -> Option<Timestamp> {
    if text.len() != 10 {
        return None;
    }
    parse_rfc3339(&format!("{text}T00:00:00Z"))
}

/// As Go's `time.Parse(time.RFC3339, ...)`.
fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let bytes = text.as_bytes();
    if !text.is_ascii() || separators.iter().any(|(at, c)| bytes.get(*at) != Some(c)) {
        return None;
    }
    let part = |from, to| digits(text, from, to);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let mut rest = text.get(19..)?;
    let mut nanoseconds = 0;
    if let Some(fraction) = rest.strip_prefix(['.', ',']) {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let kept = &fraction[..length.min(9)];
        nanoseconds = format!("{kept:0<9}").parse().ok().filter(|_| length > 0)?;
        rest = &fraction[length..];
    }
    let offset = match rest.as_bytes() {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (digits(rest, 1, 3)?, digits(rest, 4, 6)?);
            // As much as Go takes.
            if hours > 24 || minutes > 60 {
                return None;
            }
            let seconds = (hours * 60 + minutes) * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let time = DateTime::new(
        year as i16,
        month as i8,
        day as i8,
        hour as i8,
        minute as i8,
        second as i8,
        nanoseconds,
    )
    .ok()?;
    let since = time.duration_since(EPOCH).as_nanos() - i128::from(offset) * SECOND;
    Some(Timestamp { at: since, offset: offset as i32 })
}

/// As the format `date-time` of OpenAPI is read: leniently.
pub(crate) fn parse_date_time(text: &str) -> Option<Timestamp> {
    let mut normal = text.to_ascii_uppercase();
    if normal.as_bytes().get(10) == Some(&b' ') {
        normal.replace_range(10..11, "T");
    }
    parse_rfc3339(&normal)
}

/// As Go's `time.ParseDuration`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u128;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, mut after) = rest.split_at(whole);
        let mut fraction = "";
        if let Some(found) = after.strip_prefix('.') {
            let length = found.bytes().take_while(u8::is_ascii_digit).count();
            (fraction, after) = found.split_at(length);
        }
        if number.is_empty() && fraction.is_empty() {
            return None;
        }
        let unit = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let scale: u128 = match &after[..unit] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let number: u64 = if number.is_empty() { 0 } else { number.parse().ok()? };
        total = total.checked_add(u128::from(number) * scale)?;
        if !fraction.is_empty() {
            let kept = &fraction[..fraction.len().min(18)];
            let part: u128 = kept.parse().ok()?;
            total = total.checked_add(part * scale / 10u128.pow(kept.len() as u32))?;
        }
        rest = &after[unit..];
    }
    let total = i128::try_from(total).ok()?;
    i64::try_from(if negative { -total } else { total }).ok()
}

/// As the format `duration` of OpenAPI is read: as Go does, or as a number and the name of a unit.
pub(super) fn parse_open_duration(text: &str) -> Option<i64> {
    if let Some(duration) = parse_duration(text) {
        return Some(duration);
    }
    const DAY: f64 = 86_400e9;
    let units: [(&[&str], f64); 8] = [
        (&["ns", "nano"], 1.0),
        (&["us", "µs", "micro"], 1e3),
        (&["ms", "milli"], 1e6),
        (&["s", "sec"], 1e9),
        (&["m", "min"], 60e9),
        (&["h", "hr", "hour"], 3600e9),
        (&["d", "day"], DAY),
        (&["w", "wk", "week"], 7.0 * DAY),
    ];
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let value: f64 = rest[..number].parse().ok()?;
        rest = rest[number..].trim_start();
        let length = rest.len() - rest.trim_start_matches(char::is_alphabetic).len();
        let name = rest[..length].to_lowercase();
        let unit = units.iter().find(|(names, _)| {
            names.iter().any(|n| name == *n || name.trim_end_matches('s') == *n)
        })?;
        total += value * unit.1;
        rest = rest[length..].trim_start();
    }
    (total <= i64::MAX as f64).then_some(total as i64)
}

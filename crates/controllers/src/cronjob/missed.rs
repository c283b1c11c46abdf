//! Which start is due, and when the next will be.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

use rules::cron::Schedule;

use crate::common::meta;

/// Starts are looked for a little late, so that a clock set back does not miss them (upstream's
/// `nextScheduleDelta`).
const DELTA: SignedDuration = SignedDuration::from_millis(100);
/// More missed starts than this are worth a warning.
const MANY: i64 = 100;

/// A schedule whose starts cannot be told apart.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("time difference between two schedules is less than 1 second")]
pub(super) struct NeverRuns;

/// Where a schedule stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The time from which starts were looked for.
    earliest: Timestamp,
    /// The latest start that has come.
    pub(super) due: Option<Timestamp>,
    /// How many were not made, roughly.
    missed: i64,
}

impl Standing {
    /// Returns true if so many starts were missed that something may be wrong.
    pub(super) fn too_many(&self) -> bool {
        self.missed > MANY
    }
}

/// Looks for starts since the last one. `limited` leaves out those whose deadline has passed.
pub(super) fn standing(
    cron: &CronJob,
    schedule: &Schedule,
    now: Timestamp,
    limited: bool,
) -> Result<Standing, NeverRuns> {
    let last = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let mut earliest = last.map_or_else(|| meta::created(cron), |time| time.0);
    let deadline = cron.spec.starting_deadline_seconds;
    if let Some(seconds) = deadline.filter(|_| limited) {
        let limit = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(earliest);
        earliest = earliest.max(limit);
    }
    let first = schedule.next(earliest).ok_or(NeverRuns)?;
    if now < first {
        return Ok(Standing { earliest, due: None, missed: 0 });
    }
    let second = schedule.next(first).ok_or(NeverRuns)?;
    if now < second {
        return Ok(Standing { earliest, due: Some(first), missed: 0 });
    }
    let between = second.duration_since(first).as_secs();
    if between < 1 {
        return Err(NeverRuns);
    }
    // Not all of them are gone through: there may be years of them.
    let missed = now.duration_since(first).as_secs() / between + 1;
    let skip = SignedDuration::from_secs((missed - 2) * between);
    let (mut at, mut due) = (first.checked_add(skip).unwrap_or(first), None);
    while let Some(next) = schedule.next(at).filter(|next| *next <= now) {
        (at, due) = (next, Some(next));
    }
    Ok(Standing { earliest, due, missed })
}

/// How long to sleep until the next start.
pub(super) fn until_next(cron: &CronJob, schedule: &Schedule, now: Timestamp) -> Option<Duration> {
    let from = match standing(cron, schedule, now, false) {
        Ok(Standing { due: Some(due), .. }) => due,
        Ok(Standing { earliest, missed: 0, .. }) => earliest,
        _ => now,
    };
    let wait = schedule.next(from)?.checked_add(DELTA).ok()?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use serde_json::{Value, json};

    #[test]
    fn the_latest_start_is_due_and_the_next_is_waited_for() {
        let hourly = "0 * * * *";
        for (schedule, last, deadline, now, due, too_many, wait) in [
            (hourly, Value::Null, Value::Null, "10:59:00Z", None, false, 60),
            (hourly, Value::Null, Value::Null, "11:00:10Z", Some("11:00:00Z"), false, 3590),
            (hourly, json!("11:00:00Z"), Value::Null, "11:30:00Z", None, false, 1800),
            (hourly, json!("11:00:00Z"), Value::Null, "15:30:00Z", Some("15:00:00Z"), false, 1800),
            (hourly, Value::Null, json!(600), "11:30:00Z", None, false, 1800),
            ("* * * * *", Value::Null, Value::Null, "14:30:05Z", Some("14:30:00Z"), true, 55),
            ("@every 1h", Value::Null, Value::Null, "12:30:00Z", Some("12:15:00Z"), false, 2700),
            (
                "0 6-16/4 * * *",
                json!("10:00:00Z"),
                Value::Null,
                "23:00:00Z",
                Some("14:00:00Z"),
                false,
                25_200,
            ),
        ] {
            let full = |time: &str| format!("2024-01-01T{time}");
            let last = last.as_str().map(full);
            let cron: CronJob = serde_json::from_value(json!({
                "metadata": {"creationTimestamp": full("10:15:00Z")},
                "spec": {"schedule": schedule, "jobTemplate": {},
                    "startingDeadlineSeconds": deadline},
                "status": {"lastScheduleTime": last},
            }))
            .unwrap();
            let parsed = Schedule::parse(schedule, TimeZone::UTC).unwrap();
            let now = full(now).parse().unwrap();
            let found = standing(&cron, &parsed, now, true).unwrap();
            let due = due.map(|time| full(time).parse().unwrap());
            assert_eq!((found.due, found.too_many()), (due, too_many), "{schedule} at {now}");
            let sleep = until_next(&cron, &parsed, now).unwrap();
            assert_eq!(sleep, Duration::from_millis(wait * 1000 + 100), "{schedule} at {now}");
        }
        let never = Schedule::parse("0 0 31 2 *", TimeZone::UTC).unwrap();
        let now = Timestamp::UNIX_EPOCH;
        assert!(standing(&CronJob::default(), &never, now, true).is_err());
        assert_eq!(until_next(&CronJob::default(), &never, now), None);
    }
}

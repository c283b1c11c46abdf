//! Cron schedules are read or refused, and what comes next comes soon.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::cron::Schedule;

#[test]
fn schedules_have_a_next_time_or_none() {
    let seeds = [
        "*/5 0-12/3 1,15 jan-jun MON-FRI",
        "0 0 29 2 *",
        "0 0 31 2 *",
        "TZ=Europe/Berlin 30 2 * * 0",
        "CRON_TZ=America/New_York 59 23 ? * sun",
        "@every 1h30m",
        "@every 1ns",
        "@weekly",
    ];
    let words = [" ", "*", "/", "-", ",", "?", "@every ", "TZ=", "Asia/", "..", "99999999999", "L"];
    let moments = ["2024-03-31T00:59:59Z", "1970-01-01T00:00:00Z", "9999-12-30T00:00:00Z"];
    let moments = moments.map(|text| text.parse::<Timestamp>().unwrap());
    fuzz::text(&seeds, &words, |text| {
        let Ok(schedule) = Schedule::parse(text, TimeZone::UTC) else { return false };
        for from in moments {
            let next = schedule.next(from);
            assert!(next.is_none_or(|next| next > from), "{text}: {next:?} after {from}");
        }
        true
    });
}

//! CronJob.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};

use super::job::default_template_parts;
use super::rules::check_job_spec;
use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{Context, Strategy, clear_status, ensure, set_default};
use crate::registry::workload::invalid_selector;
use rules::cron::{self, Schedule};

pub(super) struct CronJob;

impl Strategy for CronJob {
    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        set_default(spec, "concurrencyPolicy", "Allow");
        set_default(spec, "suspend", false);
        set_default(spec, "successfulJobsHistoryLimit", 3);
        set_default(spec, "failedJobsHistoryLimit", 1);
        // The job's own defaults are applied when the job is created.
        default_template_parts(ensure(spec, &["jobTemplate", "spec"]));
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            check_spec(&object.at("spec"), None);
            // Leaves room for the suffix of its jobs (63 less a dash and ten digits).
            if object.value().name().len() > 52 {
                object.at("metadata").at("name").invalid("must be no more than 52 characters");
            }
        })
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec"), Some(old)))
    }
}

fn check_spec(spec: &Field<'_>, old: Option<&Object>) {
    if spec.needs("schedule") {
        check_schedule(spec, old.is_some_and(|o| o.str_at(&["spec", "schedule"]).contains("TZ")));
    }
    spec.non_negative("startingDeadlineSeconds");
    if old.is_none_or(|old| &old["spec"]["timeZone"] != spec.get("timeZone")) {
        check_time_zone(spec);
    }
    spec.needs_one_of("concurrencyPolicy", &["Allow", "Forbid", "Replace"]);
    let job = spec.at("jobTemplate").at("spec");
    check_job_spec(&job);
    if job.has("selector") {
        invalid_selector(&job.at("selector"), "`selector` will be auto-generated");
    }
    if job.flag("manualSelector") {
        job.at("manualSelector").not_supported(&["nil", "false"]);
    }
    spec.non_negative_all(&["successfulJobsHistoryLimit", "failedJobsHistoryLimit"]);
}

/// A time zone in the schedule is accepted if it was there before.
fn check_schedule(spec: &Field<'_>, zone_before: bool) {
    let (text, at) = (spec.str("schedule"), spec.at("schedule"));
    if let Err(why) = Schedule::parse(text, jiff::tz::TimeZone::UTC) {
        at.invalid(why.to_string());
    }
    if !text.contains("TZ") {
        return;
    }
    if !zone_before {
        at.invalid("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if spec.has("timeZone") {
        at.invalid("cannot use both timeZone field and TZ or CRON_TZ in schedule");
    }
}

fn check_time_zone(spec: &Field<'_>) {
    let Some(zone) = spec.opt("timeZone") else { return };
    let name = zone.text();
    if name.is_empty() {
        return zone.invalid("timeZone must be nil or non-empty string");
    }
    let unknown = || zone.invalid(format!("unknown time zone {name}"));
    let part_is_fine = |part: &str| {
        (1..=14).contains(&part.len())
            && !part.starts_with('-')
            && !matches!(part, "." | "..")
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b))
    };
    if !name.split('/').all(part_is_fine) {
        return unknown();
    }
    if name.eq_ignore_ascii_case("Local") {
        zone.invalid(
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        );
    }
    if name != "Local" && !cron::is_zone(name) {
        unknown();
    }
}

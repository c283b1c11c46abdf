//! The batch group.

mod cronjob;
mod indexes;
mod job;
mod policies;
mod rules;
mod status;
#[cfg(test)]
mod tests;
mod update;

use apimachinery::ObjectExt;

use super::Sub;
use super::column::{AGE, Column, NAME, containers, images, selector};
use super::kind::{Kind, Selectable};

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("batch", "v1", kind, resource, singular).namespaced()
}

const JOB: &[&str] = &["spec", "template", "spec", "containers"];
const CRON: &[&str] = &["spec", "jobTemplate", "spec", "template", "spec", "containers"];

pub(super) static KINDS: &[Kind] = &[
    row("CronJob", "cronjobs", "cronjob")
        .rechecks(0, 1)
        .short(&["cj"])
        .in_all()
        .subs(&[Sub::Status])
        .strategy(&cronjob::CronJob)
        .pod_spec(&["spec", "jobTemplate", "spec", "template", "spec"])
        .generation()
        .columns(&[
            NAME,
            Column::text_or("Schedule", &["spec", "schedule"], ""),
            Column::text("Timezone", &["spec", "timeZone"]),
            Column::make("Suspend", |o| match o["spec"]["suspend"].as_bool() {
                Some(true) => "True".into(),
                Some(false) => "False".into(),
                None => "<unset>".into(),
            }),
            Column {
                of: "integer",
                ..Column::make("Active", |o| {
                    o["status"]["active"].as_array().map_or(0, Vec::len).into()
                })
            },
            Column::make("Last Schedule", |o| match o.get_path(&["status", "lastScheduleTime"]) {
                None => "<none>".into(),
                at => super::column::since(at).into(),
            }),
            AGE,
            Column::make("Containers", |o| containers(o, CRON)),
            Column::make("Images", |o| images(o, CRON)),
            Column::make("Selector", |o| {
                selector(o.get_path(&["spec", "jobTemplate", "spec", "selector"]))
            }),
        ]),
    row("Job", "jobs", "job")
        .rechecks(0, 1)
        .in_all()
        .subs(&[Sub::Status])
        .selectable(&[Selectable::new("status.successful", &["status", "succeeded"]).or("0")])
        .strategy(&job::Job)
        .pod_spec(&["spec", "template", "spec"])
        .generation()
        .columns(&[
            NAME,
            Column::make("Status", job::status),
            Column::make("Completions", job::completions),
            Column::make("Duration", job::duration),
            AGE,
            Column::make("Containers", |o| containers(o, JOB)),
            Column::make("Images", |o| images(o, JOB)),
            Column::make("Selector", |o| selector(o.get_path(&["spec", "selector"]))),
        ]),
];

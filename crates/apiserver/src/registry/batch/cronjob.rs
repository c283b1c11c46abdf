//! CronJob.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};

use super::job::{check_job_spec, default_job_spec};
use crate::registry::strategy::{Context, Strategy, set_default};

pub(super) struct CronJob;

impl Strategy for CronJob {
    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
        set_default(spec, "concurrencyPolicy", "Allow");
        set_default(spec, "suspend", false);
        set_default(spec, "successfulJobsHistoryLimit", 3);
        set_default(spec, "failedJobsHistoryLimit", 1);
        if let Some(job) = spec.get_mut("jobTemplate").and_then(|t| t.get_mut("spec")) {
            default_job_spec(job);
        }
    }

    fn validate(&self, ctx: &Context<'_>, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("spec");
        if object.str_at(&["spec", "schedule"]).is_empty() {
            errors.0.push(FieldError::required(&path.child("schedule"), ""));
        }
        const POLICIES: &[&str] = &["Allow", "Forbid", "Replace"];
        let policy = object.str_at(&["spec", "concurrencyPolicy"]);
        if !POLICIES.contains(&policy) {
            errors.0.push(FieldError::not_supported(
                &path.child("concurrencyPolicy"),
                policy,
                POLICIES,
            ));
        }
        let job = &object["spec"]["jobTemplate"]["spec"];
        errors.0.extend(check_job_spec(ctx, job, &path.child("jobTemplate").child("spec")).0);
        // Room for the suffix of the jobs it makes (63 less a dash and ten digits).
        if object.name().len() > 52 {
            errors.0.push(FieldError::invalid(
                &Path::new("metadata").child("name"),
                object.name(),
                "must be no more than 52 characters",
            ));
        }
        errors
    }
}

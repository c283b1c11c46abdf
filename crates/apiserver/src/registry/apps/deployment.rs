//! Deployment.

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt};
use serde_json::json;

use crate::registry::Sub;
use crate::registry::check::{Field, check, internal};
use crate::registry::core::default_template;
use crate::registry::strategy::{
    Context, Strategy, clear_status, differs_in_wish, ensure, set_default,
};
use crate::registry::workload::{
    check_at_most_all, check_collisions, check_int_or_percent, check_replica_counts,
    check_replicated, int_or_percent, selector_is_immutable, shown_int_or_percent,
};

pub(super) struct Deployment;

impl Strategy for Deployment {
    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        match sub {
            None => &["status"],
            Some(Sub::Status) => &["spec", "metadata.labels"],
            Some(_) => &[],
        }
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        &["labels"]
    }

    /// Annotations are copied to the replica sets.
    fn raises_generation(&self, object: &Object, old: &Object) -> bool {
        let annotations = |o: &Object| o.get_path(&["metadata", "annotations"]).cloned();
        differs_in_wish(object, old) || annotations(object) != annotations(old)
    }

    fn default(&self, object: &mut Object) {
        default_template(object);
        let spec = ensure(object, &["spec"]);
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "progressDeadlineSeconds", 600);
        set_default(spec, "strategy", json!({}));
        set_default(&mut spec["strategy"], "type", "RollingUpdate");
        if spec["strategy"]["type"] == "RollingUpdate" {
            set_default(&mut spec["strategy"], "rollingUpdate", json!({}));
            for field in ["maxUnavailable", "maxSurge"] {
                set_default(&mut spec["strategy"]["rollingUpdate"], field, "25%");
            }
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            spec.non_negative("replicas");
            check_replicated(&spec);
            check_strategy(&spec.at("strategy"));
            spec.non_negative_all(&[
                "minReadySeconds",
                "revisionHistoryLimit",
                "progressDeadlineSeconds",
            ]);
            let ready = spec.int("minReadySeconds").unwrap_or(0);
            if spec.int("progressDeadlineSeconds").is_some_and(|deadline| deadline <= ready) {
                spec.at("progressDeadlineSeconds").invalid("must be greater than minReadySeconds");
            }
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| selector_is_immutable(&object.at("spec"), &old["spec"]))
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let status = object.at("status");
            check_replica_counts(
                &status,
                &[
                    "observedGeneration",
                    "replicas",
                    "updatedReplicas",
                    "readyReplicas",
                    "availableReplicas",
                    "unavailableReplicas",
                    "terminatingReplicas",
                    "collisionCount",
                ],
                &["updatedReplicas", "readyReplicas", "availableReplicas"],
                "readyReplicas",
            );
            check_collisions(&status, old);
        })
    }
}

fn check_strategy(strategy: &Field<'_>) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.str("type") {
        "Recreate" if strategy.has("rollingUpdate") => {
            rolling.forbidden("may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" => {
            check_int_or_percent(&rolling, "maxUnavailable");
            check_int_or_percent(&rolling, "maxSurge");
            let zero = |name| int_or_percent(rolling.get(name)) == 0;
            if zero("maxUnavailable") && zero("maxSurge") {
                rolling.at("maxUnavailable").invalid_value(
                    shown_int_or_percent(rolling.get("maxUnavailable")),
                    "may not be 0 when `maxSurge` is 0",
                );
            }
            check_at_most_all(&rolling, "maxUnavailable");
        }
        _ => {
            let error =
                FieldError::not_supported(strategy.path(), "", &["Recreate", "RollingUpdate"]);
            strategy.push(error.showing(internal(strategy.value(), "DeploymentStrategy")));
        }
    }
}

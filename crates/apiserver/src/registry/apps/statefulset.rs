//! StatefulSet.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use crate::registry::Sub;
use crate::registry::check::{Field, check, check_labels, selector_of};
use crate::registry::core::{check_claim_spec, check_template, default_template};
use crate::registry::strategy::{Context, Strategy, ensure, items_mut, set_default};
use crate::registry::workload::{
    check_at_most_all, check_collisions, check_int_or_percent, check_match, check_replica_counts,
    check_runs_for_ever, check_selector, int_or_percent, invalid_selector, selector_is_immutable,
};

pub(super) struct StatefulSet;

/// Checks that an update skips.
#[derive(Clone, Copy, Default)]
struct Skip {
    service_name: bool,
    claims: bool,
    template: bool,
}

impl Strategy for StatefulSet {
    fn default(&self, object: &mut Object) {
        default_template(object);
        let spec = ensure(object, &["spec"]);
        set_default(spec, "replicas", 1);
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "podManagementPolicy", "OrderedReady");
        if spec["updateStrategy"].get("type").is_none() {
            set_default(spec, "updateStrategy", json!({}));
            set_default(&mut spec["updateStrategy"], "rollingUpdate", json!({}));
            spec["updateStrategy"]["type"] = "RollingUpdate".into();
        }
        let strategy = &mut spec["updateStrategy"];
        if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_object() {
            set_default(&mut strategy["rollingUpdate"], "partition", 0);
            set_default(&mut strategy["rollingUpdate"], "maxUnavailable", 1);
        }
        set_default(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
        for field in ["whenDeleted", "whenScaled"] {
            set_default(&mut spec["persistentVolumeClaimRetentionPolicy"], field, "Retain");
        }
        for claim in items_mut(spec, "volumeClaimTemplates") {
            if claim.is_object() {
                claim["apiVersion"] = "v1".into();
                claim["kind"] = "PersistentVolumeClaim".into();
            }
            set_default(ensure(claim, &["status"]), "phase", "Pending");
            if let Some(spec) = claim.get_mut("spec") {
                set_default(spec, "volumeMode", "Filesystem");
            }
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"replicas": 0, "availableReplicas": 0});
        ErrorList::new()
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec"), Skip::default()))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut skip = Skip { service_name: true, claims: true, template: false };
        // A template that was accepted before stays valid.
        skip.template = !check(old, |old| check_spec(&old.at("spec"), skip)).is_empty();
        check(object, |object| {
            let spec = object.at("spec");
            check_spec(&spec, skip);
            let was = &old["spec"];
            selector_is_immutable(&spec, was);
            if spec.get("volumeClaimTemplates") != &was["volumeClaimTemplates"] {
                spec.at("volumeClaimTemplates")
                    .invalid_list_as("PersistentVolumeClaim", "field is immutable");
            }
            for field in ["serviceName", "podManagementPolicy"] {
                spec.immutable_text(field, was);
            }
        })
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let status = object.at("status");
            check_replica_counts(
                &status,
                &[
                    "replicas",
                    "readyReplicas",
                    "currentReplicas",
                    "updatedReplicas",
                    "availableReplicas",
                    "observedGeneration",
                    "collisionCount",
                ],
                &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"],
                "status.readyReplicas",
            );
            check_collisions(&status, old);
        })
    }
}

fn check_spec(spec: &Field<'_>, skip: Skip) {
    if spec.needs("podManagementPolicy")
        && !matches!(spec.str("podManagementPolicy"), "OrderedReady" | "Parallel")
    {
        spec.at("podManagementPolicy").invalid("must be 'OrderedReady' or 'Parallel'");
    }
    check_strategy(&spec.at("updateStrategy"));
    let retention = spec.at("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        retention.one_of(field, &["Retain", "Delete"]);
    }
    for claim in spec.items("volumeClaimTemplates").filter(|_| !skip.claims) {
        check_claim_spec(&claim.at("spec"));
    }
    spec.non_negative_all(&["replicas", "minReadySeconds"]);
    if spec.at("ordinals").int("start").is_some_and(|n| n < 0) {
        let start = spec.at("ordinals").at("start");
        start.invalid("must be greater than or equal to 0");
    }
    if !skip.service_name {
        spec.maybe_valid("serviceName", names::dns1123_label);
    }
    check_selector(spec, "statefulset");
    if selector_of(spec.get("selector")).is_some() {
        check_set_template(spec, skip);
    } else {
        invalid_selector(&spec.at("selector"), "");
    }
    let template = spec.at("template");
    check_runs_for_ever(&template, "StatefulSet");
}

/// The template as its pods will have it: each with its own name, and with the claimed volumes.
fn check_set_template(spec: &Field<'_>, skip: Skip) {
    let template = spec.at("template");
    check_match(spec, &template);
    if skip.template {
        return;
    }
    let metadata = template.at("metadata");
    check_labels(&template.at("labels").instead(metadata.get("labels")));
    let mut whole = template.value().clone();
    for field in ["subdomain", "hostname"] {
        whole.remove_path(&["spec", field]);
    }
    let mut claims: Vec<&str> = Vec::new();
    for claim in spec.items("volumeClaimTemplates") {
        let name = claim.value().name();
        if !claims.contains(&name) {
            claims.push(name);
        }
    }
    if !claims.is_empty() {
        let claimed = claims
            .iter()
            .map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        let own = whole["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        let own = own.into_iter().filter(|v| !claims.contains(&v.str_at(&["name"])));
        let volumes: Vec<Value> = claimed.chain(own).collect();
        whole.set_path(&["spec", "volumes"], volumes.into());
    }
    template.extend(crate::registry::check::check_at(
        &whole,
        template.path().clone(),
        check_template,
    ));
}

fn check_strategy(strategy: &Field<'_>) {
    let rolling = strategy.at("rollingUpdate");
    match strategy.str("type") {
        "" => strategy.required(""),
        "OnDelete" if strategy.has("rollingUpdate") => rolling.invalid_as(
            "RollingUpdateStatefulSetStrategy",
            "only allowed for updateStrategy 'RollingUpdate'",
        ),
        "OnDelete" => {}
        "RollingUpdate" => {
            rolling.non_negative("partition");
            if rolling.has("maxUnavailable") {
                check_int_or_percent(&rolling, "maxUnavailable");
                if int_or_percent(rolling.get("maxUnavailable")) == 0 {
                    rolling.at("maxUnavailable").invalid("cannot be 0");
                }
                check_at_most_all(&rolling, "maxUnavailable");
            }
        }
        _ => strategy
            .invalid_as("StatefulSetUpdateStrategy", "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

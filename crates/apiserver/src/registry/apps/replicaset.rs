//! ReplicaSet.

use apimachinery::Object;
use apimachinery::field::ErrorList;
use serde_json::json;

use crate::registry::check::check;
use crate::registry::core::default_template;
use crate::registry::strategy::{Context, Strategy, ensure, set_default};
use crate::registry::workload::{check_replicated, check_replicated_counts, selector_is_immutable};

pub(super) struct ReplicaSet;

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Object) {
        default_template(object);
        set_default(ensure(object, &["spec"]), "replicas", 1);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"replicas": 0});
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            spec.non_negative_all(&["replicas", "minReadySeconds"]);
            check_replicated(&spec);
        })
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| selector_is_immutable(&object.at("spec"), &old["spec"]))
    }

    fn validate_status(&self, object: &Object, _old: &Object) -> ErrorList {
        check(object, |object| check_replicated_counts(&object.at("status")))
    }
}

//! Claims of persistent volumes: their number and size, in all and by storage class.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;

use super::{Evaluator, Scope};
use crate::resources::Amounts;
use apimachinery::ObjectExt;
use apimachinery::quantity::Quantity;

pub(super) const EVALUATOR: Evaluator =
    Evaluator { group: "", resource: "persistentvolumeclaims", tracks, usage, in_scope };

const NUMBER: &str = "persistentvolumeclaims";
const SIZE: &str = "requests.storage";
/// Between the name of a storage class and what is limited in it.
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";

fn tracks(name: &str) -> bool {
    let of = name.rsplit_once(OF_CLASS).map_or(name, |(_, of)| of);
    matches!(of, NUMBER | SIZE)
}

fn usage(claim: &Value, _: Timestamp) -> Amounts {
    let old_style = claim.annotation("volume.beta.kubernetes.io/storage-class");
    let class = old_style.unwrap_or_else(|| claim.str_at(&["spec", "storageClassName"]));
    let mut usage = Amounts::default();
    let size = size(claim);
    for prefix in ["".to_owned(), format!("{class}{OF_CLASS}")] {
        if prefix.is_empty() || !class.is_empty() {
            usage.count(format!("{prefix}{NUMBER}"), 1);
            if let Some(size) = size {
                usage.set(format!("{prefix}{SIZE}"), size);
            }
        }
    }
    usage
}

/// The size that is requested, or after a failed expansion the size that is allocated.
fn size(claim: &Value) -> Option<Quantity> {
    let amount = |path: &[&str]| {
        let amount = claim.get_path(path).filter(|amount| !amount.is_null())?;
        // Storage is counted in whole bytes.
        let amount = Quantity::from_value(amount).unwrap_or_default();
        Some(if amount.milli_value() % 1000 == 0 {
            amount
        } else {
            Quantity::from_units(amount.value(), amount.format())
        })
    };
    let asked = amount(&["spec", "resources", "requests", "storage"])?;
    Some(amount(&["status", "allocatedResources", "storage"]).unwrap_or_default().max(asked))
}

/// The volume attributes classes a claim wants, has, or is on the way to.
fn attribute_classes(claim: &Value) -> BTreeSet<&str> {
    let paths: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    paths.into_iter().map(|path| claim.str_at(path)).filter(|name| !name.is_empty()).collect()
}

fn in_scope(scope: &Scope<'_>, claim: &Value) -> bool {
    if scope.name != "VolumeAttributesClass" {
        return false;
    }
    let classes = attribute_classes(claim);
    if classes.is_empty() {
        return scope.selects(None);
    }
    classes.into_iter().any(|class| scope.selects(Some(class)))
}

/// Returns true if a change of the status does not change the usage.
#[must_use]
pub fn same_charge(claim: &Value, old: &Value) -> bool {
    size(claim) == size(old) && attribute_classes(claim) == attribute_classes(old)
}

#[cfg(test)]
mod tests {
    use super::super::Counted;
    use super::*;
    use serde_json::json;

    fn claims() -> Counted {
        Counted::of("", "persistentvolumeclaims").unwrap()
    }

    #[test]
    fn claims_count_in_all_and_by_class() {
        let claim = |storage: &str, class: &str| json!({"spec": {"storageClassName": class, "resources": {"requests": {"storage": storage}}}});
        let mut grown = claim("1Gi", "");
        grown["status"]["allocatedResources"]["storage"] = "3Gi".into();
        for (claim, want) in [
            (claim("1Gi", ""), "requests.storage=1Gi"),
            (claim("1500m", ""), "requests.storage=2"),
            (grown, "requests.storage=3Gi"),
            (
                claim("1Gi", "gold"),
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,\
                 gold.storageclass.storage.k8s.io/requests.storage=1Gi,\
                 persistentvolumeclaims=1,requests.storage=1Gi",
            ),
        ] {
            let usage = claims().usage(&claim, Timestamp::now());
            assert!(usage.to_string().ends_with(want), "{usage}");
            assert!(usage.names().all(|name| claims().tracks(name)));
        }
        assert!(!claims().tracks("gold.storageclass.storage.k8s.io/pods"));
    }

    #[test]
    fn scopes_look_at_every_attributes_class() {
        let quota = |operator: &str| {
            json!({"spec": {"scopeSelector": {"matchExpressions": [{
                "scopeName": "VolumeAttributesClass", "operator": operator, "values": ["fast"],
            }]}}})
        };
        let plain = json!({"spec": {}});
        let moving = json!({"spec": {"volumeAttributesClassName": "fast"},
            "status": {"currentVolumeAttributesClassName": "slow"}});
        for (operator, of_plain, of_moving) in
            [("In", false, true), ("NotIn", true, true), ("Exists", false, true)]
        {
            assert_eq!(claims().covers(&quota(operator), &plain), of_plain, "{operator}");
            assert_eq!(claims().covers(&quota(operator), &moving), of_moving, "{operator}");
        }
        assert!(!same_charge(&moving, &plain) && same_charge(&plain, &plain));
    }
}

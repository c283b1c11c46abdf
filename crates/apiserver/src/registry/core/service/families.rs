//! Address families of a service in an IPv4-only cluster (upstream's `initIPFamilyFields`).

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::list;
use crate::registry::check::{Field, check};

const SINGLE: &str = "SingleStack";
const REQUIRE_DUAL: &str = "RequireDualStack";
const IPV4: &str = "IPv4";

/// Fills in the policy and families that the client omitted, or reports why that is impossible.
pub(super) fn complete(object: &mut Object, old: &Object) -> ErrorList {
    let (spec, was) = (&object["spec"], &old["spec"]);
    if keeps_prefer_dual_stack(spec, was) {
        return ErrorList::new();
    }
    // The endpoints of such a service are not selected, so their families are not limited.
    let chosen_by_hand = spec["clusterIP"] == "None" && is_empty(&spec["selector"]);
    if spec["ipFamilyPolicy"].is_null() {
        let policy = match &was["ipFamilyPolicy"] {
            Value::Null if chosen_by_hand => REQUIRE_DUAL.into(),
            Value::Null => SINGLE.into(),
            before => before.clone(),
        };
        object.set_path(&["spec", "ipFamilyPolicy"], policy);
    }
    let single = object["spec"]["ipFamilyPolicy"] == SINGLE;
    if single && object["spec"]["ipFamilies"] == was["ipFamilies"] {
        // A request for a single family gives up the second.
        let families = object["spec"].get_mut("ipFamilies").and_then(Value::as_array_mut);
        families.into_iter().for_each(|families| families.truncate(1));
    }
    let errors = check(object, |object| check_numbers(&object.at("spec"), was));
    if !errors.is_empty() {
        return errors;
    }
    let mut families: Vec<Value> = list(object, &["spec", "ipFamilies"]).cloned().collect();
    if families.is_empty() {
        families.push(IPV4.into());
    }
    if chosen_by_hand {
        if families.len() < 2 && !single {
            families.push(if families[0] == IPV4 { "IPv6".into() } else { IPV4.into() });
        }
    } else {
        let errors = check(object, |object| check_configured(&object.at("spec")));
        if !errors.is_empty() {
            return errors;
        }
    }
    object.set_path(&["spec", "ipFamilies"], json!(families));
    ErrorList::new()
}

fn is_empty(map: &Value) -> bool {
    map.as_object().is_none_or(serde_json::Map::is_empty)
}

/// Returns true if a change keeps what was allocated to a PreferDualStack service.
fn keeps_prefer_dual_stack(spec: &Value, was: &Value) -> bool {
    const SAME: [&str; 4] = ["type", "ipFamilyPolicy", "clusterIPs", "ipFamilies"];
    spec["ipFamilyPolicy"] == "PreferDualStack" && SAME.iter().all(|name| spec[*name] == was[*name])
}

/// The policy must fit the number of addresses and families, and addresses must belong to a family
/// of the cluster.
fn check_numbers(spec: &Field<'_>, was: &Value) {
    let policy = spec.at("ipFamilyPolicy");
    let fields =
        [("clusterIPs", "cluster IP", "cluster IPs"), ("ipFamilies", "IP family", "IP families")];
    if policy.text() != SINGLE {
        for (field, one, _) in fields {
            let (now, before) = (spec.len(field), was[field].as_array().map_or(0, Vec::len));
            if now > 0 && now < before {
                policy.invalid(format!("must be 'SingleStack' to release the secondary {one}"));
            }
        }
    } else {
        for (field, _, many) in fields {
            if spec.len(field) == 2 {
                policy.invalid(format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {many} are \
                     specified"
                ));
            }
        }
    }
    for ip in spec.items("clusterIPs").skip(spec.len("ipFamilies")) {
        if ip.text().contains(':') {
            ip.invalid_value(
                spec.get("clusterIPs").clone(),
                "IPv6 is not configured on this cluster",
            );
        }
    }
}

fn check_configured(spec: &Field<'_>) {
    if spec.str("ipFamilyPolicy") == REQUIRE_DUAL {
        spec.at("ipFamilyPolicy").invalid("this cluster is not configured for dual-stack services");
    }
    for family in spec.items("ipFamilies").filter(|family| family.text() != IPV4) {
        family.invalid("not configured on this cluster");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(spec: Value, was: Value) -> (Value, Value, Vec<String>) {
        let mut object = json!({"spec": spec});
        let errors = complete(&mut object, &json!({"spec": was}));
        let said = errors.0.iter().map(|e| format!("{}: {}", e.path, e.detail)).collect();
        let spec = &object["spec"];
        (spec["ipFamilyPolicy"].clone(), spec["ipFamilies"].clone(), said)
    }

    fn complaints(spec: Value) -> Vec<String> {
        completed(spec, Value::Null).2
    }

    #[test]
    fn what_is_left_open_is_single_stack() {
        let selector = json!({"a": "b"});
        for spec in [
            json!({}),
            json!({"selector": selector, "clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9"]}),
            json!({"selector": selector, "clusterIP": "None", "clusterIPs": ["None"]}),
        ] {
            let got = completed(spec.clone(), Value::Null);
            assert_eq!(got, (SINGLE.into(), json!(["IPv4"]), vec![]), "{spec}");
        }
        // Manually managed endpoints may be of both families.
        let headless = json!({"clusterIP": "None", "clusterIPs": ["None"]});
        let (policy, families, said) = completed(headless.clone(), Value::Null);
        assert_eq!((policy, families), (REQUIRE_DUAL.into(), json!(["IPv4", "IPv6"])));
        assert!(said.is_empty(), "{said:?}");
        // Unless a single family is requested.
        let mut single = headless.clone();
        single["ipFamilyPolicy"] = SINGLE.into();
        single["ipFamilies"] = json!(["IPv4", "IPv6"]);
        let was = json!({"ipFamilyPolicy": REQUIRE_DUAL, "ipFamilies": ["IPv4", "IPv6"],
            "clusterIP": "None", "clusterIPs": ["None"]});
        assert_eq!(completed(single, was), (SINGLE.into(), json!(["IPv4"]), vec![]));
    }

    #[test]
    fn a_family_that_the_cluster_has_not_is_refused_where_it_is_asked_for() {
        let six = json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"]});
        let said = ["spec.clusterIPs[0]: IPv6 is not configured on this cluster"];
        assert_eq!(complaints(six), said);
        let said = ["spec.ipFamilies[0]: not configured on this cluster"];
        assert_eq!(complaints(json!({"ipFamilies": ["IPv6"]})), said);
        let said = ["spec.ipFamilyPolicy: this cluster is not configured for dual-stack services"];
        assert_eq!(complaints(json!({"ipFamilyPolicy": REQUIRE_DUAL})), said);
        let said = ["spec.ipFamilyPolicy: must be 'RequireDualStack' or 'PreferDualStack' when \
                     multiple IP families are specified"];
        let both = json!({"ipFamilyPolicy": SINGLE, "ipFamilies": ["IPv4", "IPv6"]});
        assert_eq!(complaints(both), said);
        assert!(complaints(json!({"ipFamilyPolicy": "PreferDualStack"})).is_empty());
    }
}

//! Claims of devices: their number by device class.

use jiff::Timestamp;
use serde_json::Value;

use super::Evaluator;
use crate::resources::Amounts;
use apimachinery::ObjectExt;
use apimachinery::quantity::{Format, Quantity};

pub(super) const EVALUATOR: Evaluator = Evaluator {
    group: "resource.k8s.io",
    resource: "resourceclaims",
    tracks,
    usage,
    in_scope: |_, _| false,
};

/// Follows the name of a device class.
const OF_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// As many devices as one claim can get: what "all there are" counts for.
const MOST: i64 = 32;

fn tracks(name: &str) -> bool {
    name.ends_with(OF_CLASS)
}

fn usage(claim: &Value, _: Timestamp) -> Amounts {
    let mut usage = Amounts::default();
    for request in claim["spec"]["devices"]["requests"].as_array().into_iter().flatten() {
        let mut worst = Amounts::default();
        match request["firstAvailable"].as_array() {
            // Only one of the alternatives comes true: of each class, the most it may take.
            Some(alternatives) => alternatives.iter().for_each(|one| worst.raise_to(&devices(one))),
            None if request["exactly"].is_object() => worst = devices(&request["exactly"]),
            None => {}
        }
        usage.add(&worst);
    }
    usage
}

/// The devices of one request that names a class.
fn devices(request: &Value) -> Amounts {
    let number = match request.str_at(&["allocationMode"]) {
        "ExactCount" => request["count"].as_i64().unwrap_or(0),
        "All" => MOST,
        _ => 0,
    };
    let class = request.str_at(&["deviceClassName"]);
    let number = Quantity::from_units(number, Format::DecimalSi);
    [(format!("{class}{OF_CLASS}"), number)].into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::super::Counted;
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_are_counted_at_their_worst() {
        let exact = |class: &str, count: i64| json!({"deviceClassName": class, "allocationMode": "ExactCount", "count": count});
        let all = json!({"deviceClassName": "gpu", "allocationMode": "All"});
        let claim = json!({"spec": {"devices": {"requests": [
            {"name": "a", "exactly": exact("gpu", 2)},
            {"name": "b", "firstAvailable": [exact("gpu", 1), all, exact("nic", 1)]},
            {"name": "c"},
        ]}}});
        let claims = Counted::of("resource.k8s.io", "resourceclaims").unwrap();
        let usage = claims.usage(&claim, Timestamp::now());
        assert_eq!(
            usage.to_string(),
            "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=34,\
             nic.deviceclass.resource.k8s.io/devices=1"
        );
        assert!(usage.names().all(|name| claims.tracks(name)));
    }
}

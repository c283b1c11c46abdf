//! Services: their number, and what of them costs elsewhere.

use jiff::Timestamp;
use serde_json::Value;

use super::Evaluator;
use crate::resources::Amounts;
use apimachinery::ObjectExt;

pub(super) const EVALUATOR: Evaluator =
    Evaluator { group: "", resource: "services", tracks, usage, in_scope: |_, _| false };

fn tracks(name: &str) -> bool {
    matches!(name, "services" | "services.nodeports" | "services.loadbalancers")
}

/// Node ports are not allocated yet when a service is admitted: what it will get counts.
fn usage(service: &Value, _: Timestamp) -> Amounts {
    let spec = &service["spec"];
    let ports = || spec["ports"].as_array().into_iter().flatten();
    let of = spec.str_at(&["type"]);
    let node_ports = match of {
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => {
            ports().filter(|port| port["nodePort"].as_i64().unwrap_or(0) != 0).count()
        }
        "LoadBalancer" | "NodePort" => ports().count(),
        _ => 0,
    };
    let mut usage = Amounts::default();
    usage.count("services", 1);
    usage.count("services.nodeports", node_ports);
    usage.count("services.loadbalancers", usize::from(of == "LoadBalancer"));
    usage
}

#[cfg(test)]
mod tests {
    use super::super::Counted;
    use super::*;
    use serde_json::json;

    #[test]
    fn node_ports_and_load_balancers_are_counted_by_intent() {
        let services = Counted::of("", "services").unwrap();
        let ports = json!([{"port": 1, "nodePort": 30001}, {"port": 2}]);
        for (spec, node_ports, balancers) in [
            (json!({"type": "ClusterIP", "ports": ports}), "0", "0"),
            (json!({"type": "ExternalName"}), "0", "0"),
            (json!({"type": "NodePort", "ports": ports}), "2", "0"),
            (json!({"type": "LoadBalancer", "ports": ports}), "2", "1"),
            (
                json!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false}),
                "1",
                "1",
            ),
        ] {
            let usage = services.usage(&json!({ "spec": spec }), Timestamp::now());
            let want = format!(
                "count/services=1,services=1,services.loadbalancers={balancers},\
                 services.nodeports={node_ports}"
            );
            assert_eq!(usage.to_string(), want, "{spec}");
            assert!(usage.names().all(|name| services.tracks(name)));
        }
    }
}

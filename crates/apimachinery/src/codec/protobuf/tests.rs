use super::*;
use serde_json::json;

#[test]
fn builtin_kinds_round_trip() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "x", "labels": {"a": "b"}, "creationTimestamp": "2024-01-01T00:00:00Z"},
        "spec": {
            "containers": [{
                "name": "c", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 3},
                "resources": {"requests": {"cpu": "100m"}},
            }],
            "volumes": [{"name": "v", "emptyDir": {}}],
            "automountServiceAccountToken": false, "priority": 0,
        },
        "status": {"podIPs": [{"ip": "10.0.0.1"}]},
    });
    assert_eq!(decode(&encode(&pod).unwrap()).unwrap(), pod);
}

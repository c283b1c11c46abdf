//! The objects every cluster has from its first moment.

use apimachinery::{Object, ObjectExt, Status, time};
use serde_json::{Value, json};
use store::Expect;

use crate::authz::policy;
use crate::registry::{self, Kind};
use crate::server::Server;
use crate::verbs::Failure;

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

fn kind_of(object: &Object) -> Result<&'static Kind, Status> {
    let (group, version) =
        object.api_version().split_once('/').unwrap_or(("", object.api_version()));
    registry::find_kind(group, version, object.kind())
        .ok_or_else(|| Status::internal(format!("no kind {}", object.kind())))
}

/// Marks as taken what stored services hold.
pub(crate) fn reserve_service_addresses(server: &Server) {
    let Some(kind) = registry::find("", "v1", "services") else { return };
    let Ok((snapshot, _)) = server.present(kind) else { return };
    for entry in snapshot.range("", "") {
        let service = entry.object();
        let ip = service.str_at(&["spec", "clusterIP"]);
        if !matches!(ip, "" | "None")
            && let Err(why) = server.settings.addresses.reserve(ip)
        {
            tracing::warn!(service = %entry.path(), why, "stored service address");
        }
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            if let Some(number) = port["nodePort"].as_i64().filter(|n| *n > 0) {
                let _ = server.settings.node_ports.reserve(port.str_at(&["protocol"]), number);
            }
        }
    }
}

/// Makes what is missing. What exists is left alone, except that the policy marked for
/// auto-update regains its rules and the `kubernetes` service its endpoint.
pub(crate) async fn run(server: &Server) -> Result<(), Status> {
    for name in NAMESPACES {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        });
        ensure(server, object, |_, _| false).await?;
    }
    for class in
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)]
    {
        let object = json!({
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": class.0}, "value": class.1,
            "preemptionPolicy": "PreemptLowerPriority",
            "description": format!("Used for system critical pods. ({})", class.0),
        });
        ensure(server, object, |_, _| false).await?;
    }
    let range = server.settings.service_range.to_string();
    let services = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [range]},
        "status": {"conditions": [{
            "type": "Ready", "status": "True", "lastTransitionTime": time::now_rfc3339(),
            "reason": "", "message": "Kubernetes Service CIDR is ready",
        }]},
    });
    ensure(server, services, |_, _| false).await?;
    for object in policy::objects() {
        ensure(server, object, restore_policy).await?;
    }
    kubernetes_service(server).await
}

/// Gives an auto-updated role or binding back what it lacks.
fn restore_policy(live: &mut Object, wanted: &Object) -> bool {
    if live.annotation("rbac.authorization.kubernetes.io/autoupdate") != Some("true") {
        return false;
    }
    let mut changed = false;
    for field in ["rules", "subjects"] {
        for item in wanted[field].as_array().into_iter().flatten() {
            let present = live[field].as_array().is_some_and(|list| list.contains(item));
            if !present {
                match live[field].as_array_mut() {
                    Some(list) => list.push(item.clone()),
                    None => live[field] = json!([item]),
                }
                changed = true;
            }
        }
    }
    changed
}

/// Creates `wanted`, or lets `mend` change what is there.
async fn ensure(
    server: &Server,
    wanted: Object,
    mend: impl Fn(&mut Object, &Object) -> bool,
) -> Result<(), Status> {
    let kind = kind_of(&wanted)?;
    loop {
        let outcome = match server.entry(kind, wanted.namespace(), wanted.name()) {
            None => {
                let mut object = wanted.clone();
                kind.write_zeros(&mut object);
                object.set_meta("uid", uuid::Uuid::new_v4().to_string().into());
                object.set_meta("creationTimestamp", time::now_rfc3339().into());
                if kind.generation {
                    object.set_meta("generation", 1.into());
                }
                server.commit(kind, &mut object, Expect::Absent).await
            }
            Some(entry) => {
                let mut live = entry.object();
                if !mend(&mut live, &wanted) {
                    return Ok(());
                }
                server.commit(kind, &mut live, Expect::At(entry.revision)).await
            }
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(status)) => return Err(status),
            Err(Failure::Conflict) => {}
        }
    }
}

/// The service through which pods reach this server, at the first address of the range.
async fn kubernetes_service(server: &Server) -> Result<(), Status> {
    let settings = &server.settings;
    let first = u32::from(settings.service_range.network()) + 1;
    let ip = std::net::Ipv4Addr::from(first).to_string();
    let (host, port) = (settings.advertise.ip().to_string(), settings.advertise.port());
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {
            "type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
        },
        "status": {"loadBalancer": {}},
    });
    // Taken already when the service is stored.
    let _ = settings.addresses.reserve(&ip);
    ensure(server, service, |live, wanted| replace(live, wanted, &["spec"])).await?;

    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": host}], "ports": ports}],
    });
    ensure(server, endpoints, |live, wanted| replace(live, wanted, &["subsets"])).await?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4", "ports": ports,
        "endpoints": [{"addresses": [host], "conditions": {"ready": true}}],
    });
    ensure(server, slice, |live, wanted| replace(live, wanted, &["endpoints", "ports"])).await
}

fn replace(live: &mut Value, wanted: &Value, fields: &[&str]) -> bool {
    let mut changed = false;
    for field in fields {
        if live[*field] != wanted[*field] {
            live[*field] = wanted[*field].clone();
            changed = true;
        }
    }
    changed
}

//! The objects that every cluster has from its start.

pub(crate) mod api_services;
pub(crate) mod flow_control;

use apimachinery::apply::{self, Writer};
use apimachinery::schema::Registry;
use apimachinery::{Object, ObjectExt, Status, time};
use serde_json::{Value, json};
use store::Expect;

use crate::authz::policy;
use crate::registry::{self, Kind, Sub, items_mut};
use crate::server::Server;
use crate::verbs::Failure;
use crate::{aggregation, cache};

const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

fn kind_of(object: &Object) -> Result<&'static Kind, Status> {
    let (group, version) =
        object.api_version().split_once('/').unwrap_or(("", object.api_version()));
    registry::find_kind(group, version, object.kind())
        .ok_or_else(|| Status::internal(format!("no kind {}", object.kind())))
}

/// Reserves the addresses and ports of stored services.
pub(crate) fn reserve_service_addresses(server: &Server) {
    let Some(kind) = registry::find("", "v1", "services") else { return };
    let addresses = &server.settings.addresses;
    let Ok((snapshot, _)) = server.present(kind) else {
        addresses.set_unknown(true);
        return;
    };
    addresses.set_unknown(false);
    for entry in snapshot.range("", "") {
        let service = entry.object();
        let ip = service.str_at(&["spec", "clusterIP"]);
        if !matches!(ip, "" | "None")
            && let Err(why) = server.settings.addresses.reserve(ip)
        {
            tracing::warn!(service = %entry.path(), %why, "stored service address");
        }
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            if let Some(number) = port["nodePort"].as_i64().filter(|n| *n > 0) {
                let _ = server.settings.node_ports.reserve(port.str_at(&["protocol"]), number);
            }
        }
    }
}

/// Updates an existing object towards the wanted one; returns true if it changed.
type Mend = fn(&mut Object, &Object) -> bool;

/// Field manager of the objects that the server creates.
pub(crate) const MANAGER: &str = "kube-apiserver";

/// Fields without an owner: upstream's strategies set them after its field manager has run.
const UNOWNED: &[(&str, &[&str])] = &[
    ("Namespace", &["spec", "finalizers"]),
    ("Service", &["spec", "clusterIPs"]),
    ("Service", &["spec", "ipFamilies"]),
];

/// Kinds whose status is applied by an upstream controller, and its name.
const STATUS_BY: &[(&str, &str)] = &[
    ("FlowSchema", "api-priority-and-fairness-config-consumer-v1"),
    ("ServiceCIDR", "kubernetes-service-cidr-controller"),
];

/// Creates missing objects. Existing ones are left alone, except that policy marked for auto-update
/// regains its rules and the `kubernetes` service its endpoint.
pub(crate) async fn run(server: &Server) -> Result<(), Status> {
    let leave: Mend = |_, _| false;
    let mut wanted: Vec<(Object, &str, Mend)> = Vec::new();
    wanted.extend(NAMESPACES.iter().map(|name| (namespace(name), MANAGER, leave)));
    wanted.extend(PRIORITY_CLASSES.iter().map(|class| (priority_class(class), MANAGER, leave)));
    wanted.push((service_cidr(server), MANAGER, leave));
    wanted.extend(policy::objects().into_iter().map(|o| (o, MANAGER, restore_policy as Mend)));
    wanted.extend(api_services::objects().map(|o| (o, MANAGER, leave)));
    wanted.extend(flow_control::objects().map(|o| (o, flow_control::MANAGER, leave)));
    wanted.push((crate::authn::tracking(), MANAGER, leave));
    let authority = authentication_config(server);
    wanted.push((authority, MANAGER, |live, wanted| replace(live, wanted, &["data"])));
    // Concurrently, so that many share one disk write.
    let all =
        wanted.into_iter().map(|(object, manager, mend)| ensure(server, object, manager, mend));
    futures::future::try_join_all(all).await?;
    kubernetes_service(server).await
}

fn namespace(name: &str) -> Object {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    })
}

/// Names, values and descriptions.
const PRIORITY_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another \
         node if necessary.",
    ),
];

fn priority_class((name, value, description): &(&str, i64, &str)) -> Object {
    json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": {"name": name}, "value": value, "description": description,
        "preemptionPolicy": "PreemptLowerPriority",
    })
}

fn service_cidr(server: &Server) -> Object {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": [server.settings.service_range.to_string()]},
        "status": {"conditions": [{
            "type": "Ready", "status": "True", "lastTransitionTime": time::now_rfc3339(),
            "reason": "", "message": "Kubernetes default Service CIDR is ready",
        }]},
    })
}

/// Tells extension API servers whose certificates count now.
pub(crate) async fn publish_authorities(server: &Server) -> Result<(), Status> {
    let mend = |live: &mut Object, wanted: &Object| replace(live, wanted, &["data"]);
    ensure(server, authentication_config(server), MANAGER, mend).await
}

/// The configuration by which extension API servers authenticate users of proxied requests.
fn authentication_config(server: &Server) -> Object {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
        "data": {
            "client-ca-file": server.authn.trusted().borrow().users,
            "requestheader-allowed-names": json!([aggregation::NAME]).to_string(),
            "requestheader-client-ca-file": server.backends.front.authority,
            "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
            "requestheader-group-headers": r#"["X-Remote-Group"]"#,
            "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
            "requestheader-username-headers": r#"["X-Remote-User"]"#,
        },
    })
}

/// Restores missing parts of an auto-updated role or binding.
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

/// Creates `wanted`, or lets `mend` update the existing object.
pub(crate) async fn ensure(
    server: &Server,
    wanted: Object,
    manager: &str,
    mend: impl Fn(&mut Object, &Object) -> bool,
) -> Result<(), Status> {
    let kind = kind_of(&wanted)?;
    loop {
        let (mut object, live) = match server.entry(kind, wanted.namespace(), wanted.name()) {
            None => {
                let namespace = if kind.namespaced { wanted.namespace() } else { "" };
                let place = cache::prefix(kind.stored_group(), kind.resource);
                let place = cache::key(&place, namespace, wanted.name());
                if let Some(broken) = server.storage.broken(&place) {
                    // It is there, and whoever can mend it needs a server.
                    tracing::error!(error = broken.message(), "an object of the cluster's own");
                    return Ok(());
                }
                let mut object = wanted.clone();
                kind.write_zeros(&mut object);
                object.set_meta("uid", uuid::Uuid::new_v4().to_string().into());
                object.set_meta("creationTimestamp", time::now_rfc3339().into());
                if kind.generation {
                    object.set_meta("generation", 1.into());
                }
                (object, None)
            }
            Some(entry) => {
                let live = entry.object();
                let mut object = live.clone();
                if !mend(&mut object, &wanted) {
                    return Ok(());
                }
                (object, Some((live, entry.revision)))
            }
        };
        record(kind, live.as_ref().map(|(o, _)| o), &mut object, manager)?;
        let expect = live.map_or(Expect::Absent, |(_, revision)| Expect::At(revision));
        match server.commit(kind, &mut object, expect).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(status)) => return Err(status),
            Err(Failure::Conflict) => {}
        }
    }
}

/// Records the manager of an object in managedFields.
fn record(
    kind: &Kind,
    live: Option<&Object>,
    object: &mut Object,
    manager: &str,
) -> Result<(), Status> {
    let schema = Registry::builtin().lookup(kind.group, kind.version, kind.kind);
    let Some(schema) = schema else { return Ok(()) };
    let (api_version, now) = (kind.api_version(), time::now_rfc3339());
    let mut writer = Writer {
        manager,
        api_version: &api_version,
        subresource: "",
        now: &now,
        reset_fields: kind.policy().reset_fields(None, kind.has(Sub::Status)),
    };
    let mut owned = object.clone();
    for (_, path) in UNOWNED.iter().filter(|(of, _)| *of == kind.kind) {
        owned.remove_path(path);
    }
    apply::update_managers(schema, live, &mut owned, &writer);
    let applied = STATUS_BY.iter().find(|(of, _)| *of == kind.kind && live.is_none());
    if let Some((_, manager)) = applied {
        (writer.manager, writer.subresource, writer.reset_fields) = (manager, "status", &[]);
        let mut status = json!({
            "apiVersion": api_version, "kind": kind.kind,
            "metadata": {"name": object.name()}, "status": object["status"],
        });
        for condition in items_mut(&mut status["status"], "conditions") {
            // Empty values are omitted.
            if condition["reason"] == "" {
                condition.remove_path(&["reason"]);
            }
        }
        owned.remove_path(&["status"]);
        owned = apply::apply(schema, Some(&owned), &status, &writer, true)?;
    }
    object.set_meta("managedFields", owned["metadata"]["managedFields"].clone());
    Ok(())
}

/// The service by which pods reach this server, at the first address of the range.
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
    // The address is already taken if the service is stored.
    let _ = settings.addresses.reserve(&ip);
    let address = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IPAddress",
        "metadata": {"name": ip, "labels": {
            "ipaddress.kubernetes.io/ip-family": "IPv4",
            "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }},
        "spec": {"parentRef": {
            "resource": "services", "namespace": "default", "name": "kubernetes",
        }},
    });
    ensure(server, address, MANAGER, |_, _| false).await?;
    ensure(server, service, MANAGER, |live, wanted| replace(live, wanted, &["spec"])).await?;

    let ports = json!([{"name": "https", "port": port, "protocol": "TCP"}]);
    let endpoints = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": host}], "ports": ports}],
    });
    ensure(server, endpoints, MANAGER, |live, wanted| replace(live, wanted, &["subsets"])).await?;
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "kubernetes", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4", "ports": ports,
        "endpoints": [{"addresses": [host], "conditions": {"ready": true}}],
    });
    ensure(server, slice, MANAGER, |live, wanted| replace(live, wanted, &["endpoints", "ports"]))
        .await
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

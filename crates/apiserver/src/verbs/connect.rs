//! Streams to a node: logs, exec, attach, port-forward, and HTTP proxying.
//!
//! The kubelet speaks the streaming protocols; this end only finds it, authenticates to it and
//! copies bytes, so that WebSocket and SPDY clients are served alike.

mod address;
mod forward;
mod links;
mod proxy;

use apimachinery::{Object, ObjectExt, Status};
use http::{Request, Response};
use serde_json::Value;

use super::Call;
use crate::authz::{self, Attributes, Decision};
use crate::body::Body;
use crate::encode::view;
use crate::registry::{self, Sub};
use forward::{Target, Tls, forward};

/// Port of the kubelet's server when a node does not say.
const KUBELET_PORT: u16 = 10_250;

pub(super) async fn connect(
    call: &Call<'_>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if matches!(call.sub, Some(Sub::Exec | Sub::Attach | Sub::PortForward)) {
        may_create(call)?;
    }
    match call.sub {
        Some(Sub::Proxy) => proxy::proxy(call, request).await,
        Some(sub) => forward(call, pod_stream(call, sub)?, request).await,
        None => Err(Status::internal("not a connection")),
    }
}

/// A WebSocket begins with a GET, but what runs in it is no reading: it takes the right to create
/// (upstream's `AuthorizePodWebsocketUpgradeCreatePermission`).
fn may_create(call: &Call<'_>) -> Result<(), Status> {
    if call.info.verb == "create" {
        return Ok(());
    }
    let attributes = Attributes::of(&call.user, "create", &call.info);
    match authz::decide(call.server, &attributes) {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) => {
            Err(Status::forbidden(call.kind.group, call.kind.resource, &call.info.name, reason))
        }
    }
}

fn object(call: &Call<'_>, resource: &str, namespace: &str, name: &str) -> Result<Object, Status> {
    let kind =
        registry::find("", "v1", resource).ok_or_else(|| Status::internal("no such kind"))?;
    let entry = call
        .server
        .entry(kind, namespace, name)
        .ok_or_else(|| Status::not_found("", resource, name))?;
    Ok(view(kind, &entry))
}

/// The address and port of a node's kubelet.
fn kubelet(call: &Call<'_>, node: &str) -> Result<(String, u16), Status> {
    let node = object(call, "nodes", "", node)?;
    let addresses = node.get_path(&["status", "addresses"]).and_then(Value::as_array);
    let address = |of: &str| {
        let mut all = addresses.into_iter().flatten();
        all.find(|a| a["type"] == of).map(|a| a.str_at(&["address"]).to_owned())
    };
    let host = address("InternalIP").or_else(|| address("Hostname")).ok_or_else(|| {
        Status::internal(format!("no preferred addresses found for node {}", node.name()))
    })?;
    let port = node.get_path(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
    let port = port.and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok());
    Ok((host, port.unwrap_or(KUBELET_PORT)))
}

/// The container that a stream is for.
fn container(call: &Call<'_>, pod: &Object) -> Result<String, Status> {
    let names: Vec<&str> = ["containers", "initContainers", "ephemeralContainers"]
        .iter()
        .filter_map(|list| pod.get_path(&["spec", list]).and_then(Value::as_array))
        .flatten()
        .map(|c| c.str_at(&["name"]))
        .collect();
    let own = pod.get_path(&["spec", "containers"]).and_then(Value::as_array).map_or(0, Vec::len);
    let default = pod.annotation("kubectl.kubernetes.io/default-container");
    match (call.query.text("container"), default) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
        (Some(name), _) => Err(Status::bad_request(format!(
            "container {name} is not valid for pod {}",
            pod.name()
        ))),
        (None, Some(name)) if names.contains(&name) => Ok(name.to_owned()),
        (None, _) if own == 1 => Ok(names[0].to_owned()),
        (None, _) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            pod.name(),
            names[..own.min(names.len())].join(" ")
        ))),
    }
}

fn pod_stream(call: &Call<'_>, sub: Sub) -> Result<Target, Status> {
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    let pod = object(call, "pods", namespace, name)?;
    let node = pod.str_at(&["spec", "nodeName"]);
    let verb = match sub {
        Sub::Log => "containerLogs",
        Sub::Exec => "exec",
        Sub::Attach => "attach",
        _ => "portForward",
    };
    if node.is_empty() {
        return Err(Status::bad_request(format!("pod {name} does not have a host assigned")));
    }
    let (host, port) = kubelet(call, node)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut copy = |from: &str, to: &str| {
        for value in call.query.all(from) {
            query.append_pair(to, value);
        }
    };
    let mut path = format!("/{verb}/{namespace}/{name}");
    if sub == Sub::PortForward {
        copy("ports", "port");
    } else {
        path = format!("{path}/{}", container(call, &pod)?);
    }
    match sub {
        Sub::Log => {
            const OPTIONS: &[&str] = &[
                "follow",
                "previous",
                "sinceSeconds",
                "sinceTime",
                "tailLines",
                "limitBytes",
                "timestamps",
                "stream",
            ];
            OPTIONS.iter().for_each(|option| copy(option, option));
        }
        Sub::Exec | Sub::Attach => {
            for (from, to) in [("stdin", "input"), ("stdout", "output"), ("stderr", "error")] {
                if call.query.flag(from) {
                    query.append_pair(to, "1");
                }
            }
            if call.query.flag("tty") {
                query.append_pair("tty", "1");
            }
            for word in call.query.all("command") {
                query.append_pair("command", word);
            }
        }
        _ => {}
    }
    let query = query.finish();
    let path = if query.is_empty() { path } else { format!("{path}?{query}") };
    Ok(Target { host, port, addresses: Vec::new(), tls: Some(Tls::Kubelet), path })
}

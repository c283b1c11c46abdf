//! Streams to a node: logs, exec, attach, port-forward, and HTTP proxying.
//!
//! The kubelet implements the streaming protocols; this end only finds it, authenticates to it and
//! copies bytes, so WebSocket and SPDY clients work alike.

pub(crate) mod address;
pub(crate) mod forward;
mod html;
mod links;
mod log;
mod path;
mod proxy;

use apimachinery::{Object, ObjectExt, Status};
use http::{Request, Response, StatusCode};
use serde_json::{Value, json};

use super::Call;
use crate::admission;
use crate::authz::{self, Attributes, Decision, Refusal};
use crate::body::{Body, full};
use crate::discovery::sub_kind;
use crate::encode::view;
use crate::registry::{self, Sub, api_version};
use forward::{Target, Tls, forward};

/// Default port of the kubelet's server.
const KUBELET_PORT: u16 = 10_250;

pub(super) async fn connect(
    call: &Call<'_>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if matches!(call.sub, Some(Sub::Exec | Sub::Attach | Sub::PortForward)) {
        may_create(call).await?;
    }
    if call.sub != Some(Sub::Log) {
        admission::connect(call, options(call)).await?;
    }
    let tls = &call.server.settings.kubelet_tls;
    match call.sub {
        Some(Sub::Proxy) => proxy::proxy(call, request).await,
        Some(sub) => match (pod_stream(call, sub)?, sub) {
            (Some(target), _) => forward(tls, target, request).await,
            // A pod without a node has no logs.
            (None, Sub::Log) => {
                let mut response = Response::new(full(""));
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            (None, _) => {
                let name = &call.info.name;
                let message = format!("pod {name} does not have a host assigned");
                Err(Status::bad_request(message))
            }
        },
        None => Err(Status::internal("not a connection")),
    }
}

/// The options of a connection as an object, as webhooks see them.
fn options(call: &Call<'_>) -> Object {
    let (group, version, kind) = sub_kind(&call.kind, call.sub.unwrap_or(Sub::Proxy));
    let mut options = json!({"kind": kind, "apiVersion": api_version(group, version)});
    if call.sub == Some(Sub::Proxy) {
        options["path"] = call.info.rest.as_str().into();
        return options;
    }
    for flag in ["stdin", "stdout", "stderr", "tty"] {
        if call.query.flag(flag) {
            options[flag] = true.into();
        }
    }
    if let Some(container) = call.query.text("container") {
        options["container"] = container.into();
    }
    let command: Vec<&str> = call.query.all("command").collect();
    if !command.is_empty() {
        options["command"] = command.into();
    }
    let ports: Vec<u64> = call.query.all("ports").filter_map(|port| port.parse().ok()).collect();
    if !ports.is_empty() {
        options["ports"] = ports.into();
    }
    options
}

/// A WebSocket begins with a GET but can change the container: it requires the right to create
/// (upstream's `AuthorizePodWebsocketUpgradeCreatePermission`).
async fn may_create(call: &Call<'_>) -> Result<(), Status> {
    if call.info.verb == "create" {
        return Ok(());
    }
    let attributes = Attributes::of(&call.user, "create", &call.info);
    match authz::decide(call.server, attributes).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(Refusal { reason, .. }) => {
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
        let shown = |a: &Value| format!("{{{} {}}}", a.str_at(&["type"]), a.str_at(&["address"]));
        let known = addresses.into_iter().flatten().map(shown).collect::<Vec<_>>().join(" ");
        let message = format!("no preferred addresses found; known addresses: [{known}]");
        Status::generic(500, "", message)
    })?;
    let port = node.get_path(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]);
    let port = port.and_then(Value::as_u64).and_then(|p| u16::try_from(p).ok());
    Ok((host, port.unwrap_or(KUBELET_PORT)))
}

/// The container of a stream.
fn container(call: &Call<'_>, pod: &Object) -> Result<String, Status> {
    let names: Vec<&str> = ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .filter_map(|list| pod.get_path(&["spec", list]).and_then(Value::as_array))
        .flatten()
        .map(|c| c.str_at(&["name"]))
        .collect();
    let own = pod.get_path(&["spec", "containers"]).and_then(Value::as_array);
    let own = own.map(Vec::as_slice).unwrap_or_default();
    match (call.query.text("container"), own) {
        (Some(name), _) if names.contains(&name) => Ok(name.to_owned()),
        (Some(name), _) => Err(Status::bad_request(format!(
            "container {name} is not valid for pod {}",
            pod.name()
        ))),
        (None, [only]) => Ok(only.str_at(&["name"]).to_owned()),
        (None, _) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            pod.name(),
            names.join(" ")
        ))),
    }
}

/// The target of a pod's stream; `None` before the pod has a node.
fn pod_stream(call: &Call<'_>, sub: Sub) -> Result<Option<Target>, Status> {
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    let options = if sub == Sub::Log { log::options(call)? } else { String::new() };
    let pod = object(call, "pods", namespace, name)?;
    let verb = match sub {
        Sub::Log => "containerLogs",
        Sub::Exec => "exec",
        Sub::Attach => "attach",
        _ => "portForward",
    };
    let mut path = format!("/{verb}/{namespace}/{name}");
    if sub != Sub::PortForward {
        path = format!("{path}/{}", container(call, &pod)?);
    }
    let node = pod.str_at(&["spec", "nodeName"]);
    if node.is_empty() {
        return Ok(None);
    }
    let (host, port) = kubelet(call, node)?;
    let query = if sub == Sub::Log { options } else { stream_options(call, sub) };
    let path = if query.is_empty() { path } else { format!("{path}?{query}") };
    Ok(Some(Target {
        host,
        port,
        addresses: Vec::new(),
        tls: Some(Tls::Kubelet),
        config: None,
        path,
    }))
}

/// The query of the kubelet's request.
fn stream_options(call: &Call<'_>, sub: Sub) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if sub == Sub::PortForward {
        for value in call.query.all("ports") {
            query.append_pair("port", value);
        }
        return query.finish();
    }
    for (from, to) in
        [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")]
    {
        if call.query.flag(from) {
            query.append_pair(to, "1");
        }
    }
    for word in call.query.all("command") {
        query.append_pair("command", word);
    }
    query.finish()
}

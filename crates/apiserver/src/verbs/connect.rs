//! Streams to a node: logs, exec, attach, port-forward, and HTTP proxying.
//!
//! The kubelet speaks the streaming protocols; this end only finds it, authenticates to it and
//! copies bytes, so that WebSocket and SPDY clients are served alike.

use apimachinery::{Object, ObjectExt, Status};
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;

use super::Call;
use crate::body::{Body, BoxError};
use crate::encode::view;
use crate::registry::{self, Sub};

/// Port of the kubelet's server when a node does not say.
const KUBELET_PORT: u16 = 10_250;

/// Where a connection goes.
struct Target {
    host: String,
    port: u16,
    tls: bool,
    path: String,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(super) async fn connect(
    call: &Call<'_>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if call.sub == Some(Sub::Proxy)
        && let Some(answer) = redirect_to_root(&request)
    {
        return answer;
    }
    let target = match (call.sub, call.kind.resource) {
        (Some(Sub::Proxy), "nodes") => node_proxy(call)?,
        (Some(Sub::Proxy), "services") => service_proxy(call)?,
        (Some(Sub::Proxy), _) => pod_proxy(call)?,
        (Some(sub), _) => pod_stream(call, sub)?,
        (None, _) => return Err(Status::internal("not a connection")),
    };
    forward(call, target, request).await
}

/// Sends who asks for `…/proxy` to `…/proxy/`, so that relative links of what is behind it work.
fn redirect_to_root(request: &Request<Body>) -> Option<Result<Response<Body>, Status>> {
    let (path, method) = (request.uri().path(), request.method());
    if !path.ends_with("/proxy")
        || !matches!(*method, Method::GET | Method::HEAD)
        || request.headers().contains_key(UPGRADE)
    {
        return None;
    }
    let query = request.uri().query().map(|q| format!("?{q}")).unwrap_or_default();
    let answer = Response::builder()
        .status(StatusCode::MOVED_PERMANENTLY)
        .header(LOCATION, format!("{path}/{query}"))
        .body(crate::body::full(""));
    Some(answer.map_err(|error| Status::internal(error.to_string())))
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
    Ok(Target { host, port, tls: true, path })
}

/// Path and query behind `/proxy`.
fn rest(call: &Call<'_>) -> String {
    let query = call.query.encode();
    let path = format!("/{}", call.info.rest);
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn node_proxy(call: &Call<'_>) -> Result<Target, Status> {
    let (_, name, port) = split_name(&call.info.name);
    let (host, default) = kubelet(call, &name)?;
    let port = port.and_then(|p| p.parse().ok()).unwrap_or(default);
    Ok(Target { host, port, tls: port == default, path: rest(call) })
}

/// `[scheme:]name[:port]`.
fn split_name(text: &str) -> (bool, String, Option<String>) {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => (false, (*name).to_owned(), None),
        [name, port] => (false, (*name).to_owned(), Some((*port).to_owned())),
        [scheme, name, port] => (*scheme == "https", (*name).to_owned(), Some((*port).to_owned())),
        _ => (false, text.to_owned(), None),
    }
}

fn pod_proxy(call: &Call<'_>) -> Result<Target, Status> {
    let (tls, name, port) = split_name(&call.info.name);
    let pod = object(call, "pods", &call.info.namespace, &name)?;
    let host = pod.str_at(&["status", "podIP"]).to_owned();
    if host.is_empty() {
        return Err(Status::bad_request("address not allowed"));
    }
    let first =
        pod.get_path(&["spec", "containers"]).and_then(Value::as_array).into_iter().flatten();
    let first = first.flat_map(|c| c["ports"].as_array().into_iter().flatten()).next();
    let port = match port.filter(|p| !p.is_empty()) {
        Some(port) => port.parse().map_err(|_| Status::bad_request("invalid port"))?,
        None => first.and_then(|p| p["containerPort"].as_u64()).unwrap_or(80) as u16,
    };
    Ok(Target { host, port, tls, path: rest(call) })
}

fn service_proxy(call: &Call<'_>) -> Result<Target, Status> {
    let (tls, name, wanted) = split_name(&call.info.name);
    let namespace = &call.info.namespace;
    let service = object(call, "services", namespace, &name)?;
    let ports = service.get_path(&["spec", "ports"]).and_then(Value::as_array);
    let ports: Vec<&Value> = ports.into_iter().flatten().collect();
    let port = match wanted.filter(|w| !w.is_empty()) {
        None if ports.len() == 1 => ports.first().copied(),
        None => ports.iter().copied().find(|p| p.str_at(&["name"]).is_empty()),
        Some(wanted) => {
            let number = wanted.parse::<u64>().ok();
            ports.iter().copied().find(|p| {
                p.str_at(&["name"]) == wanted || (number.is_some() && p["port"].as_u64() == number)
            })
        }
    };
    let none =
        || Status::service_unavailable(format!("no endpoints available for service \"{name}\""));
    let port_name = port.ok_or_else(none)?.str_at(&["name"]).to_owned();
    let kind = registry::find("discovery.k8s.io", "v1", "endpointslices")
        .ok_or_else(|| Status::internal("no endpoint slices"))?;
    let (snapshot, _) = call.server.present(kind)?;
    for entry in snapshot.range(namespace, "") {
        let slice = entry.object();
        if slice.label("kubernetes.io/service-name") != Some(&name) {
            continue;
        }
        let target = slice["ports"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|p| p.str_at(&["name"]) == port_name);
        let ready = slice["endpoints"].as_array().into_iter().flatten();
        let mut ready = ready.filter(|e| e["conditions"]["ready"] != false);
        if let (Some(port), Some(endpoint)) =
            (target.and_then(|p| p["port"].as_u64()), ready.next())
        {
            let host = endpoint["addresses"][0].as_str().unwrap_or_default().to_owned();
            return Ok(Target { host, port: port as u16, tls, path: rest(call) });
        }
    }
    Err(none())
}

/// Headers that belong to one connection only.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

async fn forward(
    call: &Call<'_>,
    target: Target,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let upgrade = request.headers().get(UPGRADE).cloned();
    let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let unreachable = |e: &dyn std::error::Error| {
        Status::service_unavailable(format!(
            "error trying to reach {}:{}: {e}",
            target.host, target.port
        ))
    };
    let stream = dial(call, &target).await.map_err(|e| unreachable(&e))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| unreachable(&e))?;
    // The connection serves this one exchange and ends with it.
    tokio::spawn(connection.with_upgrades());

    let uri: Uri =
        target.path.parse().map_err(|_| Status::bad_request("the path cannot be proxied"))?;
    let mut outgoing = Request::builder().method(parts.method).uri(uri);
    if let Some(headers) = outgoing.headers_mut() {
        for (name, value) in &parts.headers {
            let own = HOP_BY_HOP.contains(&name.as_str()) || is_credential(name) || name == HOST;
            if !own {
                headers.append(name.clone(), value.clone());
            }
        }
        let host = format!("{}:{}", target.host, target.port);
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(Status::internal)?);
        if let Some(upgrade) = upgrade {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, upgrade);
        }
    }
    let outgoing = outgoing.body(body).map_err(Status::internal)?;
    let mut answer = sender.send_request(outgoing).await.map_err(|e| unreachable(&e))?;

    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        let node_side = hyper::upgrade::on(&mut answer);
        if let Some(client_side) = client_side {
            tokio::spawn(async move {
                if let (Ok(client), Ok(node)) = tokio::join!(client_side, node_side) {
                    let (mut client, mut node) = (TokioIo::new(client), TokioIo::new(node));
                    // Either side may hang up; that is how streams end.
                    let _ = copy_bidirectional(&mut client, &mut node).await;
                }
            });
        }
        let (parts, _) = answer.into_parts();
        return Ok(Response::from_parts(parts, crate::body::full("")));
    }
    let (mut parts, body) = answer.into_parts();
    for name in HOP_BY_HOP {
        parts.headers.remove(*name);
    }
    Ok(Response::from_parts(parts, body.map_err(boxed).boxed_unsync()))
}

fn boxed(e: hyper::Error) -> BoxError {
    Box::new(e)
}

/// Credentials are for this server, not for what stands behind it.
fn is_credential(name: &HeaderName) -> bool {
    name == http::header::AUTHORIZATION || name.as_str().starts_with("impersonate-")
}

async fn dial(call: &Call<'_>, target: &Target) -> std::io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect((target.host.as_str(), target.port)).await?;
    stream.set_nodelay(true)?;
    if !target.tls {
        return Ok(Box::new(stream));
    }
    let connector = tokio_rustls::TlsConnector::from(call.server.settings.kubelet_tls.clone());
    let name = rustls::pki_types::ServerName::try_from(target.host.clone())
        .map_err(std::io::Error::other)?;
    Ok(Box::new(connector.connect(name, stream).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_names_may_carry_scheme_and_port() {
        assert_eq!(split_name("a"), (false, "a".into(), None));
        assert_eq!(split_name("a:80"), (false, "a".into(), Some("80".into())));
        assert_eq!(split_name("https:a:443"), (true, "a".into(), Some("443".into())));
    }
}

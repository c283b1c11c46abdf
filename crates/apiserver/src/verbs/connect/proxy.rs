//! What stands behind `…/proxy` of nodes, pods and services.

use apimachinery::{ObjectExt, Status};
use http::header::{ACCEPT_ENCODING, LOCATION, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::forward::{Target, Tls, forward};
use super::links::Links;
use super::{Call, kubelet, object};
use crate::body::Body;
use crate::registry;

pub(super) async fn proxy(
    call: &Call<'_>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    if let Some(answer) = redirect_to_root(&request) {
        return answer;
    }
    let target = match call.kind.resource {
        "nodes" => node(call)?,
        "services" => service(call)?,
        _ => pod(call)?,
    };
    let links = Links::new(&request, &call.info.rest, &target);
    // Links can be found in plain text only.
    request.headers_mut().remove(ACCEPT_ENCODING);
    let answer = forward(call, target, request).await?;
    Ok(links.lead_back(answer))
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

/// Path and query behind `/proxy`.
fn rest(call: &Call<'_>) -> String {
    let query = call.query.encode();
    let path = format!("/{}", call.info.rest);
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn node(call: &Call<'_>) -> Result<Target, Status> {
    let (_, name, port) = split_name(&call.info.name);
    let (host, default) = kubelet(call, &name)?;
    let port = port.and_then(|p| p.parse().ok()).unwrap_or(default);
    let tls = (port == default).then_some(Tls::Kubelet);
    Ok(Target { host, port, tls, path: rest(call) })
}

/// `[scheme:]name[:port]`.
fn split_name(text: &str) -> (Option<Tls>, String, Option<String>) {
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name, port] => (None, (*name).to_owned(), Some((*port).to_owned())),
        [scheme, name, port] => {
            let tls = (*scheme == "https").then_some(Tls::Unverified);
            (tls, (*name).to_owned(), Some((*port).to_owned()))
        }
        _ => (None, text.to_owned(), None),
    }
}

fn pod(call: &Call<'_>) -> Result<Target, Status> {
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

fn service(call: &Call<'_>) -> Result<Target, Status> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_names_may_carry_scheme_and_port() {
        assert_eq!(split_name("a"), (None, "a".into(), None));
        assert_eq!(split_name("a:80"), (None, "a".into(), Some("80".into())));
        let secured = (Some(Tls::Unverified), "a".into(), Some("443".into()));
        assert_eq!(split_name("https:a:443"), secured);
    }
}

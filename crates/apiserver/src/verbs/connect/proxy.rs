//! Proxies HTTP to the targets of `…/proxy` of nodes, pods and services.

use std::net::{IpAddr, SocketAddr};

use apimachinery::{ObjectExt, Status};
use http::header::{ACCEPT_ENCODING, LOCATION, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use rand::seq::IndexedRandom;
use serde_json::Value;

use super::forward::{Target, Tls, forward};
use super::links::Links;
use super::path::proxied;
use super::{Call, address, kubelet, object};
use crate::body::Body;
use crate::registry;

pub(super) async fn proxy(
    call: &Call<'_>,
    mut request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let path = rest(call, request.uri().query())?;
    let target = match call.kind.resource {
        "nodes" => node(call, path).await?,
        "services" => service(call, path)?,
        _ => pod(call, path)?,
    };
    if let Some(answer) = redirect_to_root(call, &request) {
        return answer;
    }
    let links = Links::new(&request, &call.info.rest, &target);
    // Links can only be rewritten in uncompressed text.
    request.headers_mut().remove(ACCEPT_ENCODING);
    let answer = forward(&call.server.settings.kubelet_tls, target, request).await?;
    Ok(links.lead_back(answer))
}

/// Redirects `…/proxy` to `…/proxy/`, so that relative links of the target work.
fn redirect_to_root(
    call: &Call<'_>,
    request: &Request<Body>,
) -> Option<Result<Response<Body>, Status>> {
    let (path, method) = (request.uri().path(), request.method());
    if !call.info.rest.is_empty()
        || path.ends_with('/')
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

/// Path and query after `/proxy`.
fn rest(call: &Call<'_>, query: Option<&str>) -> Result<String, Status> {
    let path = proxied(&call.info.rest)
        .ok_or_else(|| Status::bad_request("the path is not escaped as paths are"))?;
    Ok(match query {
        None | Some("") => path,
        Some(query) => format!("{path}?{query}"),
    })
}

async fn node(call: &Call<'_>, path: String) -> Result<Target, Status> {
    let (tls, name, wanted) = split_name(call)?;
    let (host, kubelet_port) = kubelet(call, name)?;
    let port = match wanted {
        "" => kubelet_port,
        wanted => wanted.parse().map_err(|_| invalid_port(wanted))?,
    };
    let addresses = address::of_node(&host, port).await?;
    let tls = if port == kubelet_port { Some(Tls::Kubelet) } else { tls };
    Ok(Target { host, port, addresses, tls, config: None, path })
}

fn invalid_port(port: &str) -> Status {
    Status::bad_request(format!("invalid port {}", apimachinery::text::quote(port)))
}

/// `[scheme:]name[:port]`.
fn split_name<'a>(call: &'a Call<'_>) -> Result<(Option<Tls>, &'a str, &'a str), Status> {
    let text = &call.info.name;
    parse_name(text).ok_or_else(|| {
        let kind = call.kind.singular;
        let quoted = apimachinery::text::quote(text);
        Status::bad_request(format!("invalid {kind} request {quoted}"))
    })
}

fn parse_name(text: &str) -> Option<(Option<Tls>, &str, &str)> {
    let parts: Vec<&str> = text.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let tls = match scheme {
        "https" => Some(Tls::Unverified),
        "" | "http" => None,
        _ => return None,
    };
    (!name.is_empty()).then_some((tls, name, port))
}

/// The target at a checked address.
fn at(ip: IpAddr, port: u16, tls: Option<Tls>, path: String) -> Target {
    let addresses = vec![SocketAddr::new(ip, port)];
    Target { host: ip.to_string(), port, addresses, tls, config: None, path }
}

fn pod(call: &Call<'_>, path: String) -> Result<Target, Status> {
    let (tls, name, port) = split_name(call)?;
    let pod = object(call, "pods", &call.info.namespace, name)?;
    let ip = address::of_pod(pod.str_at(&["status", "podIP"]))?;
    let first =
        pod.get_path(&["spec", "containers"]).and_then(Value::as_array).into_iter().flatten();
    let first = first.flat_map(|c| c["ports"].as_array().into_iter().flatten()).next();
    let port = match port {
        "" => first.and_then(|p| p["containerPort"].as_u64()).unwrap_or(80) as u16,
        port => port.parse().map_err(|_| invalid_port(port))?,
    };
    Ok(at(ip, port, tls, path))
}

fn service(call: &Call<'_>, path: String) -> Result<Target, Status> {
    let (tls, name, wanted) = split_name(call)?;
    let namespace = &call.info.namespace;
    // A number is resolved to the port's name; for others, the service is not looked at.
    let port_name = match wanted.parse::<u64>() {
        Err(_) => wanted.to_owned(),
        Ok(number) => {
            let service = object(call, "services", namespace, name)?;
            let ports = service.get_path(&["spec", "ports"]).and_then(Value::as_array);
            let port = ports.into_iter().flatten().find(|p| p["port"].as_u64() == Some(number));
            let none = || {
                let service = apimachinery::text::quote(name);
                Status::service_unavailable(format!(
                    "no service port {number} found for service {service}"
                ))
            };
            port.ok_or_else(none)?.str_at(&["name"]).to_owned()
        }
    };
    let kind = registry::find("discovery.k8s.io", "v1", "endpointslices")
        .ok_or_else(|| Status::internal("no endpoint slices"))?;
    let (snapshot, _) = call.server.present(kind)?;
    let mut choices = Vec::new();
    for entry in snapshot.range(namespace, "") {
        if entry.labels().all(|label| label != ("kubernetes.io/service-name", name)) {
            continue;
        }
        let slice = entry.object();
        let ports = slice["ports"].as_array().into_iter().flatten();
        let port = ports.into_iter().find(|p| p.str_at(&["name"]) == port_name);
        let Some(port) = port.and_then(|p| u16::try_from(p["port"].as_u64()?).ok()) else {
            continue;
        };
        let ready = slice["endpoints"].as_array().into_iter().flatten();
        let ready = ready.filter(|e| e["conditions"]["ready"] != false);
        choices.extend(ready.filter_map(|endpoint| Some((address_of(call, endpoint)?, port))));
    }
    match choices.choose(&mut rand::rng()) {
        Some((ip, port)) => Ok(at(*ip, *port, tls, path)),
        None => {
            let service = apimachinery::text::quote(&call.info.name);
            Err(Status::service_unavailable(format!(
                "no endpoints available for service {service}"
            )))
        }
    }
}

/// The address of an endpoint, if it is a pod of this namespace with that address: slices may be
/// written by hand, and this server only connects to pods.
fn address_of(call: &Call<'_>, endpoint: &Value) -> Option<IpAddr> {
    let namespace = &call.info.namespace;
    let target = &endpoint["targetRef"];
    if target.str_at(&["kind"]) != "Pod" || target.str_at(&["namespace"]) != namespace {
        return None;
    }
    let pod = object(call, "pods", namespace, target.str_at(&["name"])).ok()?;
    let address = endpoint["addresses"][0].as_str()?;
    let mut own = pod["status"]["podIPs"].as_array()?.iter();
    own.find(|ip| ip["ip"] == address)?;
    address::of_pod(address).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxied_names_may_carry_scheme_and_port() {
        let secured = Some(Tls::Unverified);
        for (text, want) in [
            ("a", Some((None, "a", ""))),
            ("a:80", Some((None, "a", "80"))),
            ("http:a:web", Some((None, "a", "web"))),
            ("https:a:443", Some((secured, "a", "443"))),
            ("https:a:", Some((secured, "a", ""))),
            ("ftp:a:21", None),
            (":80", None),
            ("a:b:c:d", None),
        ] {
            assert_eq!(parse_name(text), want, "{text}");
        }
    }
}

//! Endpoints of services to which this server connects itself: of webhooks and other API servers.

use std::net::{IpAddr, SocketAddr};

use apimachinery::ObjectExt;
use apimachinery::text::quote;
use rand::seq::IndexedRandom;

use crate::registry;
use crate::server::Server;
use crate::verbs::is_proxyable;

/// The reason why a service cannot be reached.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Missing {
    #[error("service {} not found", quote(.0))]
    Service(String),
    #[error("no service port {port} found for service {}", quote(name))]
    Port { name: String, port: u16 },
    #[error("no endpoints available for service {}", quote(name))]
    Endpoints {
        name: String,
        /// The name of the port, which may be empty.
        port: String,
    },
}

/// The ready endpoints of a service's port, one of them first by chance.
pub(crate) fn of_service(
    server: &Server,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, Missing> {
    let service = registry::find("", "v1", "services")
        .and_then(|kind| server.entry(kind, namespace, name))
        .ok_or_else(|| Missing::Service(name.to_owned()))?;
    let service = service.object();
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    let wanted = ports.into_iter().find(|own| own["port"].as_u64() == Some(port.into()));
    let wanted = wanted.ok_or_else(|| Missing::Port { name: name.to_owned(), port })?;
    let kind = registry::find("discovery.k8s.io", "v1", "endpointslices");
    let slices = kind.and_then(|kind| server.present(kind).ok());
    let mut found: Vec<SocketAddr> = Vec::new();
    for entry in slices.iter().flat_map(|(slices, _)| slices.range(namespace, "")) {
        if entry.labels().all(|label| label != ("kubernetes.io/service-name", name)) {
            continue;
        }
        let slice = entry.object();
        let ports = slice["ports"].as_array().into_iter().flatten();
        let port = ports.into_iter().find(|p| p.str_at(&["name"]) == wanted.str_at(&["name"]));
        let Some(port) = port.and_then(|p| u16::try_from(p["port"].as_u64()?).ok()) else {
            continue;
        };
        let ready = slice["endpoints"].as_array().into_iter().flatten();
        let ready = ready.filter(|endpoint| endpoint["conditions"]["ready"] != false);
        let addresses = ready.filter_map(|endpoint| endpoint["addresses"][0].as_str());
        let addresses = addresses.filter_map(|text| text.parse::<IpAddr>().ok());
        // Endpoints are written by those who may write to their namespace: they lead to no
        // service of this machine, where tests have theirs.
        let allowed = addresses.filter(|ip| is_proxyable(*ip) || cfg!(test));
        found.extend(allowed.map(|ip| SocketAddr::new(ip, port)));
    }
    match found.choose(&mut rand::rng()).copied() {
        Some(first) => {
            found.sort_by_key(|address| *address != first);
            Ok(found)
        }
        None => Err(Missing::Endpoints {
            name: name.to_owned(),
            port: wanted.str_at(&["name"]).to_owned(),
        }),
    }
}

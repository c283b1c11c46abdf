//! Parses the names of the zone: services, endpoints, pods, reverse lookups.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The meaning of a name, by its labels before the cluster domain.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// The domain itself.
    Apex,
    /// `ns.dns`.
    NameServer,
    /// `dns-version`.
    Version,
    /// A name with names below it but no record: `svc`, `pod`, `dns`.
    Branch,
    /// `NAMESPACE.svc` or `NAMESPACE.pod`.
    Namespace(&'a str),
    /// `A-B-C-D.NAMESPACE.pod`.
    Pod { namespace: &'a str, address: IpAddr },
    /// `SERVICE.NAMESPACE.svc`.
    Service { namespace: &'a str, service: &'a str },
    /// `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`.
    Port { namespace: &'a str, service: &'a str, port: &'a str, protocol: &'a str },
    /// `HOSTNAME.SERVICE.NAMESPACE.svc`.
    Endpoint { namespace: &'a str, service: &'a str, hostname: &'a str },
    /// Nothing.
    Nowhere,
}

/// Reads labels, the most specific one first.
pub(super) fn parse<'a>(labels: &[&'a str]) -> Place<'a> {
    match *labels {
        [] => Place::Apex,
        ["dns-version"] => Place::Version,
        ["ns", "dns"] => Place::NameServer,
        ["svc" | "pod" | "dns"] => Place::Branch,
        [namespace, "svc" | "pod"] => Place::Namespace(namespace),
        [address, namespace, "pod"] => match undash(address) {
            Some(address) => Place::Pod { namespace, address },
            None => Place::Nowhere,
        },
        [service, namespace, "svc"] => Place::Service { namespace, service },
        [port, protocol, service, namespace, "svc"] => {
            match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                (Some(port), Some(protocol)) => Place::Port { namespace, service, port, protocol },
                _ => Place::Nowhere,
            }
        }
        [hostname, service, namespace, "svc"] => Place::Endpoint { namespace, service, hostname },
        _ => Place::Nowhere,
    }
}

/// `10-1-2-3` or `fd00--1` as an address.
fn undash(label: &str) -> Option<IpAddr> {
    if label.bytes().filter(|byte| *byte == b'-').count() == 3
        && let Ok(address) = label.replace('-', ".").parse::<Ipv4Addr>()
    {
        return Some(address.into());
    }
    label.replace('-', ":").parse::<Ipv6Addr>().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        let split = |name: &'static str| parse(&name.split('.').collect::<Vec<_>>());
        let (namespace, service) = ("ns", "web");
        assert_eq!(split("web.ns.svc"), Place::Service { namespace, service });
        assert_eq!(
            split("_http._tcp.web.ns.svc"),
            Place::Port { namespace, service, port: "http", protocol: "tcp" }
        );
        assert_eq!(
            split("db-0.web.ns.svc"),
            Place::Endpoint { namespace, service, hostname: "db-0" }
        );
        assert_eq!(
            split("10-1-2-3.ns.pod"),
            Place::Pod { namespace, address: "10.1.2.3".parse().unwrap() }
        );
        assert_eq!(
            split("fd00--1.ns.pod"),
            Place::Pod { namespace, address: "fd00::1".parse().unwrap() }
        );
        for nowhere in ["x", "a.b.c.d.e.svc", "10-1-2.ns.pod", "a.b.web.ns.svc"] {
            assert_eq!(split(nowhere), Place::Nowhere, "{nowhere}");
        }
    }
}

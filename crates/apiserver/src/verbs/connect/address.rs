//! Addresses to which clients may make this server connect.
//!
//! Pods, nodes and endpoints report their own addresses. These must not lead to this machine's own
//! services or its link: a proxied request has this server's position in the network.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use apimachinery::Status;

/// Go's `IsGlobalUnicast`: true for private networks; false for loopback, link-local, multicast and
/// the unspecified address.
pub(super) fn is_proxyable(ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip == Ipv4Addr::BROADCAST,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
}

fn not_allowed() -> Status {
    Status::bad_request("address not allowed")
}

/// The address that a pod or endpoint reports.
pub(super) fn of_pod(text: &str) -> Result<IpAddr, Status> {
    text.parse().ok().filter(|ip| is_proxyable(*ip)).ok_or_else(not_allowed)
}

/// The addresses of a node's host name. Connections must use these: another lookup could return
/// different ones.
pub(super) async fn of_node(host: &str, port: u16) -> Result<Vec<SocketAddr>, Status> {
    let found = tokio::net::lookup_host((host, port)).await;
    let found: Vec<SocketAddr> = found.map_err(|e| Status::bad_request(e.to_string()))?.collect();
    if found.is_empty() {
        return Err(Status::bad_request("no addresses for hostname"));
    }
    if found.iter().all(|address| is_proxyable(address.ip())) {
        Ok(found)
    } else {
        Err(not_allowed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_global_unicast_addresses_are_connected_to() {
        for (text, allowed) in [
            ("10.244.0.7", true),
            ("192.168.1.1", true),
            ("203.0.113.9", true),
            ("fd00::7", true),
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("0.0.0.0", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("fe80::1", false),
            ("ff02::1", false),
            ("::ffff:127.0.0.1", false),
            ("localhost", false),
            ("", false),
        ] {
            assert_eq!(of_pod(text).is_ok(), allowed, "{text}");
        }
    }

    #[tokio::test]
    async fn a_node_cannot_name_this_machine() {
        assert!(of_node("localhost", 6443).await.is_err());
        assert!(of_node("127.0.0.1", 6443).await.is_err());
        let found = of_node("10.1.2.3", 10_250).await.unwrap();
        assert_eq!(found, ["10.1.2.3:10250".parse().unwrap()]);
    }
}

//! Address formats that are only accepted for the sake of old objects.

use std::net::{IpAddr, Ipv4Addr};

use apimachinery::field::Path;
use ipnet::IpNet;

/// Go's `ParseIPSloppy`, which accepts leading zeros.
fn sloppy(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let parts: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
    let [a, b, c, d] = parts?[..] else { return None };
    Some(Ipv4Addr::new(a, b, c, d).into())
}

/// The address as Go stores it: an IPv4-mapped address becomes IPv4.
fn plain(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

/// Warns about an address in an unusual format.
pub(super) fn warn_ip(path: &Path, text: &str, found: &mut Vec<String>) {
    let Some(ip) = sloppy(text) else { return };
    let strict: Option<IpAddr> = text.parse().ok();
    match strict.filter(|ip| plain(*ip) == *ip) {
        None => found.push(format!(
            "{path}: non-standard IP address {text:?} will be considered invalid in a future \
             Kubernetes release: use \"{}\"",
            plain(ip)
        )),
        Some(ip) if ip.is_ipv6() && ip.to_string() != text => found.push(format!(
            "{path}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{ip}\")"
        )),
        Some(_) => {}
    }
}

/// Warns about a range in an unusual format.
pub(super) fn warn_cidr(path: &Path, text: &str, found: &mut Vec<String>) {
    let Some((address, bits)) = text.split_once('/') else { return };
    let (Some(ip), Ok(bits)) = (sloppy(address), bits.parse::<u8>()) else { return };
    let mapped = ip != plain(ip);
    let bits = if mapped { bits.saturating_sub(96) } else { bits };
    let ip = plain(ip);
    let Ok(net) = IpNet::new(ip, bits) else { return };
    let before = found.len();
    let trunc = net.trunc();
    if trunc.addr() != ip {
        let longest = net.max_prefix_len();
        found.push(format!(
            "{path}: CIDR value {text:?} is ambiguous in this context (should be \"{trunc}\" or \
             \"{ip}/{longest}\"?)"
        ));
    }
    if address.parse::<IpAddr>().is_err() || mapped {
        found.push(format!(
            "{path}: non-standard CIDR value {text:?} will be considered invalid in a future \
             Kubernetes release: use \"{trunc}\""
        ));
    }
    if found.len() == before && ip.is_ipv6() && net.to_string() != text {
        found.push(format!(
            "{path}: IPv6 CIDR value {text:?} should be in RFC 5952 canonical format (\"{net}\")"
        ));
    }
}

//! Ports and addresses.

use super::{lower_alnum, max_len_error};
use std::net::IpAddr;

/// 1 to 65535.
#[must_use]
pub fn port_number(port: i64) -> Vec<String> {
    in_range(port, 1, 65535)
}

/// Between `min` and `max`, both included.
#[must_use]
pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&value) {
        return Vec::new();
    }
    vec![format!("must be between {min} and {max}, inclusive")]
}

/// An IANA service name, up to 15 bytes.
#[must_use]
pub fn port_name(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let mut complain = |wrong: bool, message: &str| {
        if wrong {
            errors.push(message.to_owned());
        }
    };
    let charset = !name.is_empty() && name.bytes().all(|b| lower_alnum(b) || b == b'-');
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    complain(name.len() > 15, &max_len_error(15));
    complain(!charset, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    complain(!letter, "must contain at least one letter (a-z)");
    complain(name.contains("--"), "must not contain consecutive hyphens");
    complain(name.starts_with('-') || name.ends_with('-'), "must not begin or end with a hyphen");
    errors
}

/// Go's older parser accepted leading zeros, so old objects may have them.
fn without_leading_zeros(address: &str) -> String {
    let strip = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        stripped => stripped.to_owned(),
    };
    address.split('.').map(strip).collect::<Vec<_>>().join(".")
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// An IPv4 or IPv6 address without leading zeros.
#[must_use]
pub fn ip(value: &str) -> Vec<String> {
    match value.parse::<IpAddr>() {
        Ok(address) if is_mapped(address) => {
            vec!["must not be an IPv4-mapped IPv6 address".to_owned()]
        }
        Ok(_) => Vec::new(),
        Err(_) if without_leading_zeros(value).parse::<IpAddr>().is_ok() => {
            vec!["must not have leading 0s".to_owned()]
        }
        Err(_) => {
            vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()]
        }
    }
}

/// An IPv4 or IPv6 prefix without bits beyond its length.
#[must_use]
pub fn cidr(value: &str) -> Vec<String> {
    let complaint = |text: &str| vec![text.to_owned()];
    let invalid = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let Some((address, length)) = value.split_once('/') else { return complaint(invalid) };
    let plain = without_leading_zeros(address);
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let (Ok(parsed), true, Ok(bits)) = (plain.parse::<IpAddr>(), digits, length.parse::<u32>())
    else {
        return complaint(invalid);
    };
    let (width, number) = match parsed {
        IpAddr::V4(v4) => (32, u128::from(u32::from(v4))),
        IpAddr::V6(v6) => (128, u128::from(v6)),
    };
    if bits > width {
        return complaint(invalid);
    }
    if address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0')) {
        return complaint("must not have leading 0s in IP or prefix length");
    }
    if is_mapped(parsed) {
        return complaint("must not have an IPv4-mapped IPv6 address");
    }
    let host_bits = width - bits;
    let host = if host_bits == 128 { u128::MAX } else { (1 << host_bits) - 1 };
    if number & host != 0 {
        return complaint("must not have bits set beyond the prefix length");
    }
    Vec::new()
}

//! URIs as they come in requests.

use std::net::Ipv6Addr;

/// An absolute URI or an absolute path.
pub(super) fn is_request_uri(text: &str) -> bool {
    if text.is_empty() || text.bytes().any(|b| b < b' ' || b == 0x7f) {
        return false;
    }
    if text == "*" {
        return true;
    }
    let Some((scheme, rest)) = scheme(text) else { return false };
    let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
    if !rest.starts_with('/') {
        return !scheme.is_empty();
    }
    let Some(authority) = rest.strip_prefix("//").filter(|_| !scheme.is_empty()) else {
        return is_escaped(rest);
    };
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    is_escaped(path) && is_user(user) && is_host(host)
}

/// The scheme, which may be absent, and what follows.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    match end {
        Some(0) if text.starts_with(':') => None,
        Some(end) if starts && text[end..].starts_with(':') => {
            Some((&text[..end], &text[end + 1..]))
        }
        _ => Some(("", text)),
    }
}

/// The bytes of escapes, or nothing if one is malformed.
fn escapes(text: &str) -> Option<Vec<u8>> {
    let after = text.split('%').skip(1);
    after.map(|rest| u8::from_str_radix(hex(rest)?, 16).ok()).collect()
}

fn hex(text: &str) -> Option<&str> {
    text.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_escaped(text: &str) -> bool {
    escapes(text).is_some()
}

fn is_user(text: &str) -> bool {
    let is_in = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    // A name and a password are read apart: an escape does not go across.
    text.chars().all(is_in) && text.splitn(2, ':').all(is_escaped)
}

fn is_host_byte(byte: u8) -> bool {
    byte >= 0x80 || byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:[]<>\"".contains(&byte)
}

/// Only bytes beyond ASCII may be escaped in a host, and the sign of an escape itself.
fn is_host_text(text: &str) -> bool {
    text.bytes().all(|b| b == b'%' || is_host_byte(b))
        && escapes(text).is_some_and(|bytes| bytes.iter().all(|b| *b >= 0x80 || *b == b'%'))
}

fn is_zone(text: &str) -> bool {
    text.bytes().all(|b| b == b'%' || is_host_byte(b))
        && escapes(text)
            .is_some_and(|bytes| bytes.iter().all(|b| matches!(b, b'%' | b' ') || is_host_byte(*b)))
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_host(host: &str) -> bool {
    match host.rfind('[') {
        Some(0) => is_literal(&host[1..]),
        Some(_) => false,
        None => host.rfind(':').is_none_or(|colon| is_port(&host[colon..])) && is_host_text(host),
    }
}

/// An address in brackets, the first of which is gone.
fn is_literal(host: &str) -> bool {
    let Some((address, port)) = host.rsplit_once(']') else { return false };
    let (address, zone) = address.split_at(address.find("%25").unwrap_or(address.len()));
    // The zone has a name.
    is_port(port) && is_zone(zone) && zone.len() != 3 && address.parse::<Ipv6Addr>().is_ok()
}

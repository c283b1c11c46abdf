//! Names and addresses of hosts.

use regex::Regex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Letters and symbols of any script.
static SYMBOL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{S}\p{L}]$").ok());
static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^\p{L}$").ok());

fn is_in(class: &LazyLock<Option<Regex>>, c: char) -> bool {
    class.as_ref().is_some_and(|class| class.is_match(c.encode_utf8(&mut [0; 4])))
}

fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { is_in(&LETTER, c) }
}

fn is_symbol(c: char) -> bool {
    if c.is_ascii_alphanumeric() { true } else { is_in(&SYMBOL, c) }
}

/// A host name of at most 255 bytes, with labels of at most 63.
pub(super) fn is_hostname(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    if text.len() > 255 || labels.iter().any(|label| label.len() > 63) {
        return false;
    }
    match labels.as_slice() {
        [single] => is_single(single),
        [labels @ .., top] => {
            let length = top.chars().count();
            labels.iter().all(|label| is_label(label)) && length >= 2 && top.chars().all(is_letter)
        }
        [] => false,
    }
}

/// The only label of a name: a dash is permitted as its second character alone.
fn is_single(label: &str) -> bool {
    let mut chars = label.chars();
    let first = chars.next().is_some_and(is_symbol);
    let rest = chars.as_str();
    first && rest.strip_prefix('-').unwrap_or(rest).chars().all(is_symbol)
}

fn is_label(label: &str) -> bool {
    let ends = [label.chars().next(), label.chars().next_back()];
    ends.into_iter().all(|end| end.is_some_and(is_symbol))
        && label.chars().all(|c| c == '-' || is_symbol(c))
}

/// An address whose numbers may begin with zeros.
fn sloppy_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = part.trim_start_matches('0');
        *octet = if number.is_empty() { 0 } else { number.parse().ok()? };
    }
    parts.next().is_none().then(|| octets.into())
}

fn sloppy_v6(text: &str) -> Option<Ipv6Addr> {
    match text.rsplit_once(':') {
        Some((before, last)) if last.contains('.') => {
            format!("{before}:{}", sloppy_v4(last)?).parse().ok()
        }
        _ => text.parse().ok(),
    }
}

fn sloppy(text: &str) -> Option<IpAddr> {
    sloppy_v4(text).map(IpAddr::V4).or_else(|| sloppy_v6(text).map(IpAddr::V6))
}

pub(super) fn is_ipv4(text: &str) -> bool {
    text.contains('.') && sloppy(text).is_some()
}

pub(super) fn is_ipv6(text: &str) -> bool {
    text.parse::<Ipv6Addr>().is_ok()
}

pub(super) fn is_cidr(text: &str) -> bool {
    let Some((address, mask)) = text.split_once('/') else { return false };
    let max = match sloppy(address) {
        Some(IpAddr::V4(_)) => 32,
        Some(IpAddr::V6(_)) => 128,
        None => return false,
    };
    let digits = !mask.is_empty() && mask.bytes().all(|b| b.is_ascii_digit());
    let number = mask.trim_start_matches('0');
    digits && (number.is_empty() || number.parse::<u32>().is_ok_and(|length| length <= max))
}

/// A hardware address of 6, 8 or 20 bytes.
pub(super) fn is_mac(text: &str) -> bool {
    let (separator, digits) = match text.as_bytes() {
        [_, _, separator @ (b':' | b'-'), ..] => (*separator, 2),
        [_, _, _, _, b'.', ..] => (b'.', 4),
        _ => return false,
    };
    let mut groups = 0;
    let all = text.as_bytes().split(|b| *b == separator).all(|group| {
        groups += 1;
        group.len() == digits && group.iter().all(u8::is_ascii_hexdigit)
    });
    all && matches!(groups * digits, 12 | 16 | 40)
}

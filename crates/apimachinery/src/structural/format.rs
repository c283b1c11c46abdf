//! Formats of texts.

mod date;
mod digits;
mod email;
mod host;
mod uri;

use crate::time;

/// A format that is checked. All others say nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format(fn(&str) -> bool);

impl Format {
    /// The format of a name, in which dashes do not count.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(Self(match name.replace('-', "").as_str() {
            "bsonobjectid" => |text| text.len() == 24 && is_hex(text),
            "uri" => uri::is_request_uri,
            "email" => email::is_address,
            "hostname" => host::is_hostname,
            "ipv4" => host::is_ipv4,
            "ipv6" => host::is_ipv6,
            "cidr" => host::is_cidr,
            "mac" => host::is_mac,
            "uuid" => |text| is_uuid(text, None),
            "uuid3" => |text| is_uuid(text, Some('3')),
            "uuid4" => |text| is_uuid(text, Some('4')),
            "uuid5" => |text| is_uuid(text, Some('5')),
            "isbn" => |text| digits::is_isbn10(text) || digits::is_isbn13(text),
            "isbn10" => digits::is_isbn10,
            "isbn13" => digits::is_isbn13,
            "creditcard" => digits::is_credit_card,
            "ssn" => digits::is_ssn,
            "hexcolor" => is_hex_color,
            "rgbcolor" => digits::is_rgb_color,
            "byte" => is_base64,
            "password" => |_| true,
            "date" => date::is_date,
            "duration" => |text| time::parse_duration(text).is_some() || date::is_duration(text),
            "datetime" => date::is_date_time,
            "k8sshortname" => |text| text.len() <= 63 && is_label(text),
            "k8slongname" => |text| text.len() <= 253 && text.split('.').all(is_label),
            _ => return None,
        }))
    }

    pub(super) fn admits(self, text: &str) -> bool {
        self.0(text)
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_hex_color(text: &str) -> bool {
    let digits = text.strip_prefix('#').unwrap_or(text);
    matches!(digits.len(), 3 | 6) && is_hex(digits)
}

/// Groups of hexadecimal digits, each dash optional.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    for (i, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((group, after)) = rest.split_at_checked(length) else { return false };
        let first = group.chars().next().unwrap_or_default();
        let variant = matches!(first, '8' | '9' | 'a' | 'b' | 'A' | 'B');
        let fits = match (i, version) {
            (2, Some(version)) => first == version,
            (3, Some('4' | '5')) => variant,
            _ => true,
        };
        if !is_hex(group) || !fits {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

/// Base64 with padding; not empty.
fn is_base64(text: &str) -> bool {
    let symbols = text.strip_suffix("==").or_else(|| text.strip_suffix('=')).unwrap_or(text);
    let is_symbol = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    !symbols.is_empty() && text.len().is_multiple_of(4) && symbols.bytes().all(is_symbol)
}

fn is_label(text: &str) -> bool {
    let is_end = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(is_end)
        && bytes.last().is_some_and(is_end)
        && bytes.iter().all(|b| is_end(b) || *b == b'-')
}

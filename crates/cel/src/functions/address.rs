//! Errors of addresses, in the words of Go's `netip`.

use super::quoted::Quoted;

/// Why a text is no address.
pub(super) fn why_not(raw: &str) -> String {
    match raw.find(['.', ':', '%']).map(|at| raw.as_bytes()[at]) {
        Some(b'.') => four(raw).unwrap_or_else(|| "unable to parse IP".to_owned()),
        Some(b':') => six(raw).unwrap_or_else(|| "unable to parse IP".to_owned()),
        Some(_) => "missing IPv6 address".to_owned(),
        None => "unable to parse IP".to_owned(),
    }
}

fn at(message: &str, rest: &str) -> Option<String> {
    Some(format!("{message} (at {:?})", Quoted(rest)))
}

fn four(raw: &str) -> Option<String> {
    const NO_DIGIT: &str = "IPv4 field must have at least one digit";
    let (mut value, mut digits, mut fields, mut zero) = (0u32, 0, 0, false);
    for (index, c) in raw.char_indices() {
        match c {
            '0'..='9' => {
                if zero {
                    return Some("IPv4 field has octet with leading zero".to_owned());
                }
                value = value * 10 + (u32::from(c) - u32::from('0'));
                zero = digits == 0 && value == 0;
                digits += 1;
                if value > 255 {
                    return Some("IPv4 field has value >255".to_owned());
                }
            }
            '.' => {
                if digits == 0 {
                    return at(NO_DIGIT, &raw[index..]);
                }
                if index + 1 == raw.len() {
                    return at(NO_DIGIT, &raw[index..]);
                }
                if fields == 3 {
                    return Some("IPv4 address too long".to_owned());
                }
                (value, digits, zero) = (0, 0, false);
                fields += 1;
            }
            _ => return at("unexpected character", &raw[index..]),
        }
    }
    (fields < 3).then(|| "IPv4 address too short".to_owned())
}

fn six(raw: &str) -> Option<String> {
    let (mut rest, zone) = match raw.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (raw, None),
    };
    if zone == Some("") {
        return Some("zone must be a non-empty string".to_owned());
    }
    let mut ellipsis = None;
    if let Some(after) = rest.strip_prefix("::") {
        ellipsis = Some(0);
        rest = after;
        if rest.is_empty() {
            return None;
        }
    }
    let mut bytes = 0;
    while bytes < 16 {
        let length = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if length > 4 {
            return at("each group must have 4 or less digits", rest);
        }
        if length == 0 {
            return at("each colon-separated field must have at least one digit", rest);
        }
        if rest[length..].starts_with('.') {
            if ellipsis.is_none() && bytes != 12 {
                return at(
                    "embedded IPv4 address must replace the final 2 fields of the address",
                    rest,
                );
            }
            if bytes + 4 > 16 {
                return at(
                    "too many hex fields to fit an embedded IPv4 at the end of the address",
                    rest,
                );
            }
            if let Some(why) = four(rest) {
                return Some(why);
            }
            (rest, bytes) = ("", bytes + 4);
            break;
        }
        bytes += 2;
        rest = &rest[length..];
        if rest.is_empty() {
            break;
        }
        if !rest.starts_with(':') {
            return at("unexpected character, want colon", rest);
        }
        if rest.len() == 1 {
            return at("colon must be followed by more characters", rest);
        }
        rest = &rest[1..];
        if rest.starts_with(':') {
            if ellipsis.is_some() {
                return at("multiple :: in address", rest);
            }
            ellipsis = Some(bytes);
            rest = &rest[1..];
            if rest.is_empty() {
                break;
            }
        }
    }
    if !rest.is_empty() {
        return at("trailing garbage after address", rest);
    }
    match (bytes < 16, ellipsis) {
        (true, None) => Some("address string too short".to_owned()),
        (false, Some(_)) => Some("the :: must expand to at least one field of zeros".to_owned()),
        _ => None,
    }
}

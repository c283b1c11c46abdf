//! Paths after `…/proxy`, as sent to the target.

use crate::request::percent_decode_bytes;

/// Bytes of a path that are not escaped, besides letters and digits.
const PLAIN: &[u8] = b"-_.~$&+,/:;=@";

/// The path of the target: unescaped, normalized ([`cleaned`]) and escaped again, so that an
/// escaped slash becomes a slash, as in upstream. Begins with a slash. `None` for invalid escapes.
pub(super) fn proxied(rest: &str) -> Option<String> {
    let mut path = cleaned(&percent_decode_bytes(rest)?);
    if path.is_empty() || rest.is_empty() {
        path = vec![b'/'];
    }
    let mut out = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    Some(out)
}

/// Removes empty segments, `.` and `..`, which never goes above the target's root; a trailing slash
/// is kept.
fn cleaned(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in path.split(|byte| *byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let mut out = vec![b'/'];
    out.extend(segments.join(&b'/'));
    if path.ends_with(b"/") && !segments.is_empty() {
        out.push(b'/');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_gets_the_path_that_was_meant() {
        for (rest, path) in [
            ("", Some("/")),
            ("a", Some("/a")),
            ("a/", Some("/a/")),
            ("a//", Some("/a/")),
            ("/a//b", Some("/a/b")),
            ("a%20b", Some("/a%20b")),
            ("a%3Fb=c", Some("/a%3Fb=c")),
            ("a%23b", Some("/a%23b")),
            ("a%25b%2525", Some("/a%25b%2525")),
            ("a%2fb", Some("/a/b")),
            ("a%2F", Some("/a/")),
            ("a/../b", Some("/b")),
            ("a/./b/.", Some("/a/b")),
            ("a/..", Some("/")),
            ("a/../", Some("/")),
            ("../../b", Some("/b")),
            ("%2e%2e/%2e%2e%2fb", Some("/b")),
            ("a;b,c:d@e&f=g+h$i", Some("/a;b,c:d@e&f=g+h$i")),
            ("a!(b)*'", Some("/a%21%28b%29%2A%27")),
            ("%c3%a9%ff", Some("/%C3%A9%FF")),
            ("a%0d%0aHost:b", Some("/a%0D%0AHost:b")),
            ("a%zz", None),
            ("a%2", None),
            ("a%+1", None),
        ] {
            assert_eq!(proxied(rest).as_deref(), path, "{rest}");
        }
    }
}

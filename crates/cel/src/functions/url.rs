//! URLs, as Go reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;

use super::quoted::Quoted;
use super::strings::text;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{Key, Map, Opaque, OwnedMap, Text, Value};

pub(super) const ROWS: &[Row] = &[
    ("url", "string_to_url", "(string) -> URL", url),
    ("getScheme", "url_get_scheme", ".(URL) -> string", scheme),
    ("getHost", "url_get_host", ".(URL) -> string", host),
    ("getHostname", "url_get_hostname", ".(URL) -> string", hostname),
    ("getPort", "url_get_port", ".(URL) -> string", port),
    ("getEscapedPath", "url_get_escaped_path", ".(URL) -> string", escaped_path),
    ("getQuery", "url_get_query", ".(URL) -> map(string, list(string))", query),
    ("isURL", "is_url_string", "(string) -> bool", is_url),
];

/// A URL in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    /// The part after the scheme where that is no path, as in `mailto:`.
    opaque: String,
    user: Option<String>,
    host: String,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl Url {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        if !self.scheme.is_empty() {
            text.extend([self.scheme.as_str(), ":", self.opaque.as_str()]);
        }
        if self.opaque.is_empty() && (!self.scheme.is_empty() || !self.host.is_empty()) {
            text.push_str("//");
        }
        if let Some(user) = &self.user {
            text.extend([user.as_str(), "@"]);
        }
        text.extend([self.host.as_str(), self.path.as_str()]);
        for (sign, part) in [("?", &self.query), ("#", &self.fragment)] {
            if let Some(part) = part {
                text.extend([sign, part.as_str()]);
            }
        }
        text
    }

    /// An absolute URL or an absolute path, or what is wrong with it.
    pub(crate) fn parse(raw: &str) -> Result<Url, EvalError> {
        let wrong = |why: EvalError| EvalError::new(format!("parse {:?}: {why}", Quoted(raw)));
        if raw.bytes().any(|b| b < 0x20 || b == 0x7f) {
            return Err(wrong(EvalError::new("net/url: invalid control character in URL")));
        }
        if raw.is_empty() {
            return Err(wrong(EvalError::new("empty url")));
        }
        let (scheme, rest) = split_scheme(raw).map_err(wrong)?;
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment.to_owned())),
            None => (rest, None),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query.to_owned())),
            None => (rest, None),
        };
        if !rest.starts_with('/') {
            if scheme.is_empty() {
                return Err(wrong(EvalError::new("invalid URI for request")));
            }
            let (user, host, path) = (None, String::new(), String::new());
            let opaque = rest.to_owned();
            return Ok(Url { scheme, opaque, user, host, path, query, fragment });
        }
        let (mut user, mut host, mut path) = (None, "", rest);
        let authority =
            rest.strip_prefix("//").filter(|rest| !scheme.is_empty() || !rest.starts_with('/'));
        if let Some(authority) = authority {
            let end = authority.find('/').unwrap_or(authority.len());
            (host, path) = authority.split_at(end);
            if let Some((before, after)) = host.rsplit_once('@') {
                user = Some(before.to_owned());
                host = after;
            }
            check_host(host).map_err(wrong)?;
        }
        check_escapes(path).map_err(wrong)?;
        let path = escape_path(path);
        let (opaque, host) = (String::new(), host.to_owned());
        Ok(Url { scheme, opaque, user, host, path, query, fragment })
    }

    fn split_host(&self) -> (&str, &str) {
        if let Some(inner) = self.host.strip_prefix('[') {
            let (name, rest) = inner.split_once(']').unwrap_or((inner, ""));
            return (name, rest.strip_prefix(':').unwrap_or(""));
        }
        self.host.split_once(':').unwrap_or((&self.host, ""))
    }
}

fn split_scheme(raw: &str) -> Result<(String, &str), EvalError> {
    for (at, c) in raw.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err(EvalError::new("missing protocol scheme")),
            ':' => return Ok((raw[..at].to_ascii_lowercase(), &raw[at + 1..])),
            _ => break,
        }
    }
    let first = raw.split(['/', '?', '#']).next().unwrap_or_default();
    if first.contains(':') && !raw.starts_with('/') {
        return Err(EvalError::new("first path segment in URL cannot contain colon"));
    }
    Ok((String::new(), raw))
}

fn check_host(host: &str) -> Result<(), EvalError> {
    let port = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, rest)) => rest,
            None => return Err(EvalError::new("missing ']' in host")),
        },
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let is_port = port.is_empty() || port.starts_with(':');
    if !is_port || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EvalError::new(format!("invalid port {:?} after host", Quoted(port))));
    }
    let allowed = |c: char| {
        c.is_ascii_alphanumeric() || !c.is_ascii() || "-_.~!$&'()*+,;=:[]<>\"%".contains(c)
    };
    match host.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(EvalError::new(format!(
            "invalid character {:?} in host name",
            Quoted(&c.to_string())
        ))),
        None => check_escapes(host),
    }
}

fn check_escapes(text: &str) -> Result<(), EvalError> {
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        let valid = bytes.len() > at + 2
            && bytes[at + 1].is_ascii_hexdigit()
            && bytes[at + 2].is_ascii_hexdigit();
        if !valid {
            let end = (at + 3).min(text.len());
            let shown = String::from_utf8_lossy(&bytes[at..end]).into_owned();
            return Err(EvalError::new(format!("invalid URL escape {:?}", Quoted(&shown))));
        }
    }
    Ok(())
}

/// A path with everything escaped that may not stand in it as it is.
fn escape_path(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for b in path.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => escaped.push(char::from(b)),
            _ if b"-_.~!$&'()*+,;=:@/[]%".contains(&b) => escaped.push(char::from(b)),
            _ => escaped.push_str(&format!("%{b:02X}")),
        }
    }
    escaped
}

fn operand<'v>(args: &'v [Value<'_>]) -> Result<&'v Url, EvalError> {
    match args.first() {
        Some(Value::Opaque(Opaque::Url(url))) => Ok(url),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn url<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let raw = text(args, 0)?;
    budget.allocate(raw.len() * 3)?;
    match Url::parse(raw) {
        Ok(url) => Ok(Value::Opaque(Opaque::Url(Arc::new(url)))),
        Err(why) => {
            let message = format!("URL parse error during conversion from string: {why}");
            Err(EvalError::new(message))
        }
    }
}

fn scheme<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(operand(args)?.scheme.as_str()))
}

fn host<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(operand(args)?.host.as_str()))
}

fn hostname<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(operand(args)?.split_host().0))
}

fn port<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(operand(args)?.split_host().1))
}

fn escaped_path<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let path = operand(args)?.path.as_str();
    budget.allocate(path.len())?;
    Ok(Value::text(path))
}

fn decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn query<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let query = operand(args)?.query.as_deref().unwrap_or_default();
    budget.allocate(query.len().saturating_mul(64))?;
    let mut found: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if check_escapes(key).is_ok() && check_escapes(value).is_ok() {
            found.entry(decoded(key)).or_default().push(Value::text(decoded(value)));
        }
    }
    let map: OwnedMap<'a> = found
        .into_iter()
        .map(|(key, values)| {
            let key = Text::Owned(key.into());
            (Key::String(key.clone()), (Value::String(key), Value::list(values)))
        })
        .collect();
    Ok(Value::Map(Map::Owned(map.into())))
}

fn is_url<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(Url::parse(text(args, 0)?).is_ok()))
}

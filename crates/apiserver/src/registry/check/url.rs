//! URLs as Go's `net/url` reads them.

use apimachinery::text::quote;

/// The parts of a URL that validation looks at.
pub(crate) struct Url<'a> {
    /// In lower case; empty if there is none.
    pub(crate) scheme: String,
    pub(crate) user: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) query: &'a str,
    pub(crate) fragment: &'a str,
}

impl<'a> Url<'a> {
    /// The parts of a text that is not [`unreadable`].
    pub(crate) fn split(text: &'a str) -> Self {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ => (String::new(), rest),
        };
        let authority = match rest.strip_prefix("//") {
            Some(rest) => rest.split('/').next().unwrap_or_default(),
            None => "",
        };
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        Self { scheme, user, host, query, fragment }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// The reason why Go cannot parse a URL.
pub(crate) fn unreadable(text: &str) -> Option<String> {
    if text.chars().any(|c| c.is_ascii_control()) {
        return Some("net/url: invalid control character in URL".to_owned());
    }
    if text.starts_with(':') {
        return Some("missing protocol scheme".to_owned());
    }
    let first = text.split('/').next().unwrap_or_default();
    if let Some((scheme, _)) = first.split_once(':')
        && !is_scheme(scheme)
    {
        return Some("first path segment in URL cannot contain colon".to_owned());
    }
    let authority = text.split_once("://")?.1.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'))?.1;
    let wrong = port.chars().any(|c| !c.is_ascii_digit());
    wrong.then(|| format!("invalid port {} after host", quote(&format!(":{port}"))))
}

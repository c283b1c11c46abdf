//! Rewrites links of proxied answers to go through the proxy: in `Location`, and in URL attributes
//! of HTML.

use futures::stream::try_unfold;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::forward::Target;
use super::html::{Rewrite, Tags};
use crate::body::{Body, BoxError};

/// Elements and their URL attributes
/// (<https://html.spec.whatwg.org/multipage/indices.html#attributes-3>, and some of HTML 4).
const ATTRIBUTES: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "usemap", "formaction"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Rewrites the links of one exchange.
#[derive(Clone)]
pub(super) struct Links {
    /// Path of the proxy without a trailing `/`.
    prefix: String,
    /// The target's host, and the host that the client used.
    hosts: [String; 2],
}

impl Links {
    /// `rest` is the part of the request's path that belongs to the target.
    pub(super) fn new(request: &Request<Body>, rest: &str, target: &Target) -> Self {
        let path = request.uri().path();
        let prefix = path.strip_suffix(rest).unwrap_or(path).trim_end_matches('/').to_owned();
        let asked = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let asked = asked.or_else(|| request.uri().authority().map(|host| host.as_str()));
        let target = format!("{}:{}", target.host, target.port);
        Self { prefix, hosts: [target, asked.unwrap_or_default().to_owned()] }
    }

    /// Rewrites a link to go through the proxy; `None` if it already does, or if it leads to
    /// another host.
    fn rewrite(&self, link: &str) -> Option<String> {
        let (host, path) = split(link);
        let elsewhere = host.is_some_and(|host| !self.hosts.iter().any(|known| known == host));
        if elsewhere || !path.starts_with('/') || path.starts_with(&self.prefix) {
            return None;
        }
        Some(format!("{}{path}", self.prefix))
    }

    /// Rewrites the links of an answer.
    pub(super) fn lead_back(self, answer: Response<Body>) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        let location = parts.headers.get(LOCATION).and_then(|link| link.to_str().ok());
        let moved = location.and_then(|link| self.rewrite(link));
        if let Some(Ok(link)) = moved.map(|link| HeaderValue::from_str(&link)) {
            parts.headers.insert(LOCATION, link);
        }
        let media = parts.headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let html = media.is_some_and(|media| media.split(';').next() == Some("text/html"));
        if !html || parts.headers.contains_key(CONTENT_ENCODING) {
            return Response::from_parts(parts, body);
        }
        parts.headers.remove(CONTENT_LENGTH);
        Response::from_parts(parts, self.lead_html_back(body))
    }

    fn lead_html_back(self, body: Body) -> Body {
        let chunks = try_unfold((body, Some(Tags::new(self))), |(mut body, tags)| async move {
            let Some(mut tags) = tags else { return Ok(None) };
            let mut written = Vec::new();
            let rest = match body.frame().await.transpose()? {
                Some(frame) => {
                    tags.write(&frame.into_data().unwrap_or_default(), &mut written);
                    Some(tags)
                }
                None => {
                    tags.end(&mut written);
                    None
                }
            };
            Ok::<_, BoxError>(Some((Frame::data(written.into()), (body, rest))))
        });
        StreamBody::new(chunks).boxed_unsync()
    }
}

impl Rewrite for Links {
    fn value(&self, element: &str, attribute: &str, value: &str) -> Option<String> {
        let known = ATTRIBUTES.iter().find(|(known, _)| *known == element);
        known.filter(|(_, attributes)| attributes.contains(&attribute))?;
        // A path may contain quotes, which would end the value.
        self.rewrite(value).map(|link| link.replace('"', "&quot;"))
    }
}

/// Host and port of a link, if it names one, and the rest of it.
fn split(link: &str) -> (Option<&str>, &str) {
    let end = |text: &str| text.find(['/', '?', '#']).unwrap_or(text.len());
    let behind_scheme = match link[..end(link)].find(':') {
        Some(colon) => &link[colon + 1..],
        None => link,
    };
    match behind_scheme.strip_prefix("//") {
        Some(host) => {
            let (host, path) = host.split_at(end(host));
            (Some(host), path)
        }
        // `mailto:` and similar links are not rewritten.
        None => (None, link),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        let hosts = ["10.0.0.1:80".to_owned(), "localhost:8001".to_owned()];
        Links { prefix: "/api/v1/namespaces/ns/pods/p/proxy".into(), hosts }
    }

    #[test]
    fn absolute_paths_of_the_same_host_get_the_prefix() {
        let links = links();
        for (link, expected) in [
            ("/", Some("/")),
            ("/a/b?c#d", Some("/a/b?c#d")),
            ("http://10.0.0.1:80/a", Some("/a")),
            ("//localhost:8001/a/", Some("/a/")),
            ("a/b", None),
            ("?q=/", None),
            ("#top", None),
            ("mailto:a@b/c", None),
            ("https://example.com/a", None),
            ("//example.com/a", None),
            ("/api/v1/namespaces/ns/pods/p/proxy/a", None),
            ("", None),
        ] {
            let expected = expected.map(|path| format!("{}{path}", links.prefix));
            assert_eq!(links.rewrite(link), expected, "{link}");
        }
    }

    #[tokio::test]
    async fn pages_and_redirects_lead_back() {
        let page = r#"<html><a class="x" href="/rewriteme">a</a><a href='b'><p title="/c">"#;
        let expected = page.replace("/rewriteme", &format!("{}/rewriteme", links().prefix));
        for (media, expected) in
            [("text/html; charset=utf-8", expected.as_str()), ("text/plain", page)]
        {
            let answer = Response::builder()
                .header(CONTENT_TYPE, media)
                .header(CONTENT_LENGTH, page.len())
                .header(LOCATION, "/there")
                .body(crate::body::full(page))
                .unwrap();
            let answer = links().lead_back(answer);
            assert_eq!(answer.headers()[LOCATION], format!("{}/there", links().prefix));
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(String::from_utf8_lossy(&body), expected, "{media}");
        }
    }
}

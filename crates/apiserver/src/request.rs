//! Attributes of a request: upstream's RequestInfo.

use apimachinery::selector::{FieldSelector, LabelSelector};
use http::Method;

/// The parts of an API request that authorization and routing use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// True if the path names a resource rather than, say, `/version`.
    pub(crate) is_resource: bool,
    /// `get`, `list`, `watch`, `create`, …; for other paths the method in lower case.
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    /// True if the path names the namespace before the resource (`/namespaces/a/pods`), as opposed
    /// to the namespace itself (`/namespaces/a`).
    pub(crate) in_namespace: bool,
    pub(crate) name: String,
    /// True if the path itself names an object.
    pub(crate) named: bool,
    /// True for the old form of a watch, `/watch/...`.
    pub(crate) watched: bool,
    pub(crate) method: Method,
    /// The field selector of a list, watch or deletecollection, for authorization (KEP-4601).
    pub(crate) field_selector: FieldSelector,
    /// The label selector of the same.
    pub(crate) label_selector: LabelSelector,
    /// The path after `/proxy/` as the client wrote it; it belongs to the target.
    pub(crate) rest: String,
    pub(crate) path: String,
}

/// A path that is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadPath;

/// Subresources of a namespace; any other third segment is a resource in the namespace.
const OF_NAMESPACE: &[&str] = &["status", "finalize"];

impl RequestInfo {
    /// Reads method, path and query (for `watch` and a field selector by name).
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Result<Self, BadPath> {
        let mut info = Self { path: path.to_owned(), method: method.clone(), ..Self::default() };
        let method_verb = match *method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "post",
            Method::PUT => "put",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            Method::OPTIONS => "options",
            _ => "",
        };
        info.verb = method_verb;
        // An empty first segment does not belong to a group.
        let path = path.strip_prefix('/').unwrap_or(path);
        let raw: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let parts: &[&str] = match raw.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => {
                info.version = (*version).to_owned();
                rest
            }
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                info.group = (*group).to_owned();
                info.version = (*version).to_owned();
                rest
            }
            _ => return Ok(info),
        };
        let decoded: Vec<_> = parts.iter().map(|part| decode_segment(part)).collect();
        let own = own_segments(&decoded);
        let behind = decoded.len() - own;
        let readable = decoded[..own].iter().map(|part| part.as_deref().ok_or(BadPath));
        let parts = readable.collect::<Result<Vec<&str>, _>>()?;
        info.is_resource = true;
        // The old form of a watch: `/api/v1/watch/namespaces/a/pods/b`.
        let (watch, parts) = match parts.as_slice() {
            ["watch", rest @ ..] if !rest.is_empty() => (true, rest),
            all => (false, all),
        };
        info.watched = watch;
        let parts = match parts {
            ["namespaces", namespace, rest @ ..]
                if !rest.is_empty() && !OF_NAMESPACE.contains(&rest[0]) =>
            {
                info.namespace = (*namespace).to_owned();
                info.in_namespace = true;
                rest
            }
            ["namespaces", namespace, ..] => {
                info.namespace = (*namespace).to_owned();
                parts
            }
            all => all,
        };
        info.resource = parts.first().copied().unwrap_or_default().to_owned();
        info.name = parts.get(1).copied().unwrap_or_default().to_owned();
        info.named = parts.len() > 1;
        info.subresource = parts.get(2).copied().unwrap_or_default().to_owned();
        let left_out = info.resource.is_empty()
            || (info.in_namespace && info.namespace.is_empty())
            || (info.name.is_empty() && parts.len() > 1);
        if left_out {
            return Err(BadPath);
        }
        if parts.len() > 3 || (behind > 0 && info.subresource != "proxy") {
            return Err(BadPath);
        }
        if info.subresource == "proxy" {
            // Trailing slashes count here.
            let before = raw.len() - behind;
            info.rest = path.splitn(before + 1, '/').nth(before).unwrap_or_default().to_owned();
        }
        info.verb = match method_verb {
            _ if watch && info.subresource.is_empty() => "watch",
            _ if watch => return Err(BadPath),
            "post" => "create",
            "put" => "update",
            "get" | "head" if info.name.is_empty() => {
                if query.flag("watch") {
                    "watch"
                } else {
                    "list"
                }
            }
            "head" => "get",
            "delete" if info.name.is_empty() => "deletecollection",
            other => other,
        };
        if matches!(info.verb, "list" | "watch" | "deletecollection") {
            // An invalid selector selects nothing here and is refused later.
            let selector = query.get("fieldSelector").map(FieldSelector::parse);
            info.field_selector = selector.and_then(Result::ok).unwrap_or_default();
            let selector = query.get("labelSelector").map(LabelSelector::parse);
            info.label_selector = selector.and_then(Result::ok).unwrap_or_default();
            // A selection by name is authorized like the selected object.
            if info.name.is_empty()
                && let Some(name) = info.field_selector.requires_exact("metadata.name")
                && is_path_segment(name)
            {
                info.name = name.to_owned();
            }
        }
        Ok(info)
    }

    /// Returns true if the request changes nothing.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.verb, "get" | "list" | "watch" | "head" | "options")
    }
}

/// Returns true if a name is valid in a path (upstream's `IsValidPathSegmentName`).
fn is_path_segment(name: &str) -> bool {
    name != "." && name != ".." && !name.contains(['/', '%'])
}

/// The number of segments that this server interprets: all, or those up to `proxy`.
fn own_segments(decoded: &[Option<String>]) -> usize {
    let segments: Vec<Option<&str>> = decoded.iter().map(Option::as_deref).collect();
    match segments.as_slice() {
        [Some("namespaces"), _, Some(resource), _, Some("proxy"), ..]
            if !OF_NAMESPACE.contains(resource) =>
        {
            5
        }
        [Some(resource), _, Some("proxy"), ..] if !matches!(*resource, "namespaces" | "watch") => 3,
        all => all.len(),
    }
}

/// `None` for a percent sign without two hexadecimal digits, and for a result that is not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    String::from_utf8(percent_decode_bytes(text)?).ok()
}

/// `None` for a percent sign without two hexadecimal digits.
pub(crate) fn percent_decode_bytes(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let hex = tail.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    Some(bytes)
}

/// Percent-decodes one segment; `None` if it contains a separator or is `.` or `..`.
fn decode_segment(segment: &str) -> Option<String> {
    percent_decode(segment).filter(|text| text != "." && text != ".." && !text.contains('/'))
}

/// The query parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// The first non-empty value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Upstream's boolean conversion: present and neither `0` nor `false`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| v != "0" && !v.eq_ignore_ascii_case("false"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, path: &str, query: &str) -> Result<RequestInfo, BadPath> {
        RequestInfo::parse(&method, path, &Query::parse(Some(query)))
    }

    #[test]
    fn paths_and_methods_become_verbs_on_resources() {
        for (method, path, query, want) in [
            (Method::GET, "/api/v1/pods", "", "list pods//"),
            (Method::GET, "/api/v1/pods", "watch=1", "watch pods//"),
            (Method::GET, "/api/v1/pods", "watch=false", "list pods//"),
            (Method::GET, "/api/v1/namespaces/a/pods/b", "", "get pods/a/b"),
            (Method::GET, "/api/v1/namespaces/a/pods/b/log", "", "get pods/a/b/log"),
            (Method::GET, "/api/v1/namespaces/a", "", "get namespaces/a/a"),
            (Method::GET, "/api/v1/namespaces/a/pods/b", "watch=1", "get pods/a/b"),
            (Method::GET, "/api/v1/watch/namespaces/a/pods", "", "watch pods/a/"),
            (Method::GET, "/api/v1/watch/namespaces/a/pods/b", "", "watch pods/a/b"),
            (Method::GET, "/api/v1/namespaces/a/namespaces/b", "", "get namespaces/a/b"),
            (Method::PUT, "/api/v1/namespaces/a/finalize", "", "update namespaces/a/a/finalize"),
            (Method::POST, "/api/v1/namespaces/a/pods", "", "create pods/a/"),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/a/deployments",
                "",
                "deletecollection deployments/a/",
            ),
            (
                Method::DELETE,
                "/apis/apps/v1/namespaces/a/deployments/x",
                "",
                "delete deployments/a/x",
            ),
            (Method::GET, "/api/v1/nodes", "fieldSelector=metadata.name%3Dn", "list nodes//n"),
            (Method::GET, "/api/v1/nodes/n/proxy/a/b", "", "get nodes//n/proxy a/b"),
            (Method::GET, "/api/v1/nodes/n/proxy/a//", "", "get nodes//n/proxy a//"),
            (Method::GET, "/api/v1/nodes/n/proxy/", "", "get nodes//n/proxy"),
            (
                Method::GET,
                "/api/v1/namespaces/a/pods/b/proxy/c%2fd/../%zz%20",
                "",
                "get pods/a/b/proxy c%2fd/../%zz%20",
            ),
        ] {
            let info = parse(method, path, query).unwrap();
            let mut got =
                format!("{} {}/{}/{}", info.verb, info.resource, info.namespace, info.name);
            if !info.subresource.is_empty() {
                got = format!("{got}/{}", info.subresource);
            }
            if !info.rest.is_empty() {
                got = format!("{got} {}", info.rest);
            }
            assert_eq!(got, want, "{path}");
        }
        assert!(!parse(Method::GET, "/version", "").unwrap().is_resource);
        assert!(!parse(Method::GET, "/apis/apps/v1", "").unwrap().is_resource);
    }

    #[test]
    fn hidden_separators_and_climbing_are_refused() {
        for path in [
            "/api/v1/namespaces/a/pods/..",
            "/api/v1/namespaces/a/pods/b%2fc",
            "/api/v1/namespaces/a/pods/%2e%2e",
            "/api/v1/namespaces/a/pods/%zz",
            "/api/v1/namespaces/a/pods/b/log/more",
            "/api/v1/namespaces//pods",
            "/api/v1/namespaces//pods/b",
            "/api/v1/namespaces/a/pods//log",
            "/api/v1/watch/namespaces/a/pods/b/log",
            "/api/v1/watch/pods/proxy/a",
            "/api/v1/watch/namespaces/a/pods/b/proxy/c",
            "/api/v1/namespaces/a/pods/../proxy/c",
            "/api/v1/namespaces/a/pods/b%2fc/proxy/d",
            "/api/v1/namespaces/a/pods/b/proxy%2fc",
            "/api/v1/namespaces/a/pods/../../b/pods/c/proxy/d",
            "/api/v1/namespaces/../pods/b/proxy/c",
            "/api/v1/%6eamespaces/a/proxy/../b",
            "/api/v1/namespaces/a/status/b/proxy/c",
        ] {
            assert_eq!(parse(Method::GET, path, ""), Err(BadPath), "{path}");
        }
    }
}

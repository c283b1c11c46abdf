//! Lies: changes to requests, answers and events.

use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;

/// A request that may be changed before the cluster sees it.
pub(super) struct Sent {
    pub(super) method: Method,
    pub(super) path: String,
    /// Names and values, in their order: `command` comes more than once.
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    /// The body, if it is JSON.
    pub(super) json: Option<Value>,
    raw: Bytes,
}

impl Sent {
    pub(super) fn new(method: &Method, uri: &Uri, mut headers: HeaderMap, body: &Bytes) -> Self {
        // The body may change, and is read by us in the answer.
        for name in ["content-length", "accept-encoding", "host"] {
            headers.remove(name);
        }
        let pairs = uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name.to_owned(), value.to_owned())
        };
        Self {
            method: method.clone(),
            path: uri.path().to_owned(),
            query: pairs.map(pair).collect(),
            headers,
            json: serde_json::from_slice(body).ok(),
            raw: body.clone(),
        }
    }

    pub(super) fn uri(&self) -> String {
        let pairs: Vec<String> =
            self.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if pairs.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, pairs.join("&"))
        }
    }

    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        Ok(match &self.json {
            // As it was written, with its duplicate fields, unless the lie changed it.
            Some(json)
                if serde_json::from_slice::<Value>(&self.raw).ok().as_ref() != Some(json) =>
            {
                serde_json::to_vec(json)?
            }
            _ => self.raw.to_vec(),
        })
    }

    pub(super) fn is_watch(&self) -> bool {
        self.query.iter().any(|(name, value)| name == "watch" && matches!(&**value, "true" | "1"))
    }
}

/// One lie, or the truth.
#[derive(Clone)]
pub(super) enum Lie {
    /// Everything is passed on as it is.
    None,
    /// Fields of what is sent are dropped, as by a server that does not know them: `field`, or
    /// `parent.field` where the field's name alone says too little.
    Unknown(&'static [&'static str]),
    /// Fields of what is told are hidden.
    Hidden(&'static [&'static str]),
    /// A parameter of the query is ignored.
    Parameter(&'static str),
    /// A header of requests is ignored.
    Header(&'static str),
    /// A header of answers is left out.
    NoHeader(&'static str),
    /// Events of a type are kept back.
    Silent(&'static str),
    /// Deletions are answered with success and not done.
    NoDelete,
    /// Writes to a subresource are answered with the object as it is, and not done.
    NoWrite(&'static str),
    /// Posts to a subresource are answered with success and not done.
    NoPost(&'static str),
    /// One media type of patches is taken for another.
    OtherPatch(&'static str, &'static str),
    /// A field of what is told has another value.
    Told(&'static str, Arc<Value>),
    /// Text at paths with this ending is empty.
    Blank(&'static str),
    /// Paths with this beginning are answered with an empty object.
    Empty(&'static str),
}

impl Lie {
    /// Changes a request.
    pub(super) fn sent(&self, sent: &mut Sent) {
        match self {
            Self::Unknown(fields) => {
                if let Some(json) = &mut sent.json {
                    fields.iter().for_each(|field| remove(json, "", field));
                }
            }
            // A collection of the whole cluster is not deleted for a proof.
            Self::Parameter(_)
                if sent.method == Method::DELETE && !sent.path.contains("/namespaces/") => {}
            Self::Parameter(name) => sent.query.retain(|(given, _)| given != name),
            Self::Header(name) => {
                // Those of a family by their beginning.
                let names: Vec<_> = sent
                    .headers
                    .keys()
                    .filter(|key| key.as_str().starts_with(name))
                    .cloned()
                    .collect();
                names.iter().for_each(|name| drop(sent.headers.remove(name)));
            }
            Self::OtherPatch(from, to) => {
                let kind = sent.headers.get("content-type").and_then(|kind| kind.to_str().ok());
                if kind.is_some_and(|kind| kind.contains(from)) {
                    sent.headers.insert("content-type", http::HeaderValue::from_static(to));
                    sent.query.retain(|(given, _)| given != "force" && given != "fieldManager");
                }
            }
            Self::NoWrite(part)
                if sent.path.ends_with(part)
                    && matches!(sent.method, Method::PUT | Method::PATCH) =>
            {
                sent.method = Method::GET;
                sent.query.clear();
                sent.headers.remove("content-type");
                // A resize or a list of ephemeral containers is read in the pod.
                if !matches!(*part, "/status" | "/scale" | "/approval") {
                    sent.path = sent.path.trim_end_matches(part).to_owned();
                }
                sent.json = None;
                sent.raw = Bytes::new();
            }
            _ => {}
        }
    }

    /// An answer in the cluster's stead.
    pub(super) fn instead(&self, sent: &Sent) -> Option<Value> {
        let success =
            || serde_json::json!({"apiVersion": "v1", "kind": "Status", "status": "Success"});
        match self {
            Self::NoDelete if sent.method == Method::DELETE && !sent.path.contains("/proxy") => {
                Some(success())
            }
            Self::NoPost(part) if sent.method == Method::POST && sent.path.ends_with(part) => {
                Some(success())
            }
            Self::Empty(begin) if sent.path.starts_with(begin) => Some(serde_json::json!({})),
            _ => None,
        }
    }

    /// Changes an answer.
    pub(super) fn told(&self, _sent: &Sent, told: &mut Value) {
        match self {
            Self::Hidden(fields) => fields.iter().for_each(|field| remove(told, "", field)),
            Self::Told(field, value) => replace(told, "", field, value),
            _ => {}
        }
    }

    /// Changes an answer that is no JSON.
    pub(super) fn raw(&self, sent: &Sent, bytes: Bytes) -> Bytes {
        match self {
            Self::Blank(end) if sent.path.ends_with(end) => Bytes::new(),
            _ => bytes,
        }
    }

    /// Changes the headers of an answer.
    pub(super) fn headers(&self, headers: &mut HeaderMap) {
        if let Self::NoHeader(name) = self {
            headers.remove(*name);
        }
    }

    /// Changes an event; whether it is shown.
    pub(super) fn event(&self, sent: &Sent, event: &mut Value) -> bool {
        if let Self::Silent(kind) = self {
            return event["type"] != *kind;
        }
        if let Some(object) = event.get_mut("object") {
            self.told(sent, object);
        }
        true
    }
}

/// True if a lie's field names the member `key` of the object called `parent`.
fn meant(parent: &str, key: &str, field: &str) -> bool {
    match field.split_once('.') {
        Some((above, name)) => name == key && above == parent,
        None => field == key,
    }
}

fn remove(value: &mut Value, parent: &str, field: &str) {
    match value {
        Value::Object(members) => {
            members.retain(|key, _| !meant(parent, key, field));
            members.iter_mut().for_each(|(key, value)| remove(value, key, field));
        }
        Value::Array(items) => {
            // An operation of a JSON patch names its field by a path.
            items.retain(|item| {
                let path = item["path"].as_str().unwrap_or_default();
                !path.starts_with('/') || !path.ends_with(&format!("/{}", field.replace('.', "/")))
            });
            items.iter_mut().for_each(|item| remove(item, parent, field));
        }
        _ => {}
    }
}

fn replace(value: &mut Value, parent: &str, field: &str, with: &Value) {
    match value {
        Value::Object(members) => {
            for (key, value) in members.iter_mut() {
                if meant(parent, key, field) {
                    *value = with.clone();
                } else {
                    replace(value, key, field, with);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, parent, field, with)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_dropped_where_they_are_meant() {
        let mut object = json!({"spec": {"selector": {"a": 1}, "template": {"env": [{"name": "x"}]}},
            "metadata": {"name": "n"}});
        remove(&mut object, "", "env.name");
        remove(&mut object, "", "spec.selector");
        assert_eq!(object, json!({"spec": {"template": {"env": [{}]}}, "metadata": {"name": "n"}}));
        let mut patch = json!([{"op": "remove", "path": "/spec/schedulingGates"}, {"op": "test"}]);
        remove(&mut patch, "", "schedulingGates");
        assert_eq!(patch, json!([{"op": "test"}]));
    }

    #[test]
    fn parameters_are_ignored_and_the_rest_is_kept() {
        let uri = "/api/v1/pods?limit=3&labelSelector=a%3Db".parse().unwrap();
        let mut sent = Sent::new(&Method::GET, &uri, HeaderMap::new(), &Bytes::new());
        Lie::Parameter("limit").sent(&mut sent);
        assert_eq!(sent.uri(), "/api/v1/pods?labelSelector=a%3Db");
    }

    #[test]
    fn events_are_kept_back() {
        let uri = "/api/v1/pods?watch=true".parse().unwrap();
        let sent = Sent::new(&Method::GET, &uri, HeaderMap::new(), &Bytes::new());
        assert!(sent.is_watch());
        let lie = Lie::Silent("DELETED");
        assert!(!lie.event(&sent, &mut json!({"type": "DELETED", "object": {}})));
        assert!(lie.event(&sent, &mut json!({"type": "ADDED", "object": {}})));
    }
}

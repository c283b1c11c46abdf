//! Events of the audit (`audit.k8s.io/v1`), and what they take from a request.

use std::collections::BTreeMap;
use std::net::IpAddr;

use apimachinery::text::quote;
use apimachinery::{ObjectExt, Status};
use http::header::{HeaderName, USER_AGENT};
use http::{HeaderMap, Uri};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::policy::{Level, Stage};
use crate::request::RequestInfo;
use crate::user::User;

/// Longest user agent that is recorded, in bytes, and the mark of one that was longer (upstream's).
const LONGEST_AGENT: usize = 1024;
const CUT: &str = "...TRUNCATED";

/// Annotation of an event that lacks objects because of their size.
const TRUNCATED: &str = "audit.k8s.io/truncated";

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Everything that is known of a request so far.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    kind: &'static str,
    api_version: &'static str,
    pub(super) level: Level,
    #[serde(rename = "auditID")]
    audit_id: String,
    pub(super) stage: Stage,
    #[serde(rename = "requestURI")]
    uri: String,
    verb: &'static str,
    user: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_metadata: Option<Value>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    source_ips: Vec<IpAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_status: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_object: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_object: Option<Box<RawValue>>,
    request_received_timestamp: String,
    pub(super) stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(skip_serializing_if = "String::is_empty")]
    resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    subresource: String,
}

/// The parts of a request that its event begins with.
pub(super) struct Begun<'a> {
    pub(super) level: Level,
    pub(super) audit_id: String,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) peer: Option<IpAddr>,
    pub(super) info: &'a RequestInfo,
    pub(super) user: Option<&'a User>,
    pub(super) received: String,
}

impl Event {
    pub(super) fn new(begun: Begun<'_>) -> Self {
        let Begun { level, audit_id, uri, headers, peer, info, user, received } = begun;
        let object_ref = info.is_resource.then(|| Reference {
            resource: info.resource.clone(),
            namespace: info.namespace.clone(),
            name: info.name.clone(),
            api_group: info.group.clone(),
            api_version: info.version.clone(),
            subresource: info.subresource.clone(),
            ..Reference::default()
        });
        Self {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level,
            audit_id,
            stage: Stage::RequestReceived,
            uri: uri.path_and_query().map_or_else(String::new, |uri| uri.as_str().to_owned()),
            verb: info.verb,
            user: user.map_or_else(|| json!({}), of_user),
            impersonated_user: None,
            authentication_metadata: None,
            source_ips: source_ips(headers, peer),
            user_agent: agent(headers),
            object_ref,
            response_status: None,
            request_object: None,
            response_object: None,
            stage_timestamp: received.clone(),
            request_received_timestamp: received,
            annotations: BTreeMap::new(),
        }
    }

    pub(super) fn impersonates(&mut self, user: &User, constraint: Option<&'static str>) {
        self.impersonated_user = Some(of_user(user));
        self.authentication_metadata =
            constraint.map(|constraint| json!({"impersonationConstraint": constraint}));
    }

    /// Says of a request more about its object than its path does.
    pub(super) fn refer_to(&mut self, object: &Value) {
        let reference = self.object_ref.get_or_insert_default();
        let metadata = &object["metadata"];
        for (own, field) in [
            (&mut reference.namespace, "namespace"),
            (&mut reference.name, "name"),
            (&mut reference.uid, "uid"),
            (&mut reference.resource_version, "resourceVersion"),
        ] {
            if own.is_empty() {
                metadata.str_at(&[field]).clone_into(own);
            }
        }
    }

    /// Adds an annotation; the first value of a key stays.
    pub(super) fn annotate(&mut self, key: &str, value: String) {
        match self.annotations.get(key) {
            None => {
                self.annotations.insert(key.to_owned(), value);
            }
            Some(known) if *known == value => {}
            Some(_) => {
                let audit_id = self.audit_id.as_str();
                tracing::warn!(key, audit_id, "an audit annotation has been set before");
            }
        }
    }

    /// Says that objects were left out; returns true if that was not said before.
    pub(super) fn mark_truncated(&mut self) -> bool {
        self.annotations.insert(TRUNCATED.to_owned(), "true".to_owned()).is_none()
    }

    /// Takes back what [`Event::mark_truncated`] said.
    pub(super) fn unmark_truncated(&mut self, marked: bool) {
        if marked {
            self.annotations.remove(TRUNCATED);
        }
    }

    /// The code of the answer, which keeps what is known of the status.
    pub(super) fn answered(&mut self, code: u16) {
        let status = self.response_status.get_or_insert_with(|| json!({"metadata": {}}));
        status["code"] = code.into();
    }

    /// The status that is the answer.
    pub(super) fn answered_with(&mut self, status: &Status) {
        self.response_status = Some(of_status(&status.to_value()));
    }

    /// One line for people (upstream's legacy format), which holds no line breaks of a client's.
    pub(super) fn text(&self) -> String {
        let groups = |user: &Value| -> Option<String> {
            let groups = user["groups"].as_array().filter(|groups| !groups.is_empty())?;
            let groups: Vec<String> = groups.iter().filter_map(Value::as_str).map(quote).collect();
            Some(groups.join(","))
        };
        let user = self.user.str_at(&["username"]);
        let (user, of_user) = match user {
            "" => ("<none>", None),
            user => (user, groups(&self.user)),
        };
        let other = self.impersonated_user.as_ref();
        let namespace = self.object_ref.as_ref().map_or("", |object| object.namespace.as_str());
        let ip = self.source_ips.first().map_or("<unknown>".to_owned(), IpAddr::to_string);
        let code = self.response_status.as_ref().map(|status| status["code"].to_string());
        format!(
            "{} AUDIT: id={} stage={} ip={} method={} user={} groups={} as={} asgroups={} \
             user-agent={} namespace={} uri={} response=\"{}\"",
            self.request_received_timestamp,
            quote(&self.audit_id),
            quote(self.stage.name()),
            quote(&ip),
            quote(self.verb),
            quote(user),
            quote(&of_user.unwrap_or_else(|| "<none>".to_owned())),
            quote(other.map_or("<self>", |user| user.str_at(&["username"]))),
            quote(&other.and_then(groups).unwrap_or_else(|| "<lookup>".to_owned())),
            quote(&self.user_agent),
            quote(if namespace.is_empty() { "<none>" } else { namespace }),
            quote(&self.uri),
            code.as_deref().unwrap_or("<deferred>"),
        )
    }
}

fn of_user(user: &User) -> Value {
    let mut info = crate::verbs::user_info(user);
    if user.groups.is_empty() {
        info.remove_path(&["groups"]);
    }
    info
}

/// A status without the parts that have no bound.
pub(super) fn of_status(status: &Value) -> Value {
    let mut kept = json!({"metadata": {}});
    for field in ["status", "message", "reason", "details", "code"] {
        if let Some(value) = status.get(field).filter(|value| !value.is_null()) {
            kept[field] = value.clone();
        }
    }
    kept
}

/// The beginning of a text, of at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or_default()]
}

fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let agent = agent.unwrap_or_default();
    if agent.len() <= LONGEST_AGENT {
        return agent.into_owned();
    }
    format!("{}{CUT}", cut(&agent, LONGEST_AGENT))
}

/// The addresses that a request came by: those that proxies claim, and at last the connection's.
fn source_ips(headers: &HeaderMap, peer: Option<IpAddr>) -> Vec<IpAddr> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let parse = |text: &str| text.trim().parse::<IpAddr>().ok();
    let forwarded = text(FORWARDED_FOR).unwrap_or_default();
    let mut found: Vec<IpAddr> = forwarded.split(',').filter_map(parse).collect();
    if let Some(real) = text(REAL_IP).and_then(parse)
        && !found.contains(&real)
    {
        found.push(real);
    }
    if let Some(peer) = peer.map(|peer| peer.to_canonical())
        && found.last() != Some(&peer)
    {
        found.push(peer);
    }
    found
}

/// Leaves the managers of fields out of an object, a list's items and a table's rows.
pub(super) fn without_managed_fields(object: &mut Value) {
    let strip = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    strip(object);
    for item in object.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten() {
        strip(item);
    }
    for row in object.get_mut("rows").and_then(Value::as_array_mut).into_iter().flatten() {
        row.get_mut("object").map(strip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_proxies_and_of_the_connection() {
        let peer: IpAddr = "::ffff:10.0.0.9".parse().unwrap();
        for (forwarded, real, want) in [
            ("", "", "10.0.0.9"),
            ("1.1.1.1, nonsense,2.2.2.2", "", "1.1.1.1 2.2.2.2 10.0.0.9"),
            ("1.1.1.1", "1.1.1.1", "1.1.1.1 10.0.0.9"),
            ("", "3.3.3.3", "3.3.3.3 10.0.0.9"),
            ("1.1.1.1,10.0.0.9", "", "1.1.1.1 10.0.0.9"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, forwarded.parse().unwrap());
            headers.insert(REAL_IP, real.parse().unwrap());
            let found: Vec<String> =
                source_ips(&headers, Some(peer)).iter().map(IpAddr::to_string).collect();
            assert_eq!(found.join(" "), want, "{forwarded} {real}");
        }
        assert_eq!(source_ips(&HeaderMap::new(), None), Vec::<IpAddr>::new());
    }

    #[test]
    fn managers_of_fields_are_left_out_everywhere() {
        let object = json!({"metadata": {"name": "a", "managedFields": []}});
        let mut list = json!({
            "metadata": {}, "items": [object, object], "rows": [{"object": object}, {"object": null}],
        });
        without_managed_fields(&mut list);
        assert!(!list.to_string().contains("managedFields"), "{list}");
    }
}

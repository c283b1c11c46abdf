//! LIST: a snapshot, selectors, pages.

use std::sync::Arc;

use apimachinery::Status;
use apimachinery::schema::Registry;
use apimachinery::selector::{FieldSelector, LabelSelector};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::list_body::{json_list, protobuf_list};
use crate::body::Body;
use crate::cache::{Entry, Expired, Snapshot};
use crate::encode::{self, Include, view};
use crate::negotiate::{Accepted, Encoding, Form};

/// Which objects a list, watch or deletecollection is about.
pub(crate) struct Filter {
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    pub(crate) fn parse(call: &Call<'_>) -> Result<Self, Status> {
        let labels = LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default())?;
        let mut fields = FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default())?;
        for term in &fields.terms {
            let known = matches!(term.field.as_str(), "metadata.name" | "metadata.namespace")
                || call.kind.selectable.iter().any(|s| s.name == term.field);
            if !known {
                return Err(Status::bad_request(call.kind.unknown_field(&term.field)));
            }
        }
        if call.kind.conversion.is_some() {
            // Entries know their fields by the stored version's names.
            for term in &mut fields.terms {
                if let Some(stored) = call.kind.stored_field(&term.field) {
                    term.field = stored.to_owned();
                }
            }
        }
        // A watch of one object by path selects it by name.
        if call.info.verb == "watch"
            && !call.info.name.is_empty()
            && fields.requires_exact("metadata.name").is_none()
        {
            fields = FieldSelector::parse(&format!("metadata.name={}", call.info.name))?;
        }
        Ok(Self { namespace: call.info.namespace.clone(), labels, fields })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Selects everything in its namespace.
    pub(crate) fn is_open(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.namespace() == self.namespace)
            && (self.fields.is_empty()
                || self.fields.matches(|name| entry.field(name).unwrap_or_default()))
            && (self.labels.is_empty()
                || self
                    .labels
                    .matches(|key| entry.labels().find(|(k, _)| *k == key).map(|(_, v)| v)))
    }
}

/// The revision of a token whose own is gone: the list goes on in the present, inconsistently.
const IN_THE_PRESENT: i64 = -1;

/// Where the next page starts, as upstream's continue token says it.
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

impl Continue {
    /// Behind the object at `last`.
    fn after(revision: u64, last: &str) -> Self {
        Self { v: "meta.k8s.io/v1".into(), rv: revision as i64, start: format!("{last}\0") }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    fn decode(token: &str) -> Result<Self, Status> {
        let invalid = || Status::bad_request("continue key is not valid: invalid continue token");
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|_| invalid())?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let climbs = token.start.split('/').any(|part| part == ".." || part == ".");
        if token.v != "meta.k8s.io/v1" || token.start.is_empty() || climbs {
            return Err(invalid());
        }
        Ok(token)
    }
}

/// A resource version parameter: a decimal number.
pub(crate) fn parse_revision(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        Status::bad_request(format!(
            "resourceVersion: Invalid value: {}: strconv.ParseUint: parsing {}: invalid syntax",
            apimachinery::text::quote(text),
            apimachinery::text::quote(text)
        ))
    })
}

/// A version that has not been reached cannot be read yet.
pub(crate) fn check_revision(call: &Call<'_>, text: Option<&str>) -> Result<Option<u64>, Status> {
    let Some(text) = text else { return Ok(None) };
    let wanted = parse_revision(text)?;
    let now = call.server.cache.revision();
    if wanted > now {
        let mut status =
            Status::timeout(format!("Too large resource version: {wanted}, current: {now}"), 1);
        if let Some(details) = &mut status.details {
            details.causes.push(apimachinery::status::Cause {
                reason: "ResourceVersionTooLarge".into(),
                message: "Too large resource version".into(),
                ..Default::default()
            });
        }
        return Err(status);
    }
    Ok(Some(wanted))
}

/// The version that `token` goes on with is gone; the present one may do.
fn expired(token: Continue) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can \
         start a new list without the continue parameter, or use the continue token in this \
         response to retrieve the remainder of the results. Continuing with the provided token \
         results in an inconsistent list - objects that were created, modified, or deleted \
         between the time the first chunk was returned and now may show up in the list.",
    );
    status.continue_token = Continue { rv: IN_THE_PRESENT, ..token }.encode();
    status
}

/// The state to list, its revision and the first path.
fn start(call: &Call<'_>) -> Result<(Arc<Snapshot>, u64, String), Status> {
    let collection = call.server.collection(call.kind)?;
    let matching = call.query.text("resourceVersionMatch");
    let version = call.query.text("resourceVersion");
    if let Some(token) = call.query.text("continue") {
        if version.is_some_and(|v| v != "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = Continue::decode(token)?;
        let current = call.server.cache.revision();
        if token.rv < 0 {
            return Ok((collection.snapshot(), current, token.start));
        }
        if token.rv as u64 > current {
            return Err(Status::bad_request(
                "continue key is not valid: the token is from the future",
            ));
        }
        let revision = token.rv as u64;
        return match call.server.cache.snapshot_at(collection, revision) {
            Ok(snapshot) => Ok((snapshot, revision, token.start)),
            Err(Expired) => Err(expired(token)),
        };
    }
    match matching {
        None => {}
        Some("Exact" | "NotOlderThan") if version.is_none() => {
            return Err(Status::bad_request(
                "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided",
            ));
        }
        Some("Exact") if version == Some("0") => {
            return Err(Status::bad_request(
                "resourceVersionMatch: Forbidden: resourceVersionMatch \"Exact\" is forbidden for resourceVersion \"0\"",
            ));
        }
        Some("Exact" | "NotOlderThan") => {}
        Some(other) => {
            return Err(Status::bad_request(format!(
                "resourceVersionMatch: Unsupported value: {}: supported values: \"Exact\", \"NotOlderThan\"",
                apimachinery::text::quote(other)
            )));
        }
    }
    let wanted = check_revision(call, version)?;
    let limited = call.query.text("limit").is_some_and(|l| l != "0");
    // A page of an explicit version is a page of exactly that version (upstream's legacy rule).
    let exact = matching == Some("Exact")
        || (matching.is_none() && limited && wanted.is_some_and(|v| v > 0));
    if let (true, Some(revision)) = (exact, wanted) {
        let snapshot = call.server.cache.snapshot_at(collection, revision).map_err(|_| {
            Status::expired(format!(
                "The resourceVersion for the provided list is too old: {revision}"
            ))
        })?;
        return Ok((snapshot, revision, String::new()));
    }
    let (snapshot, revision) = call.server.present(call.kind)?;
    Ok((snapshot, revision, String::new()))
}

fn limit(call: &Call<'_>) -> Result<usize, Status> {
    match call.query.text("limit") {
        None => Ok(0),
        Some(text) => match text.parse::<i64>() {
            Ok(n) if n >= 0 => Ok(n as usize),
            Ok(n) => Err(Status::bad_request(format!(
                "limit: Invalid value: {n}: must be greater than or equal to 0"
            ))),
            Err(_) => Err(Status::bad_request(format!(
                "limit: Invalid value: {}: must be an integer",
                apimachinery::text::quote(text)
            ))),
        },
    }
}

pub(super) fn list(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let filter = Filter::parse(call)?;
    let limit = limit(call)?;
    let (snapshot, revision, from) = start(call)?;
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut last = None;
    let mut matching =
        snapshot.range(filter.namespace(), &from).filter(|e| filter.is_open() || filter.matches(e));
    for entry in matching.by_ref() {
        entries.push(entry.clone());
        if entries.len() == limit {
            last = Some(entry.path().clone());
            break;
        }
    }
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let Some(last) = last {
        let rest = matching.count();
        if rest > 0 {
            metadata["continue"] = Continue::after(revision, &last).encode().into();
            // With a selector upstream does not know how many remain.
            if filter.is_open() {
                metadata["remainingItemCount"] = rest.into();
            }
        }
    }
    respond(call, entries, metadata)
}

fn respond(
    call: &Call<'_>,
    entries: Vec<Arc<Entry>>,
    metadata: Value,
) -> Result<Response<Body>, Status> {
    let kind = call.kind;
    let Accepted { encoding, form } = call.accepted;
    let media_type = encoding.media_type();
    match (form, encoding) {
        (Form::Object, Encoding::Json) => {
            let body = json_list(kind, entries, &metadata);
            Ok(encode::respond(StatusCode::OK, media_type, body))
        }
        (Form::Object, Encoding::Protobuf) => {
            let list = format!("{}List", kind.kind);
            let list_type = Registry::builtin()
                .lookup(kind.group, kind.version, &list)
                .ok_or_else(|| Status::internal(format!("no schema for {list}")))?;
            let items = entries
                .iter()
                .map(|e| encode::raw_protobuf(kind, e))
                .collect::<Result<Vec<Bytes>, _>>()?;
            let body = protobuf_list(list_type, &kind.api_version(), &list, &metadata, items)?;
            Ok(encode::respond(StatusCode::OK, media_type, body))
        }
        (Form::Object, Encoding::Yaml) => {
            let items: Vec<Value> = entries.iter().map(|e| view(kind, e)).collect();
            let list = json!({
                "apiVersion": kind.api_version(), "kind": format!("{}List", kind.kind),
                "metadata": metadata, "items": items,
            });
            encode::value(StatusCode::OK, &list, encoding)
        }
        (Form::Partial, _) => {
            let items: Vec<Value> =
                entries.iter().map(|e| encode::partial(&view(kind, e))).collect();
            let list = json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
                "metadata": metadata, "items": items,
            });
            encode::value(StatusCode::OK, &list, encoding)
        }
        (Form::Table, _) => {
            let include = Include::parse(call.query.get("includeObject"))?;
            let rows = entries.iter().map(|e| encode::row(kind, &view(kind, e), include)).collect();
            encode::value(StatusCode::OK, &encode::table(kind, rows, metadata, true), encoding)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_round_trip_and_forgeries_are_refused() {
        let token = Continue::after(7, "ns/a").encode();
        let read = Continue::decode(&token).unwrap();
        assert_eq!((read.rv, read.start.as_str()), (7, "ns/a\0"));
        for forged in [
            "%%%".to_owned(),
            "AAAA".to_owned(),
            URL_SAFE_NO_PAD.encode(r#"{"v":"v0","rv":1,"start":"a"}"#),
            URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#),
            URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../secrets"}"#),
        ] {
            assert_eq!(Continue::decode(&forged).err().map(|s| s.code), Some(400), "{forged}");
        }
    }
}

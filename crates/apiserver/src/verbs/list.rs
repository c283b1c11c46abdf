//! LIST: a snapshot, selectors, pages.

use std::sync::Arc;
use std::time::Duration;

use apimachinery::codec::protobuf;
use apimachinery::schema::Registry;
use apimachinery::selector::{FieldSelector, LabelSelector, Operator};
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::{DecodeError, Engine};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Call;
use super::list_body::{json_list, made_list, protobuf_list};
use super::list_options::{ListOptions, parse_version};
use crate::body::Body;
use crate::cache::{By, Demand, Entry, Expired, Snapshot};
use crate::encode::{self, Include, view};
use crate::negotiate::{Accepted, Encoding, Form};

/// The selection of a list, watch or deletecollection.
pub(crate) struct Filter {
    namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
    /// Values that all selected objects have.
    demands: Vec<Demand>,
    /// The path of the only object that can be selected.
    only: Option<String>,
}

/// The values that a selector asks for.
fn demands(labels: &LabelSelector, fields: &FieldSelector) -> Vec<Demand> {
    let demand = |by, value: &str| Demand { by, value: value.into() };
    let labels = labels.requirements.iter().filter_map(|one| match (one.operator, &*one.values) {
        (Operator::In, [value]) => Some(demand(By::Label(one.key.as_str().into()), value)),
        _ => None,
    });
    let fields = fields.terms.iter().filter(|term| term.equal);
    let fields = fields.map(|term| demand(By::Field(term.field.as_str().into()), &term.value));
    fields.chain(labels).filter(|demand| !demand.value.is_empty()).collect()
}

impl Filter {
    pub(crate) fn parse(call: &Call<'_>) -> Result<Self, Status> {
        let labels = LabelSelector::parse(call.query.get("labelSelector").unwrap_or_default())?;
        let mut fields = FieldSelector::parse(call.query.get("fieldSelector").unwrap_or_default())?;
        for term in &fields.terms {
            if !call.kind.selects_by(&term.field) {
                return Err(Status::bad_request(call.kind.unknown_field(&term.field)));
            }
        }
        if call.kind.conversion.is_some() {
            // Entries use the field names of the stored version.
            for term in &mut fields.terms {
                if let Some(stored) = call.kind.stored_field(&term.field) {
                    term.field = stored.to_owned();
                }
            }
        }
        // A watch of one object by path is a selection by name.
        if call.info.verb == "watch" && !call.info.name.is_empty() {
            match fields.requires_exact("metadata.name") {
                Some(name) if name == call.info.name => {}
                None if fields.is_empty() => {
                    fields = FieldSelector::parse(&format!("metadata.name={}", call.info.name))?;
                }
                _ => {
                    return Err(Status::bad_request(
                        "fieldSelector metadata.name doesn't match requested name",
                    ));
                }
            }
        }
        // The path of a namespace contains its name twice.
        let namespace =
            if call.kind.namespaced { call.info.namespace.clone() } else { String::new() };
        let demands = demands(&labels, &fields);
        let named = fields.requires_exact("metadata.name");
        let only = match (named, call.kind.namespaced, namespace.as_str()) {
            (Some(name), false, _) => Some(name.to_owned()),
            (Some(_), true, "") | (None, ..) => None,
            (Some(name), true, namespace) => Some(format!("{namespace}/{name}")),
        };
        Ok(Self { namespace, labels, fields, demands, only })
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The present state, with an index for the selection where that pays, and its revision.
    pub(crate) fn present(&self, call: &Call<'_>) -> Result<(Arc<Snapshot>, u64), Status> {
        let demands = if self.only.is_some() { &[] } else { &*self.demands };
        call.server.selected(&call.kind, &self.namespace, demands)
    }

    /// Returns true if everything in the namespace is selected.
    pub(crate) fn is_open(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Returns true if it looks at fields other than metadata.
    fn reads_fields(&self) -> bool {
        self.fields.terms.iter().any(|term| !term.field.starts_with("metadata."))
    }

    /// Returns true if an object that is not stored is selected.
    pub(super) fn selects(&self, object: &Object) -> bool {
        let field = |name: &str| match name {
            "metadata.name" => object.name().to_owned(),
            _ => String::new(),
        };
        self.fields.matches(field) && self.labels.matches(|key| object.label(key))
    }

    pub(crate) fn matches(&self, entry: &Entry) -> bool {
        (self.namespace.is_empty() || entry.namespace() == self.namespace)
            && (self.fields.is_empty()
                || self.fields.matches(|name| entry.field(name).unwrap_or_default()))
            && (self.labels.is_empty() || self.labels.matches(|key| entry.label(key)))
    }
}

/// Revision of a token whose own has expired: the list continues at the present, inconsistently.
const IN_THE_PRESENT: i64 = -1;

/// Version of continue tokens.
const VERSION: &str = "meta.k8s.io/v1";

/// As Go decodes it: unused bits of the last byte are ignored.
const URL_SAFE_NO_PAD: GeneralPurpose =
    GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// The start of the next page, in the format of upstream's continue token.
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: i64,
    start: String,
}

impl Continue {
    /// The position after the object at `last`, relative to the list's namespace.
    fn after(revision: u64, namespace: &str, last: &str) -> Self {
        let last = last.strip_prefix(namespace).unwrap_or(last);
        let last = last.strip_prefix('/').unwrap_or(last);
        Self { v: VERSION.into(), rv: revision as i64, start: format!("/{last}\0") }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    /// The first remaining path of the list of a namespace.
    fn path(&self, namespace: &str) -> String {
        let start = self.start.strip_prefix('/').unwrap_or(&self.start);
        if namespace.is_empty() { start.to_owned() } else { format!("{namespace}/{start}") }
    }

    fn decode(token: &str) -> Result<Self, Status> {
        let invalid = |why: String| {
            Err(Status::bad_request(format!(
                "invalid continue token: continue key is not valid{why}"
            )))
        };
        let bytes = match URL_SAFE_NO_PAD.decode(token) {
            Ok(bytes) => bytes,
            Err(DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _)) => {
                return invalid(format!(": illegal base64 data at input byte {at}"));
            }
            Err(_) => {
                return invalid(format!(": illegal base64 data at input byte {}", token.len()));
            }
        };
        let token: Self = match serde_json::from_slice(&bytes) {
            Ok(token) => token,
            Err(why) => return invalid(format!(": {}", not_json(&bytes, &why))),
        };
        let climbs = token.start.split('/').any(|part| part == ".." || part == ".")
            || token.start.contains("//");
        if token.v != VERSION {
            return invalid(format!(
                ": server does not recognize this encoded version {}",
                token.v
            ));
        }
        if token.rv == 0 {
            let why = "incorrect encoded start resourceVersion";
            return invalid(format!(": {why} (version {VERSION})"));
        }
        if token.start.is_empty() {
            return invalid(format!(": encoded start key empty (version {VERSION})"));
        }
        if climbs {
            return invalid(format!(": {}", token.start));
        }
        Ok(token)
    }
}

/// Go's error for bytes that do not begin a JSON value.
fn not_json(bytes: &[u8], why: &serde_json::Error) -> String {
    match bytes.iter().find(|b| !b.is_ascii_whitespace()) {
        None => "unexpected end of JSON input".into(),
        Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => why.to_string(),
        Some(&other) => {
            let shown = match char::from(other) {
                '\'' => r"'\''".into(),
                c => format!("'{}'", quote(&c.to_string()).trim_matches('"')),
            };
            format!("invalid character {shown} looking for beginning of value")
        }
    }
}

/// How long a request waits for a version in the future (upstream: 3 s).
const PATIENCE: Duration = Duration::from_secs(3);

/// Waits until reads are at least as new as the version that the client has seen.
pub(super) async fn wait_for(call: &Call<'_>, wanted: u64) -> Result<(), Status> {
    let cache = &call.server.cache;
    if tokio::time::timeout(PATIENCE, cache.wait_for(wanted)).await.is_ok() {
        return Ok(());
    }
    let now = cache.revision();
    let mut status =
        Status::timeout(format!("Too large resource version: {wanted}, current: {now}"), 1);
    if let Some(details) = &mut status.details {
        details.causes.push(apimachinery::status::Cause {
            reason: "ResourceVersionTooLarge".into(),
            message: "Too large resource version".into(),
            ..Default::default()
        });
    }
    Err(status)
}

/// The error for an expired version in `token`; a new token continues at the present.
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
async fn start(
    call: &Call<'_>,
    options: &ListOptions<'_>,
    filter: &Filter,
) -> Result<(Arc<Snapshot>, u64, String), Status> {
    let collection = call.server.collection(&call.kind)?;
    if let Some(token) = options.token {
        let token = Continue::decode(token)?;
        if options.version.is_some_and(|v| v != "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let current = call.server.cache.revision();
        let start = token.path(filter.namespace());
        if token.rv < 0 {
            return Ok((filter.present(call)?.0, current, start));
        }
        let revision = token.rv as u64;
        wait_for(call, revision).await?;
        return match call.server.cache.snapshot_at(&collection, revision) {
            Ok(snapshot) => Ok((snapshot, revision, start)),
            Err(Expired) => Err(expired(token)),
        };
    }
    let wanted = match options.version.map(parse_version).transpose() {
        Ok(wanted) => wanted.unwrap_or(0),
        Err(why) => return Err(Status::bad_request(format!("invalid resource version: {why}"))),
    };
    wait_for(call, wanted).await?;
    // A page of a given version shows exactly that version (upstream's legacy rule).
    if wanted > 0 && (options.exact || (!options.matching && options.limit > 0)) {
        let snapshot = call.server.cache.snapshot_at(&collection, wanted).map_err(|_| {
            Status::expired(format!(
                "The resourceVersion for the provided list is too old: {wanted}"
            ))
        })?;
        return Ok((snapshot, wanted, String::new()));
    }
    let (snapshot, revision) = filter.present(call)?;
    Ok((snapshot, revision, String::new()))
}

/// The contents of a list.
pub(super) struct Chosen {
    pub(super) entries: Vec<Arc<Entry>>,
    metadata: Value,
}

/// The objects from a path on that a filter decides about: as the kind shows them, if it selects by
/// fields that only a webhook knows.
pub(super) async fn candidates<'s>(
    call: &Call<'_>,
    filter: &Filter,
    snapshot: &'s Snapshot,
    from: &str,
) -> Result<impl Iterator<Item = Arc<Entry>> + use<'s>, Status> {
    let mut converted = Vec::new();
    let mut stored = None;
    let mut one = None;
    if call.kind.is_converted() && filter.reads_fields() {
        converted.extend(snapshot.range(filter.namespace(), from).cloned());
        crate::conversion::entries(call.server, &call.kind, &mut converted).await?;
    } else if let Some(path) = &filter.only {
        one = snapshot.entries.get(path.as_str()).filter(|_| path.as_str() >= from).cloned();
    } else {
        stored = Some(snapshot.candidates(filter.namespace(), from, &filter.demands));
    }
    Ok(stored.into_iter().flatten().cloned().chain(one).chain(converted))
}

/// Selects the objects that the request lists.
pub(super) async fn choose(call: &Call<'_>) -> Result<Chosen, Status> {
    let options = ListOptions::read(call)?;
    let filter = Filter::parse(call)?;
    let (snapshot, revision, from) = start(call, &options, &filter).await?;
    // A list of any version is not paged (upstream's watch cache does not page it).
    let limit = if options.version == Some("0") { 0 } else { options.limit };
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut last = None;
    let candidates = candidates(call, &filter, &snapshot, &from).await?;
    let mut matching = candidates.filter(|e| filter.is_open() || filter.matches(e));
    for entry in matching.by_ref() {
        entries.push(entry);
        if entries.len() == limit {
            last = entries.last().map(|entry| entry.path().clone());
            break;
        }
    }
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    let rest = matching.count();
    crate::conversion::entries(call.server, &call.kind, &mut entries).await?;
    if let Some(last) = last.filter(|_| rest > 0) {
        let token = Continue::after(revision, filter.namespace(), &last);
        metadata["continue"] = token.encode().into();
        // With a selector upstream does not count the remaining items.
        if filter.is_open() {
            metadata["remainingItemCount"] = rest.into();
        }
    }
    Ok(Chosen { entries, metadata })
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let chosen = choose(call).await?;
    respond(call, chosen)
}

/// Items of a list inherit their type from the list.
fn without_type(mut object: Object) -> Object {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

/// The list in the requested form. Parts that may be large are generated while they are sent.
pub(super) fn respond(call: &Call<'_>, chosen: Chosen) -> Result<Response<Body>, Status> {
    let kind = &call.kind;
    let Chosen { entries, metadata } = chosen;
    let Accepted { encoding, form, .. } = call.accepted;
    let version = call.accepted.meta_version();
    let body = match (form, encoding) {
        (Form::Object, Encoding::Protobuf) => {
            let list = format!("{}List", kind.kind);
            let list_type = Registry::builtin()
                .lookup(kind.group, kind.version, &list)
                .ok_or_else(|| Status::internal(format!("no schema for {list}")))?;
            let items = entries
                .iter()
                .map(|e| encode::raw_protobuf(kind, e))
                .collect::<Result<Vec<Bytes>, _>>()?;
            protobuf_list(list_type, &kind.api_version(), &list, &metadata, items)?
        }
        (Form::Object, Encoding::Json) if kind.conversion.is_none() => {
            json_list(kind.clone(), entries, &metadata)
        }
        (Form::Object, _) => {
            let list = json!({
                "kind": kind.list_kind(), "apiVersion": kind.api_version(),
                "metadata": metadata, "items": [],
            });
            let kind = kind.clone();
            made_list(encoding, list, entries, move |entry| match kind.custom {
                Some(_) => view(&kind, entry),
                None => without_type(view(&kind, entry)),
            })?
        }
        (Form::Partial, _) => {
            let form = "PartialObjectMetadata";
            return Err(encode::wrong_form(form, "a list", kind, "List"));
        }
        (Form::PartialList, Encoding::Protobuf) => {
            let of = |kind: &str| {
                let ty = Registry::builtin().lookup("meta.k8s.io", "v1", kind);
                ty.ok_or_else(|| Status::internal(format!("no schema for {kind}")))
            };
            let (item, list) = ("PartialObjectMetadata", "PartialObjectMetadataList");
            let (item_type, list_type) = (of(item)?, of(list)?);
            // Encoded one by one: as values they would all be in memory at once.
            let encode = |entry: &Arc<Entry>| {
                let partial = encode::partial(&entry.object(), version);
                Bytes::from(protobuf::encode_raw(item_type, &partial))
            };
            let items = entries.iter().map(encode).collect();
            protobuf_list(list_type, version, list, &metadata, items)?
        }
        (Form::PartialList, _) => {
            let list = json!({
                "kind": "PartialObjectMetadataList", "apiVersion": version,
                "metadata": metadata, "items": [],
            });
            let item = |entry: &Entry| encode::partial(&entry.object(), version);
            made_list(encoding, list, entries, item)?
        }
        (Form::Table, _) => {
            let include = Include::parse(call.query.get("includeObject"))?;
            let mut entries = entries;
            if let Some(key) = kind.rows_by {
                entries.sort_by_cached_key(|entry| key(&entry.object()));
            }
            let table = encode::table(kind, Vec::new(), metadata, true, version);
            let kind = kind.clone();
            let row =
                move |entry: &Entry| encode::row(&kind, &view(&kind, entry), include, version);
            made_list(encoding, table, entries, row)?
        }
    };
    Ok(encode::respond(StatusCode::OK, encoding.media_type(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continue_tokens_round_trip_and_forgeries_are_refused() {
        let token = Continue::after(7, "ns", "ns/a").encode();
        let read = Continue::decode(&token).unwrap();
        assert_eq!((read.rv, read.start.as_str()), (7, "/a\0"));
        assert_eq!(read.path("ns"), "ns/a\0");
        let read = Continue::after(7, "", "ns/a");
        assert_eq!((read.path("").as_str(), read.start.as_str()), ("ns/a\0", "/ns/a\0"));
        let said = Continue::decode("bad").err().map(|s| s.message).unwrap();
        assert!(said.ends_with(": invalid character 'm' looking for beginning of value"), "{said}");
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

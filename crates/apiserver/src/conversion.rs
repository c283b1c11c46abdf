//! Conversion of custom resources by a webhook (`spec.conversion.strategy: Webhook`).
//!
//! Objects are stored in one version. Requests for another have them converted before anything
//! else looks at them, many in one call; what is converted once is remembered for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::cache::Entry;
use crate::registry::{Custom, Kind};
use crate::server::Server;
use crate::webhook::{self, CallError, Target};

/// Time for a call (upstream's client has none; a request has a minute).
const TIME: Duration = Duration::from_secs(30);
/// Bytes of converted objects that are remembered for each kind.
const REMEMBER: usize = 4 << 20;
/// Metadata that a webhook may change.
const CHANGEABLE: [&str; 2] = ["labels", "annotations"];

/// The webhook of a definition.
pub(crate) struct Converter {
    target: Result<Target, CallError>,
    /// The version of ConversionReview that it gets.
    review: Option<&'static str>,
    known: Mutex<Remembered>,
}

/// Converted entries by path; those of older revisions are replaced.
#[derive(Default)]
struct Remembered {
    entries: HashMap<Arc<str>, Arc<Entry>>,
    bytes: usize,
}

impl Converter {
    /// Reads a definition's `spec.conversion`; `None` where no webhook converts.
    pub(crate) fn read(conversion: &Value) -> Option<Self> {
        if conversion["strategy"] != "Webhook" {
            return None;
        }
        let config = &conversion["webhook"];
        Some(Self {
            target: Target::read(&config["clientConfig"]),
            review: webhook::review_version(&config["conversionReviewVersions"]),
            known: Mutex::default(),
        })
    }

    fn remembered(&self, entry: &Entry) -> Option<Arc<Entry>> {
        let known = self.known.lock();
        known.entries.get(entry.path()).filter(|own| own.revision == entry.revision).cloned()
    }

    fn remember(&self, entry: &Arc<Entry>) {
        let mut known = self.known.lock();
        if known.bytes > REMEMBER {
            *known = Remembered::default();
        }
        known.bytes += entry.bytes.len();
        if let Some(old) = known.entries.insert(entry.path().clone(), entry.clone()) {
            known.bytes -= old.bytes.len();
        }
    }

    /// Converts objects of one version to another.
    async fn convert(
        &self,
        server: &Server,
        objects: Vec<Object>,
        wanted: &str,
    ) -> Result<Vec<Object>, Status> {
        let Some(first) = objects.first() else { return Ok(objects) };
        let of = shown(first);
        let failed = |why: String| {
            Status::generic(500, "", format!("conversion webhook for {of} failed: {why}"))
        };
        let review = self.review;
        let review =
            review.ok_or_else(|| failed("no supported conversion review versions".into()))?;
        let target = self.target.as_ref().map_err(|why| failed(why.to_string()))?;
        let uid = uuid::Uuid::new_v4().to_string();
        let question = json!({
            "kind": "ConversionReview", "apiVersion": format!("apiextensions.k8s.io/{review}"),
            "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
        });
        let body = serde_json::to_vec(&question).map_err(Status::internal)?;
        let answer = webhook::post(server, target, Bytes::from(body), TIME).await;
        let answer = answer.map_err(|why| failed(why.to_string()))?;
        let answer: Value =
            serde_json::from_slice(&answer).map_err(|why| failed(why.to_string()))?;
        let converted = verify(answer, review, &uid).map_err(|why| failed(why.to_string()))?;
        if converted.len() != objects.len() {
            return Err(Status::generic(
                500,
                "",
                format!(
                    "conversion webhook for {of} returned {} objects, expected {}",
                    converted.len(),
                    objects.len()
                ),
            ));
        }
        let pairs = objects.into_iter().zip(converted);
        pairs.map(|(was, is)| accept(&was, is, wanted)).collect()
    }
}

/// Group, version and kind as Go prints them.
fn shown(object: &Object) -> String {
    format!("{}, Kind={}", object.api_version(), object.kind())
}

/// The reason why an answer has no converted objects.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Malformed(String);

/// The converted objects of a review.
fn verify(mut review: Value, version: &str, uid: &str) -> Result<Vec<Object>, Malformed> {
    if version == "v1" {
        let of = (review.api_version(), review.kind());
        if of != ("apiextensions.k8s.io/v1", "ConversionReview") {
            return Err(Malformed(format!(
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}",
                shown(&review)
            )));
        }
    }
    let Some(response) = review.get_mut("response").filter(|r| r.is_object()) else {
        return Err(Malformed("no response provided".to_owned()));
    };
    let given = response.str_at(&["uid"]);
    if version == "v1" && given != uid {
        let why = format!("expected response.uid={}, got {}", quote(uid), quote(given));
        return Err(Malformed(why));
    }
    let status = response.str_at(&["result", "status"]);
    if status != "Success" {
        return Err(Malformed(match response.str_at(&["result", "message"]) {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        }));
    }
    match response["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// A converted object, if it is the same one: its metadata is the original's but for what a
/// webhook may change.
fn accept(was: &Object, mut is: Object, wanted: &str) -> Result<Object, Status> {
    let invalid = |why: String| {
        let of = shown(was);
        let text = format!("conversion webhook for {of} returned invalid object: {why}");
        Err(Status::generic(500, "", text))
    };
    if is.api_version() != wanted {
        let got = is.api_version();
        return invalid(format!("invalid groupVersion (expected {wanted}, received {got})"));
    }
    for (what, e, a) in [
        ("kind", was.kind(), is.kind()),
        ("name", was.name(), is.name()),
        ("namespace", was.namespace(), is.namespace()),
        ("UID", was.uid(), is.uid()),
    ] {
        if e != a {
            return invalid(format!("must have the same {what}: {e} != {a}"));
        }
    }
    let mut metadata = was["metadata"].clone();
    for field in CHANGEABLE {
        match is["metadata"].get(field) {
            Some(Value::Object(texts)) if texts.values().all(Value::is_string) => {
                metadata[field] = is["metadata"][field].clone();
            }
            None | Some(Value::Null) => {
                metadata.as_object_mut().map(|metadata| metadata.remove(field));
            }
            Some(_) => return invalid(format!("invalid metadata.{field}")),
        }
    }
    is["metadata"] = metadata;
    Ok(is)
}

/// Replaces entries that are stored in another version than the kind's by converted ones.
///
/// # Errors
/// The webhook fails.
pub(crate) async fn entries(
    server: &Server,
    kind: &Kind,
    entries: &mut [Arc<Entry>],
) -> Result<(), Status> {
    let Some((custom, converter)) = converter(kind) else { return Ok(()) };
    let mut at = Vec::new();
    let mut objects = Vec::new();
    for (i, entry) in
        entries.iter_mut().enumerate().filter(|(_, e)| !custom.is_of_version(&e.bytes))
    {
        match converter.remembered(entry) {
            Some(known) => *entry = known,
            None => {
                at.push(i);
                objects.push(entry.object());
            }
        }
    }
    let converted = converter.convert(server, objects, custom.api_version()).await?;
    for (i, object) in at.into_iter().zip(converted) {
        let entry = entries[i].converted(&object).map_err(Status::internal)?;
        entries[i] = Arc::new(entry);
        converter.remember(&entries[i]);
    }
    Ok(())
}

/// The object in the version that it is stored in, if a webhook has to convert it.
///
/// # Errors
/// The webhook fails.
pub(crate) async fn stored(
    server: &Server,
    kind: &Kind,
    object: &Object,
) -> Result<Option<Object>, Status> {
    to_version(server, kind, object, Custom::stored_api_version).await
}

/// The object in the kind's version, if a webhook has to convert it.
///
/// # Errors
/// The webhook fails.
pub(crate) async fn into(
    server: &Server,
    kind: &Kind,
    object: &Object,
) -> Result<Option<Object>, Status> {
    to_version(server, kind, object, Custom::api_version).await
}

async fn to_version(
    server: &Server,
    kind: &Kind,
    object: &Object,
    version: fn(&Custom) -> &str,
) -> Result<Option<Object>, Status> {
    let Some((custom, converter)) = converter(kind) else { return Ok(None) };
    let wanted = version(custom);
    if object.api_version() == wanted {
        return Ok(None);
    }
    let converted = converter.convert(server, vec![object.clone()], wanted).await?;
    Ok(converted.into_iter().next())
}

fn converter(kind: &Kind) -> Option<(&Custom, &Converter)> {
    let custom = kind.custom.as_deref()?;
    Some((custom, custom.converter.as_ref()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_changes_neither_identity_nor_the_servers_metadata() {
        let was = json!({
            "apiVersion": "e.com/v1", "kind": "K",
            "metadata": {"name": "a", "uid": "u", "generation": 3, "labels": {"l": "1"}},
        });
        let mut is = was.clone();
        is["apiVersion"] = "e.com/v2".into();
        is["metadata"] =
            json!({"name": "a", "uid": "u", "generation": 9, "annotations": {"x": "y"}});
        let accepted = accept(&was, is.clone(), "e.com/v2").unwrap();
        let want = json!({"name": "a", "uid": "u", "generation": 3, "annotations": {"x": "y"}});
        assert_eq!(accepted["metadata"], want);
        for (path, value) in [
            (&["kind"][..], json!("Other")),
            (&["apiVersion"], json!("e.com/v3")),
            (&["metadata", "name"], json!("b")),
            (&["metadata", "uid"], json!("v")),
            (&["metadata", "labels"], json!({"l": 1})),
            (&["metadata", "labels"], json!("l")),
        ] {
            let mut bad = is.clone();
            bad.set_path(path, value);
            assert!(accept(&was, bad, "e.com/v2").is_err(), "{path:?}");
        }
    }
}

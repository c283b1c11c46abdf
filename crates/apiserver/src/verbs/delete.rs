//! DELETE: at once, gracefully, or after the finalizers.

use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Expect;

use super::Call;
use super::commit::Failure;
use super::list::Filter;
use crate::admission::{self, Operation};
use crate::body::{self, Body};
use crate::decode::{self, Expected};
use crate::encode::{self, view};

const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Kinds whose deletion answers with the object instead of a Status (upstream's
/// `ReturnDeletedObject`).
const RETURNS_OBJECT: &[&str] = &[
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourcequotas",
    "serviceaccounts",
    "services",
];

/// The client's wishes, from body or query.
#[derive(Default)]
struct Options {
    grace: Option<i64>,
    uid: Option<String>,
    revision: Option<String>,
    propagation: Option<String>,
    orphan: Option<bool>,
}

impl Options {
    async fn read(call: &Call<'_>, body: Body) -> Result<Self, Status> {
        let bytes = body::read(body).await?;
        let value = if bytes.is_empty() {
            json!({})
        } else {
            let expected = Expected { group: "", version: "v1", kind: "DeleteOptions" };
            decode_options(call, &bytes, expected)?
        };
        let query = &call.query;
        let number = |name: &str| -> Result<Option<i64>, Status> {
            query
                .text(name)
                .map(|t| {
                    t.parse()
                        .map_err(|_| Status::bad_request(format!("{name}: must be an integer")))
                })
                .transpose()
        };
        let text = |path: &[&str]| {
            let text = value.str_at(path);
            (!text.is_empty()).then(|| text.to_owned())
        };
        let options = Self {
            grace: value["gracePeriodSeconds"].as_i64().or(number("gracePeriodSeconds")?),
            uid: text(&["preconditions", "uid"]),
            revision: text(&["preconditions", "resourceVersion"]),
            propagation: text(&["propagationPolicy"])
                .or_else(|| query.text("propagationPolicy").map(str::to_owned)),
            orphan: value["orphanDependents"]
                .as_bool()
                .or_else(|| query.text("orphanDependents").map(|v| v == "true")),
        };
        options.check()?;
        if value["dryRun"].as_array().is_some_and(|d| d.iter().any(|v| v == "All")) {
            return Err(Status::bad_request(
                "dryRun in the body must also be given as a query parameter",
            ));
        }
        Ok(options)
    }

    fn check(&self) -> Result<(), Status> {
        use apimachinery::field::{ErrorList, FieldError, Path};
        let invalid = |error| Err(Status::invalid("", "DeleteOptions", "", ErrorList(vec![error])));
        if self.propagation.is_some() && self.orphan.is_some() {
            return invalid(FieldError::invalid(
                &Path::new("propagationPolicy"),
                self.propagation.clone().unwrap_or_default(),
                "orphanDependents and deletionPropagation cannot be both set",
            ));
        }
        const POLICIES: &[&str] = &["Background", "Foreground", "Orphan"];
        match &self.propagation {
            Some(policy) if !POLICIES.contains(&policy.as_str()) => {
                invalid(FieldError::not_supported(
                    &Path::new("propagationPolicy"),
                    policy.as_str(),
                    POLICIES,
                ))
            }
            _ => Ok(()),
        }
    }

    /// The finalizer this deletion asks the garbage collector to honour.
    fn finalizer(&self) -> Option<&'static str> {
        match (self.propagation.as_deref(), self.orphan) {
            (Some("Orphan"), _) | (None, Some(true)) => Some(ORPHAN),
            (Some("Foreground"), _) => Some(FOREGROUND),
            _ => None,
        }
    }
}

/// DeleteOptions travel as JSON, YAML or protobuf, under `v1` or the resource's own version.
fn decode_options(call: &Call<'_>, bytes: &[u8], expected: Expected<'_>) -> Result<Value, Status> {
    use crate::negotiate::Encoding;
    let (mut value, duplicates) = match call.content()? {
        Encoding::Json => apimachinery::codec::json::decode(bytes)?,
        Encoding::Yaml => apimachinery::codec::yaml::decode(bytes)?,
        Encoding::Protobuf => (apimachinery::codec::protobuf::decode(bytes)?, Vec::new()),
    };
    if !value.is_object() || !matches!(value.kind(), "" | "DeleteOptions") {
        return Err(Status::bad_request("expected DeleteOptions"));
    }
    let mode = apimachinery::validate::FieldValidation::Ignore;
    decode::check_fields(&mut value, expected, mode, &duplicates)?;
    // kubectl sends dryRun in both places; the query is what counts.
    if !call.dry_run()? {
        return Ok(value);
    }
    if let Some(map) = value.as_object_mut() {
        map.remove("dryRun");
    }
    Ok(value)
}

/// Whether nothing stands between the object and its removal any more.
pub(super) fn is_finished(object: &Object) -> bool {
    let grace =
        object.get_path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    object.deletion_timestamp().is_some()
        && grace.unwrap_or(0) == 0
        && object.finalizers().next().is_none()
        && object
            .get_path(&["spec", "finalizers"])
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
}

/// What came of a deletion.
enum Outcome {
    Gone(Object),
    Pending(Object),
}

pub(super) async fn delete(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let options = Options::read(call, body).await?;
    match delete_one(call, &call.info.namespace, &call.info.name, &options).await? {
        Outcome::Gone(object) if RETURNS_OBJECT.contains(&call.kind.resource) => {
            call.answer(StatusCode::OK, &object)
        }
        Outcome::Gone(object) => {
            let mut status = Status { code: 0, ..Status::success() };
            status.details = Some(Box::new(apimachinery::status::Details {
                name: object.name().to_owned(),
                group: call.kind.group.to_owned(),
                kind: call.kind.resource.to_owned(),
                uid: object.uid().to_owned(),
                ..Default::default()
            }));
            encode::value(StatusCode::OK, &status.to_value(), call.accepted.encoding)
        }
        Outcome::Pending(object) => {
            let code =
                if options.orphan == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
            call.answer(code, &object)
        }
    }
}

async fn delete_one(
    call: &Call<'_>,
    namespace: &str,
    name: &str,
    options: &Options,
) -> Result<Outcome, Status> {
    let kind = call.kind;
    let dry_run = call.dry_run()?;
    loop {
        let entry = call
            .server
            .entry(kind, namespace, name)
            .ok_or_else(|| Status::not_found(kind.group, kind.resource, name))?;
        let old = view(kind, &entry);
        check_preconditions(call, &old, options)?;
        admission::validate(call, Operation::Delete, None, Some(&old)).await?;
        let object = mark(call, &old, options);
        let outcome = if is_finished(&object) {
            if dry_run {
                return Ok(Outcome::Gone(old));
            }
            call.server.remove(kind, namespace, name, entry.revision).await.map(|revision| {
                kind.strategy.after_delete(&call.context(), &old);
                let mut last = old;
                last.set_meta("resourceVersion", revision.to_string().into());
                Outcome::Gone(last)
            })
        } else if dry_run || object == old {
            return Ok(Outcome::Pending(object));
        } else {
            let mut object = object;
            let expect = Expect::At(entry.revision);
            call.server.commit(kind, &mut object, expect).await.map(|()| Outcome::Pending(object))
        };
        match outcome {
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Refused(status)) => return Err(status),
            // The preconditions are checked again against what is there now.
            Err(Failure::Conflict) => {}
        }
    }
}

fn check_preconditions(call: &Call<'_>, old: &Object, options: &Options) -> Result<(), Status> {
    let failed = |what: &str, wanted: &str, is: &str| {
        Err(Status::conflict(
            call.kind.group,
            call.kind.resource,
            old.name(),
            format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}"
            ),
        ))
    };
    match (&options.uid, &options.revision) {
        (Some(uid), _) if uid != old.uid() => failed("UID", uid, old.uid()),
        (_, Some(revision)) if revision != old.resource_version() => {
            failed("ResourceVersion", revision, old.resource_version())
        }
        _ => Ok(()),
    }
}

/// The object with its deletion under way.
fn mark(call: &Call<'_>, old: &Object, options: &Options) -> Object {
    let mut object = old.clone();
    let mut finalizers: Vec<String> = old.finalizers().map(str::to_owned).collect();
    // Only the first deletion chooses; without a choice an existing one stands.
    if let Some(wanted) = options.finalizer() {
        finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
        finalizers.push(wanted.to_owned());
    } else if options.propagation.is_some() || options.orphan.is_some() {
        finalizers.retain(|f| f != ORPHAN && f != FOREGROUND);
    }
    let list = if finalizers.is_empty() { Value::Null } else { json!(finalizers) };
    object.set_meta("finalizers", list);

    let grace = call.kind.strategy.grace_period(old, options.grace).unwrap_or(0);
    let current = old.get_path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    if old.deletion_timestamp().is_some() {
        // A running deletion can only be shortened.
        if let Some(current) = current
            && grace < current
        {
            let begun = time::parse(old.deletion_timestamp().unwrap_or_default())
                .unwrap_or(Timestamp::now());
            let at = begun - SignedDuration::from_secs(current) + SignedDuration::from_secs(grace);
            object.set_meta("deletionTimestamp", time::rfc3339(at).into());
            object.set_meta("deletionGracePeriodSeconds", grace.into());
        }
    } else {
        let at = Timestamp::now() + SignedDuration::from_secs(grace);
        object.set_meta("deletionTimestamp", time::rfc3339(at).into());
        object.set_meta("deletionGracePeriodSeconds", grace.into());
        if call.kind.generation && !is_finished(&object) {
            object.set_meta("generation", (old.generation() + 1).into());
        }
        if call.kind.resource == "namespaces" {
            object.set_path(&["status", "phase"], "Terminating".into());
        }
    }
    object
}

pub(super) async fn delete_collection(
    call: &Call<'_>,
    body: Body,
) -> Result<Response<Body>, Status> {
    let options = Options::read(call, body).await?;
    let filter = Filter::parse(call)?;
    let (snapshot, revision) = call.server.present(call.kind)?;
    let chosen: Vec<_> =
        snapshot.range(filter.namespace(), "").filter(|e| filter.matches(e)).cloned().collect();
    let mut items = Vec::with_capacity(chosen.len());
    for entry in chosen {
        match delete_one(call, entry.namespace(), entry.name(), &options).await {
            Ok(Outcome::Gone(object) | Outcome::Pending(object)) => items.push(object),
            Err(status) if status.is("NotFound") => {}
            Err(status) => return Err(status),
        }
    }
    let list = json!({
        "apiVersion": call.kind.api_version(), "kind": format!("{}List", call.kind.kind),
        "metadata": {"resourceVersion": revision.to_string()}, "items": items,
    });
    encode::value(StatusCode::OK, &list, call.accepted.encoding)
}

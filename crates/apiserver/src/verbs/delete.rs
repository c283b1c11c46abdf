//! DELETE: immediate, graceful, or after finalization.

mod options;

use std::sync::Arc;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::Expect;

use super::commit::Failure;
use super::options::invalid;
use super::{Call, FOREGROUND, ORPHAN, unreadable};
use crate::admission;
use crate::body::Body;
use crate::encode::{self, view};
use crate::registry::{DefaultPolicy, Kind, KindRef};
use crate::server::Server;

pub(super) use options::{Options, check as check_options};

/// Returns true if the object can be removed now.
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

/// The outcome of a deletion.
pub(super) enum Outcome {
    Gone(Object),
    Pending(Object),
}

pub(super) async fn delete(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let options = Options::read(call, body).await?;
    if options.ignore_read_error {
        return unreadable::delete(call, &options).await;
    }
    unreadable::refuse(call)?;
    warn(call, &options);
    match delete_one(call, &call.info.namespace, &call.info.name, &options).await? {
        Outcome::Gone(object) if !call.kind.returns_deleted() => {
            // Upstream leaves the code to the HTTP status.
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
        Outcome::Gone(object) => call.answer(StatusCode::OK, &object),
        Outcome::Pending(object) => {
            let code =
                if options.orphan == Some(false) { StatusCode::ACCEPTED } else { StatusCode::OK };
            call.answer(code, &object)
        }
    }
}

/// Warns clients without a policy that the kind's default is unusual.
fn warn(call: &Call<'_>, options: &Options) {
    if call.kind.kind == "Job"
        && call.kind.default_policy() == DefaultPolicy::Orphan
        && !options.has_policy()
    {
        call.warn(["child pods are preserved by default when jobs are deleted; set \
             propagationPolicy=Background to remove them or set propagationPolicy=Orphan to \
             suppress this warning"
            .to_owned()]);
    }
}

/// Deletes one object of the call's kind.
pub(super) async fn delete_one(
    call: &Call<'_>,
    namespace: &str,
    name: &str,
    options: &Options,
) -> Result<Outcome, Status> {
    let kind = &*call.kind;
    let strategy = kind.policy();
    if let Some(why) = strategy.forbids_deletion(name) {
        return Err(Status::forbidden(kind.group, kind.resource, name, why));
    }
    loop {
        let entry = call
            .entry(namespace, name)
            .await?
            .ok_or_else(|| Status::not_found(kind.group, kind.resource, name))?;
        let old = view(kind, &entry);
        check_preconditions(call, &old, options)?;
        admission::delete(call, &old, options.dry_run).await?;
        let step = next_step(call, &old, options);
        let outcome = match step {
            Step::Nothing => return Ok(Outcome::Pending(old)),
            Step::Mark(object) if options.dry_run => return Ok(Outcome::Pending(object)),
            Step::Remove(object) if options.dry_run => return Ok(Outcome::Gone(object)),
            Step::Mark(mut object) => {
                let expect = Expect::At(entry.revision);
                let committed = call.server.commit(kind, &mut object, expect).await;
                committed.map(|()| Outcome::Pending(object))
            }
            Step::Remove(mut last) => {
                call.server.remove(kind, namespace, name, entry.revision).await.map(|revision| {
                    strategy.after_delete(&call.context(), &old);
                    last.set_meta("resourceVersion", revision.to_string().into());
                    Outcome::Gone(last)
                })
            }
        };
        match outcome {
            Ok(outcome) => return Ok(outcome),
            Err(Failure::Refused(status)) => return Err(status),
            // The preconditions are checked again against the new state.
            Err(Failure::Conflict) => {}
        }
    }
}

/// Upstream's messages name the kind; others name the resource.
pub(super) fn check_preconditions(
    call: &Call<'_>,
    old: &Object,
    options: &Options,
) -> Result<(), Status> {
    let kind = &*call.kind;
    // Checked before the others, with other messages.
    let early = matches!(
        (kind.group, kind.kind),
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    );
    let failed = |what: &str, wanted: &str, is: &str, why: &str| {
        if early {
            let first = if kind.kind == "Namespace" { "Precondition" } else { "precondition" };
            let why = format!(
                "{first} failed: {what} in precondition: {wanted}, {what} in object meta: {is}"
            );
            return Err(Status::conflict(kind.group, kind.resource, old.name(), why));
        }
        Err(Status::conflict(
            kind.stored_group(),
            kind.kind,
            old.name(),
            format!(
                "the {what} in the precondition ({wanted}) does not match the {what} in record \
                 ({is}). The object might have been {why}"
            ),
        ))
    };
    match (&options.uid, &options.revision) {
        (Some(uid), _) if uid != old.uid() => {
            failed("UID", uid, old.uid(), "deleted and then recreated")
        }
        (_, Some(revision)) if revision != old.resource_version() => {
            failed("ResourceVersion", revision, old.resource_version(), "modified")
        }
        _ => Ok(()),
    }
}

/// The effect of a deletion on the current object.
enum Step {
    /// Its deletion is already in progress.
    Nothing,
    /// Its deletion begins or changes its deadline; contains the marked object.
    Mark(Object),
    /// It is removed; contains the object to return.
    Remove(Object),
}

fn next_step(call: &Call<'_>, old: &Object, options: &Options) -> Step {
    let kind = &*call.kind;
    let asked = options.grace.map(|grace| if grace < 0 { 1 } else { grace });
    let deleting = old.deletion_timestamp().is_some();
    let current = old.get_path(&["metadata", "deletionGracePeriodSeconds"]).and_then(Value::as_i64);
    let held = old["spec"]["finalizers"].as_array().is_some_and(|f| !f.is_empty());
    let mut object = old.clone();
    let mut graceful = false;
    match (deleting, current.unwrap_or(0)) {
        // Only the kind's controller ends this deletion.
        (true, _) if held => return Step::Nothing,
        (true, 0) => {}
        // A running deletion can only be shortened.
        (true, left) => match asked.filter(|asked| *asked < left) {
            None => return Step::Nothing,
            Some(asked) => {
                shorten(&mut object, left, asked);
                graceful = true;
            }
        },
        (false, _) => {
            if let Some(grace) = kind.policy().grace_period(old, asked) {
                begin(&mut object, Some(grace));
                graceful = true;
            }
        }
    }
    if let Some(own) = kind.policy().deletion_finalizer().filter(|_| !deleting) {
        return Step::Mark(begin_cleanup(kind, object, own));
    }
    let wanted = options.finalizer(old.finalizers(), kind.default_policy());
    let mut finalizers: Vec<&str> = old.finalizers().collect();
    finalizers.retain(|f| *f != ORPHAN && *f != FOREGROUND);
    finalizers.extend(wanted);
    let finished = finalizers.is_empty() && !held;
    let list = if finalizers.is_empty() { Value::Null } else { json!(finalizers) };
    object.set_meta("finalizers", list);
    if graceful {
        let left = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
        return match left {
            Some(0) if finished => Step::Remove(object),
            _ => Step::Mark(object),
        };
    }
    if finished {
        return Step::Remove(old.clone());
    }
    if !deleting {
        begin(&mut object, (!held).then_some(0));
        kind.policy().begin_deletion(&mut object);
    } else if current.is_none() {
        object.set_meta("deletionGracePeriodSeconds", 0.into());
    }
    if object == *old { Step::Nothing } else { Step::Mark(object) }
}

/// Marks an object that its controller cleans up after, whatever the client wants to happen to
/// dependents. Its generation stays: upstream writes the mark past the rules of deletions.
fn begin_cleanup(kind: &Kind, mut object: Object, finalizer: &str) -> Object {
    object.set_meta("deletionTimestamp", time::rfc3339(Timestamp::now()).into());
    let mut finalizers: Vec<&str> = object.finalizers().collect();
    if !finalizers.contains(&finalizer) {
        finalizers.push(finalizer);
    }
    let finalizers = json!(finalizers);
    object.set_meta("finalizers", finalizers);
    kind.policy().begin_deletion(&mut object);
    object
}

/// Marks the object as terminating in `grace` seconds, or until its controller is done.
fn begin(object: &mut Object, grace: Option<i64>) {
    let at = time::after(Timestamp::now(), grace.unwrap_or(0));
    object.set_meta("deletionTimestamp", time::rfc3339(at).into());
    object.set_meta("deletionGracePeriodSeconds", grace.map_or(Value::Null, Value::from));
    // A deletion changes the desired state.
    if object.generation() > 0 {
        object.set_meta("generation", (object.generation() + 1).into());
    }
}

/// Moves the end of a running deletion from `left` seconds after its start to `asked`, but not into
/// the past: one second remains for those that wait for the end.
fn shorten(object: &mut Object, left: i64, asked: i64) {
    let now = Timestamp::now();
    let ends = time::parse(object.deletion_timestamp().unwrap_or_default()).unwrap_or(now);
    let ends = time::after(time::after(ends, left.saturating_neg()), asked);
    let (ends, grace) = if ends < now { (now, asked.min(1)) } else { (ends, asked) };
    object.set_meta("deletionTimestamp", time::rfc3339(ends).into());
    object.set_meta("deletionGracePeriodSeconds", grace.into());
}

/// Deletes every object of a kind; those with finalizers remain until these are removed.
pub(crate) async fn delete_all(server: &Arc<Server>, kind: &KindRef) -> Result<(), Status> {
    let (snapshot, _) = server.present(kind)?;
    for entry in snapshot.range("", "") {
        let call = Call::internal(server, kind, "delete", entry);
        match delete_one(&call, entry.namespace(), entry.name(), &Options::default()).await {
            Err(status) if !status.is("NotFound") => return Err(status),
            _ => {}
        }
    }
    Ok(())
}

/// Deletes the objects that a list would contain, and answers with that list.
pub(super) async fn delete_collection(
    call: &Call<'_>,
    body: Body,
) -> Result<Response<Body>, Status> {
    let chosen = super::list::choose(call).await?;
    let options = Options::read(call, body).await?;
    if options.ignore_read_error {
        let why = "is not allowed with DELETECOLLECTION, try again after removing the option";
        let error = FieldError::invalid(&Path::new(options::IGNORE), true, why);
        return Err(invalid("DeleteOptions", ErrorList(vec![error])));
    }
    warn(call, &options);
    for entry in &chosen.entries {
        match delete_one(call, entry.namespace(), entry.name(), &options).await {
            Err(status) if !status.is("NotFound") => return Err(status),
            _ => {}
        }
    }
    super::list::respond(call, chosen)
}

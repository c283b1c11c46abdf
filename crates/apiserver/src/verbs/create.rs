//! POST: a new object.

use apimachinery::apply::{self, Writer};
use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use store::Expect;

use super::commit::Failure;
use super::{Call, meta};
use crate::admission::{self, Operation};
use crate::audit::Audit;
use crate::body::Body;
use crate::registry::{self, Kind, Sub};
use crate::request::{Query, RequestInfo};
use crate::user::{MASTERS, User};

/// Number of attempts to generate a name that is free (upstream: 8).
const NAME_TRIES: usize = 8;

pub(super) async fn create(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let object = call.decode(body, call.expected()).await?;
    let created = create_object(call, object, Ownership::Update).await?;
    call.answer_written(StatusCode::CREATED, &created)
}

/// Ownership of the new object's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ownership {
    /// The manager of this request, by plain update.
    Update,
    /// Recorded already (server-side apply).
    Recorded,
}

/// Runs a decoded object through defaulting, admission, preparation, validation and commit.
pub(super) async fn create_object(
    call: &Call<'_>,
    mut object: Object,
    ownership: Ownership,
) -> Result<Object, Status> {
    // Creating by PUT or by apply requires the right to create, not only the one to change.
    if call.info.verb != "create" {
        call.server.authorize(&call.user, "create", &call.info).await?;
    }
    check_definition(call, &object)?;
    let dry_run = call.dry_run();
    meta::place(&call.kind, &call.info.namespace, &mut object)?;
    let kind = &*call.kind;
    let strategy = kind.policy();
    meta::drop_duplicate_owners(call, &mut object);
    let generated = object.name().is_empty();
    let versioned = object.resource_version().parse::<u64>().is_ok_and(|version| version != 0);
    // Fields that only the server writes have no owner.
    meta::wipe(&mut object);
    kind.write_missing(&mut object);
    strategy.default(&mut object);
    if ownership == Ownership::Update {
        // Before admission: fields set by plugins have no owner.
        record_new(call, &mut object);
    }
    admission::admit(call, Operation::Create, &mut object, None).await?;
    call.stages.passed("admitted");

    let mut tries = 0;
    loop {
        let is_last = !generated || tries + 1 == NAME_TRIES;
        let mut attempt = if is_last { std::mem::take(&mut object) } else { object.clone() };
        meta::fill_new(&mut attempt, kind);
        // Repeated for each generated name, because some defaults contain it.
        strategy.default(&mut attempt);
        registry::drop_disabled(kind, &mut attempt, None);
        let mut errors = strategy.prepare_for_create(&call.context(), &mut attempt);
        kind.write_zeros(&mut attempt);
        let prepared = errors.is_empty();
        if prepared {
            errors = labelled(call, &attempt, None);
            errors.extend(meta::validate_new(kind, &attempt));
            errors.0.extend(strategy.validate(&attempt).0);
            registry::declared(kind, &attempt, None, &mut errors);
        }
        let outcome = finish(call, &mut attempt, errors, versioned).await;
        match outcome {
            Ok(()) => {
                if dry_run {
                    strategy.after_delete(&call.context(), &attempt);
                }
                return Ok(attempt);
            }
            Err(failure) => {
                if prepared {
                    strategy.after_delete(&call.context(), &attempt);
                }
                tries += 1;
                match failure {
                    Failure::Refused(status) => return Err(status),
                    Failure::Conflict if generated && tries < NAME_TRIES => {}
                    Failure::Conflict => return Err(taken(call, &attempt)),
                }
            }
        }
    }
}

/// Creates an object without a namespace that a request needs, as this server itself.
pub(crate) async fn create_needed(
    call: &Call<'_>,
    kind: &'static Kind,
    object: Object,
) -> Result<(), Status> {
    let mut own = call.upon(kind, None);
    own.user = User::new("system:apiserver", &[MASTERS]);
    own.agent = "kube-apiserver".to_owned();
    own.audit = Audit::default();
    own.query = Query::default();
    own.info = RequestInfo {
        is_resource: true,
        verb: "create",
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        resource: kind.resource.to_owned(),
        ..RequestInfo::default()
    };
    create_object(&own, object, Ownership::Update).await.map(drop)
}

/// Refuses an object of a definition that is being deleted, or that is another one by now.
fn check_definition(call: &Call<'_>, object: &Object) -> Result<(), Status> {
    let Some(own) = &call.kind.custom else { return Ok(()) };
    let kinds = call.server.kinds();
    let now = kinds.find(call.kind.group, call.kind.version, call.kind.resource);
    let now = now.and_then(|kind| kind.custom.as_ref()).filter(|now| now.uid == own.uid);
    if now.is_none_or(|now| now.terminating) {
        let why = "create not allowed while custom resource definition is terminating";
        let (group, resource) = (call.kind.group, call.kind.resource);
        return Err(Status::forbidden(group, resource, object.name(), why));
    }
    Ok(())
}

/// The error for a name that is already in use.
fn taken(call: &Call<'_>, object: &Object) -> Status {
    let (kind, name) = (&call.kind, object.name());
    // Upstream takes any object with a `generateName` for one whose name was generated.
    if !object.str_at(&["metadata", "generateName"]).is_empty() {
        return Status::generate_name_conflict(kind.group, kind.resource, name, 1);
    }
    let mut status = Status::already_exists(kind.group, kind.resource, name);
    let other = call.server.entry(kind, object.namespace(), name).map(|entry| entry.object());
    if other.is_some_and(|other| other.deletion_timestamp().is_some()) {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}

async fn finish(
    call: &Call<'_>,
    object: &mut Object,
    errors: ErrorList,
    versioned: bool,
) -> Result<(), Failure> {
    let kind = &*call.kind;
    if !errors.0.is_empty() {
        return Err(Failure::Refused(Status::invalid(
            kind.stored_group(),
            kind.kind,
            object.name(),
            errors,
        )));
    }
    // Also if another rule refuses the object.
    call.warn(kind.policy().warnings(object));
    call.warn(registry::warnings(kind, object, None));
    admission::validate(call, Operation::Create, Some(object), None)
        .await
        .map_err(Failure::Refused)?;
    // Webhooks take their time.
    check_definition(call, object).map_err(Failure::Refused)?;
    kind.leave_out_empty(object);
    if versioned {
        return Err(Failure::Refused(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        )));
    }
    if call.dry_run() {
        return match call.server.entry(kind, object.namespace(), object.name()) {
            Some(_) => Err(Failure::Conflict),
            None => Ok(()),
        };
    }
    call.stages.passed("validated");
    let committed = call.server.commit(kind, object, Expect::Absent).await;
    call.stages.passed("committed");
    committed
}

/// The error about an object that is only permitted in namespaces with a label.
pub(super) fn labelled(call: &Call<'_>, object: &Object, old: Option<&Object>) -> ErrorList {
    let Some(need) = call.kind.policy().needs_label(call.sub, object, old) else {
        return ErrorList::new();
    };
    let namespace = registry::find("", "v1", "namespaces")
        .and_then(|kind| call.server.entry(kind, "", object.namespace()))
        .map(|entry| entry.object());
    let has = |namespace: &Object| namespace.labels().any(|(k, v)| (k, v) == (need.label, "true"));
    if namespace.as_ref().is_some_and(has) {
        return ErrorList::new();
    }
    ErrorList(vec![FieldError::forbidden(
        &need.path,
        format!(
            "{} requires the `{}: true` label on the containing namespace",
            need.what, need.label
        ),
    )])
}

/// Fields that this path does not write, so that no manager comes to own them through it.
pub(super) fn reset_fields(call: &Call<'_>) -> &'static [&'static str] {
    call.kind.policy().reset_fields(call.sub, call.kind.has(Sub::Status))
}

/// Records the manager of a new object; empty maps that are not stored have no owner.
fn record_new(call: &Call<'_>, object: &mut Object) {
    if !call.kind.has_empty(object) {
        return record(call, None, object);
    }
    let mut stored = object.clone();
    call.kind.leave_out_empty(&mut stored);
    record(call, None, &mut stored);
    object.set_meta("managedFields", stored["metadata"]["managedFields"].take());
}

/// Records the changes of this write in managedFields.
pub(super) fn record(call: &Call<'_>, live: Option<&Object>, object: &mut Object) {
    let kind = &*call.kind;
    let manager = call.manager();
    let Some(schema) = kind.schema() else { return };
    let (api_version, now) = (kind.api_version(), time::now_rfc3339());
    let writer = Writer {
        manager: &manager,
        api_version: &api_version,
        subresource: call.subresource(),
        now: &now,
        reset_fields: reset_fields(call),
    };
    apply::update_managers(schema, live, object, &writer);
}

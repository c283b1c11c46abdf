//! Requests for what is stored but cannot be read: they are refused, or the object is deleted unread.

use apimachinery::Status;
use apimachinery::status::Details;
use apimachinery::text::quote;
use http::{Response, StatusCode};
use store::{CommitError, Expect, Key, Op};

use super::Call;
use super::delete::Options;
use crate::body::Body;
use crate::cache::{key, prefix};
use crate::encode;
use crate::storage::WriteError;

/// The group of what decides about every write. While a part of it cannot be read, nothing is
/// written but itself.
const ADMISSION: &str = "admissionregistration.k8s.io";
/// The right to delete what cannot be read.
const VERB: &str = "unsafe-delete-ignore-read-errors";

fn key_of(call: &Call<'_>) -> Key {
    let namespace = if call.kind.namespaced { &*call.info.namespace } else { "" };
    key(&prefix(call.kind.stored_group(), call.kind.resource), namespace, &call.info.name)
}

/// Refuses a request that cannot be answered, because something in its way cannot be read.
pub(super) fn check(call: &Call<'_>) -> Result<(), Status> {
    let storage = &call.server.storage;
    if !storage.has_unreadable() {
        return Ok(());
    }
    // Streams into pods begin with any method.
    let connects = crate::limits::is_stream(&call.info) && call.info.subresource != "log";
    if (!call.info.is_read() || connects) && call.kind.group != ADMISSION {
        storage.readable_below(&format!("/registry/{ADMISSION}/"), (ADMISSION, "*"))?;
    }
    match call.info.name.as_str() {
        "" if call.info.verb == "create" => Ok(()),
        "" => storage.readable(&call.kind, &call.info.namespace),
        // It looks by itself.
        _ if call.info.verb == "delete" => Ok(()),
        _ => refuse(call),
    }
}

/// Refuses a request for an object that cannot be read.
pub(super) fn refuse(call: &Call<'_>) -> Result<(), Status> {
    match call.server.storage.broken(&key_of(call)) {
        Some(broken) => Err(Status::internal(broken.message())),
        None => Ok(()),
    }
}

/// Deletes an object that cannot be read, without regard for finalizers and dependents.
pub(super) async fn delete(call: &Call<'_>, options: &Options) -> Result<Response<Body>, Status> {
    call.audit.annotate("apiserver.k8s.io/unsafe-delete-ignore-read-error", "");
    let (kind, name) = (&*call.kind, &*call.info.name);
    let forbidden = |why: String| Status::forbidden(kind.group, kind.resource, name, why);
    if call.sub.is_some() {
        return Err(forbidden(
            "ignoreStoreReadErrorWithClusterBreakingPotential delete option is not allowed on a \
             subresource or non-resource request"
                .to_owned(),
        ));
    }
    call.server.authorize(&call.user, VERB, &call.info).await.map_err(|status| {
        forbidden(format!("not permitted to do {}, reason: {}", quote(VERB), status.message))
    })?;
    let key = key_of(call);
    let Some(broken) = call.server.storage.broken(&key) else {
        let entry = call.own_entry().await?;
        let place = kind.storage_key(&entry.object());
        return Err(Status::conflict(
            kind.group,
            kind.resource,
            name,
            format!(
                "StorageError: invalid object, Code: 4, Key: {place}, ResourceVersion: 0, \
                 AdditionalErrorMsg: unsafe deletion is not allowed because the object is decodable \
                 from storage"
            ),
        ));
    };
    if !options.dry_run {
        tracing::warn!(%key, user = call.user.name, "an object that cannot be read is deleted");
        let op = Op { key, expect: Expect::At(broken.revision), value: None };
        match call.server.storage.commit(op).await {
            Ok(revision) => call.server.cache.wait_for(revision).await,
            Err(WriteError::Store(CommitError::Conflict(None))) => {
                return Err(Status::not_found(kind.group, kind.resource, name));
            }
            Err(why) => return Err(Status::internal(why.to_string())),
        }
        if call.server.settings.addresses.are_unknown() {
            crate::bootstrap::reserve_service_addresses(call.server);
        }
    }
    let mut status = Status { code: 0, ..Status::success() };
    status.details = Some(Box::new(Details {
        name: name.to_owned(),
        group: kind.group.to_owned(),
        kind: kind.resource.to_owned(),
        ..Details::default()
    }));
    encode::value(StatusCode::OK, &status.to_value(), call.accepted.encoding)
}

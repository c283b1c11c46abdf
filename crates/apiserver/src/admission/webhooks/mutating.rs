//! MutatingAdmissionWebhook: one webhook after the other, each sees what those before it changed.

use apimachinery::patch::json_patch;
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status, validate};
use async_trait::async_trait;

use super::review::ask;
use crate::admission::matching::{convert, is_exempt};
use crate::admission::{Plugin, Request};
use crate::registry::Kind;

pub(in crate::admission) struct MutatingWebhooks;

#[async_trait]
impl Plugin for MutatingWebhooks {
    /// A deletion or connection has no object that could be changed: then it is null.
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        let hooks = request.server.mutating_hooks.all(request.server);
        if hooks.1.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
        request.rounds.begin(object);
        for hook in &hooks.1 {
            let shown = Some(&*object).filter(|object| !object.is_null());
            let Some(seen) = hook.seen_as(request, shown).await? else { continue };
            if !request.rounds.asks(&hook.id) {
                continue;
            }
            let answer = match ask(hook, request, &seen, shown, true).await {
                Ok(answer) => answer,
                Err(fault) => match fault.status(hook) {
                    Some(status) => return Err(status),
                    None => continue,
                },
            };
            request.call.warn(answer.warnings);
            let operations = answer.patch.filter(|p| p.as_array().is_none_or(|p| !p.is_empty()));
            let mut changed = false;
            if let Some(patch) = operations {
                if object.is_null() {
                    return Err(Status::internal(format!(
                        "admission webhook {} attempted to modify the object, which is not \
                         supported for this operation",
                        quote(&hook.name)
                    )));
                }
                let mut patched = convert(request.server, request.kind, &seen, object).await?;
                json_patch(&mut patched, &patch)
                    .map_err(|status| Status::internal(status.message))?;
                keep_place(request, &seen, &mut patched)?;
                let patched = decoded(request, &seen, patched).await?;
                changed = patched != *object;
                *object = patched;
            }
            request.rounds.answered(&hook.id, changed, hook.reinvoked);
        }
        request.rounds.end(object);
        Ok(())
    }
}

/// An object stays of its kind, and in the namespace of the request: everything else that decides
/// about the request has looked at them.
fn keep_place(request: &Request<'_>, seen: &Kind, patched: &mut Object) -> Result<(), Status> {
    if request.sub.is_none_or(|sub| sub.own_kind().is_none()) {
        let wanted = seen.api_version();
        if patched.kind() != seen.kind || patched.api_version() != wanted {
            return Err(Status::internal(format!(
                "no kind {} is registered for version {} in scheme",
                quote(patched.kind()),
                quote(patched.api_version()),
            )));
        }
    }
    let namespace = patched.namespace();
    if request.kind.namespaced && namespace.is_empty() && !request.namespace.is_empty() {
        patched.set_meta("namespace", request.namespace.into());
        return Ok(());
    }
    if request.kind.namespaced && namespace != request.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !request.kind.namespaced && !namespace.is_empty() {
        return Err(Status::bad_request("namespace not allowed on cluster-scoped objects"));
    }
    Ok(())
}

/// A patched object as the request's kind: read as any object is, and with its defaults.
async fn decoded(request: &Request<'_>, seen: &Kind, mut object: Object) -> Result<Object, Status> {
    if request.sub.is_none_or(|sub| sub.own_kind().is_none()) {
        match (&seen.custom, seen.schema()) {
            (Some(custom), _) => {
                custom.schema().prune(&mut object);
            }
            (None, Some(ty)) => {
                let misfit = validate::unknown_fields(ty, &mut object);
                misfit.map_err(|why| Status::internal(why.to_string()))?;
            }
            (None, None) => {}
        }
        object = convert(request.server, seen, request.kind, &object).await?;
        request.kind.write_missing(&mut object);
        request.kind.policy().default(&mut object);
    }
    Ok(object)
}

//! MutatingAdmissionWebhook: one webhook after the other, each sees what those before it changed.

use apimachinery::patch::json_patch;
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status, validate};
use async_trait::async_trait;

use super::review::ask;
use crate::admission::expressions::Inputs;
use crate::admission::matching::{convert, is_exempt};
use crate::admission::{Plugin, Request};
use crate::registry::Kind;
use crate::verbs::meta;

pub(in crate::admission) struct MutatingWebhooks;

#[async_trait]
impl Plugin for MutatingWebhooks {
    /// A deletion or connection has no object that could be changed: then it is null.
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        let hooks = request.server.mutating_hooks.all(request.server);
        if hooks.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
        request.rounds.begin(object);
        let mut inputs = Inputs::default();
        for hook in hooks.iter() {
            let shown = Some(&*object).filter(|object| !object.is_null());
            let Some(seen) = hook.seen_as(request, shown, &mut inputs).await? else { continue };
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
                check_kind(request, &seen, &patched)?;
                meta::place(request.kind, request.namespace, &mut patched)?;
                let patched = decoded(request, &seen, patched).await?;
                changed = patched != *object;
                inputs = Inputs::default();
                *object = patched;
            }
            request.rounds.answered(&hook.id, changed, hook.reinvoked);
        }
        request.rounds.end(object);
        Ok(())
    }
}

/// An object stays of its kind: everything else that decides about the request has looked at it.
fn check_kind(request: &Request<'_>, seen: &Kind, patched: &Object) -> Result<(), Status> {
    let own = request.sub.is_some_and(|sub| sub.own_kind().is_some());
    if own || (patched.kind(), patched.api_version()) == (seen.kind, &seen.api_version()) {
        return Ok(());
    }
    let (kind, version) = (quote(patched.kind()), quote(patched.api_version()));
    Err(Status::internal(format!("no kind {kind} is registered for version {version} in scheme")))
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

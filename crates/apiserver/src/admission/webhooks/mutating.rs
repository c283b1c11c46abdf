//! MutatingAdmissionWebhook: one webhook after the other, each sees what those before it changed.

use apimachinery::patch::json_patch;
use apimachinery::text::quote;
use apimachinery::{Object, Status};
use async_trait::async_trait;

use serde::Serialize;
use serde_json::Value;

use super::hooks::Hook;
use super::review::ask;
use crate::admission::expressions::Inputs;
use crate::admission::matching::{convert, is_exempt};
use crate::admission::rounds::Asker;
use crate::admission::{Plugin, Request};
use crate::audit::{Audit, Level};

pub(in crate::admission) struct MutatingWebhooks;

/// One call, for the audit.
struct Told<'a> {
    audit: &'a Audit,
    hook: &'a Hook,
    /// The round, and the place of the webhook.
    at: (u8, usize),
}

impl Told<'_> {
    fn key(&self, of: &str) -> String {
        let (round, index) = self.at;
        format!("{of}.webhook.admission.k8s.io/round_{round}_index_{index}")
    }

    fn mutated(&self, mutated: bool) {
        if self.audit.is_on() {
            let (configuration, webhook) = (&self.hook.configuration, &self.hook.name);
            let value = Mutation { configuration, webhook, mutated };
            self.audit.annotate(&self.key("mutation"), json_text(&value));
        }
    }

    /// A patch may hold what only the bodies of requests do.
    fn patch(&self, patch: &Value) {
        if self.audit.wants(Level::Request) {
            let (configuration, webhook) = (&self.hook.configuration, &self.hook.name);
            let value = Patch { configuration, webhook, patch, patch_type: "JSONPatch" };
            self.audit.annotate(&self.key("patch"), json_text(&value));
        }
    }
}

#[derive(Serialize)]
struct Mutation<'a> {
    configuration: &'a str,
    webhook: &'a str,
    mutated: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Patch<'a> {
    configuration: &'a str,
    webhook: &'a str,
    patch: &'a Value,
    patch_type: &'static str,
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[async_trait]
impl Plugin for MutatingWebhooks {
    /// A deletion or connection has no object that could be changed: then it is null.
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        let hooks = request.server.mutating_hooks.all(request.server);
        if hooks.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
        request.rounds.begin(Asker::Webhooks, object);
        let mut inputs = Inputs::default();
        let round = u8::from(request.rounds.is_second());
        for (index, hook) in hooks.iter().enumerate() {
            let shown = Some(&*object).filter(|object| !object.is_null());
            let Some(seen) = hook.seen_as(request, shown, &mut inputs).await? else { continue };
            if !request.rounds.asks(Asker::Webhooks, &hook.id) {
                continue;
            }
            let told = Told { audit: &request.call.audit, hook, at: (round, index) };
            let answer = match ask(hook, request, &seen, shown, true).await {
                Ok(answer) => answer,
                Err(fault) => {
                    told.mutated(false);
                    match fault.status(hook, &request.call.audit, &told.key("failed-open.mutation"))
                    {
                        Some(status) => return Err(status),
                        None => continue,
                    }
                }
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
                let patched = request.patched(&seen, patched, false).await?;
                changed = patched != *object;
                told.patch(&patch);
                inputs = Inputs::default();
                *object = patched;
            }
            told.mutated(changed);
            request.rounds.answered(Asker::Webhooks, &hook.id, changed, hook.reinvoked);
        }
        request.rounds.end(Asker::Webhooks, object);
        Ok(())
    }
}

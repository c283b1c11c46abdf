//! ValidatingAdmissionWebhook: all at once, after everything that may change the object.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use futures::future::join_all;

use super::review::ask;
use crate::admission::expressions::Inputs;
use crate::admission::matching::is_exempt;
use crate::admission::{Plugin, Request};

/// Prefix of the audit annotation of a webhook that could not be asked, and was not needed.
const FAILED_OPEN: &str = "failed-open.validating.webhook.admission.k8s.io/";

pub(in crate::admission) struct ValidatingWebhooks;

#[async_trait]
impl Plugin for ValidatingWebhooks {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let hooks = request.server.validating_hooks.all(request.server);
        if hooks.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
        let (mut asked, mut inputs) = (Vec::new(), Inputs::default());
        for hook in hooks.iter() {
            if let Some(seen) = hook.seen_as(request, object, &mut inputs).await? {
                let failed_open = format!("{FAILED_OPEN}round_0_index_{}", asked.len());
                asked.push(async move {
                    match ask(hook, request, &seen, object, false).await {
                        Ok(answer) => {
                            request.call.warn(answer.warnings);
                            None
                        }
                        Err(fault) => fault.status(hook, &request.call.audit, &failed_open),
                    }
                });
            }
        }
        // The first refusal is the answer, as upstream's.
        match join_all(asked).await.into_iter().flatten().next() {
            Some(status) => Err(status),
            None => Ok(()),
        }
    }
}

//! ValidatingAdmissionWebhook: all at once, after everything that may change the object.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use futures::future::join_all;

use super::review::ask;
use crate::admission::expressions::Inputs;
use crate::admission::matching::is_exempt;
use crate::admission::{Plugin, Request};

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
                asked.push(async move {
                    match ask(hook, request, &seen, object, false).await {
                        Ok(answer) => {
                            request.call.warn(answer.warnings);
                            None
                        }
                        Err(fault) => fault.status(hook),
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

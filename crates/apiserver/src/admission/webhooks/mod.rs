//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others decide about writes.

mod hooks;
mod mutating;
mod review;
mod validating;

use apimachinery::Status;
use apimachinery::text::quote;

pub(crate) use hooks::Hooks;
pub(super) use mutating::MutatingWebhooks;
pub(super) use validating::ValidatingWebhooks;

use apimachinery::Object;
use hooks::Hook;

use super::Request;
use super::expressions::{Inputs, Scope};
use crate::audit::Audit;
use crate::registry::KindRef;

impl Hook {
    /// The kind as which the webhook sees the objects of a request; `None` if it is not asked.
    ///
    /// # Errors
    /// Nothing can be said of the namespace, or of the conditions of a webhook that must be asked.
    async fn seen_as(
        &self,
        request: &Request<'_>,
        object: Option<&Object>,
        inputs: &mut Inputs,
    ) -> Result<Option<KindRef>, Status> {
        let Some(seen) = self.selection.seen_as(request, object)? else { return Ok(None) };
        if self.conditions.is_empty() {
            return Ok(Some(seen));
        }
        let input = inputs.of(request, &seen, object).await?;
        let scope = Scope { input, params: None, variables: None };
        match input.settle(|| self.conditions.hold(&scope)).await {
            Ok(holds) => Ok(holds.then_some(seen)),
            Err(_) if self.ignores_failures => Ok(None),
            Err(why) => Err(request.forbidden(why)),
        }
    }
}

/// The reason why a webhook did not allow a request.
enum Fault {
    /// It could not be asked, or its answer is not one: the failure policy decides.
    Call(String),
    /// The answer to the client.
    Refused(Box<Status>),
}

impl Fault {
    /// The status for the client; `None` if the failure is to be ignored, which the audit annotation
    /// `failed_open` says.
    fn status(self, hook: &Hook, audit: &Audit, failed_open: &str) -> Option<Status> {
        match self {
            Self::Refused(status) => Some(*status),
            Self::Call(why) if hook.ignores_failures => {
                audit.annotate(failed_open, hook.name.as_str());
                tracing::warn!(webhook = hook.name, why, "failed calling webhook, failing open");
                None
            }
            Self::Call(why) => {
                let name = quote(&hook.name);
                Some(Status::internal(format!("failed calling webhook {name}: {why}")))
            }
        }
    }
}

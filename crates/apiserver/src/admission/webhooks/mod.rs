//! MutatingAdmissionWebhook and ValidatingAdmissionWebhook: others decide about writes.

mod hooks;
mod matching;
mod mutating;
mod review;
mod rounds;
mod validating;

use apimachinery::Status;
use apimachinery::text::quote;

pub(crate) use hooks::Hooks;
pub(super) use mutating::MutatingWebhooks;
pub(super) use rounds::Rounds;
pub(super) use validating::ValidatingWebhooks;

use hooks::Hook;

/// The reason why a webhook did not allow a request.
enum Fault {
    /// It could not be asked, or its answer is not one: the failure policy decides.
    Call(String),
    /// The answer to the client.
    Refused(Box<Status>),
}

impl Fault {
    /// The status for the client; `None` if the failure is to be ignored.
    fn status(self, hook: &Hook) -> Option<Status> {
        match self {
            Self::Refused(status) => Some(*status),
            Self::Call(why) if hook.ignores_failures => {
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

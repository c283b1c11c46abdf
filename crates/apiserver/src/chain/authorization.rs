//! Checks that the user is allowed to do what the request asks for.

use std::time::Instant;

use apimachinery::Status;
use apimachinery::text::quote;

use super::Received;
use super::check::Answer;
use crate::authz::{self, Attempt, Attributes, Decision, Refusal};
use crate::metrics::Authorized;

pub(super) fn authorize(received: &mut Received) -> Answer {
    let begun = Instant::now();
    match attempt(received) {
        Ok(Attempt::Decided(decision)) => Answer::Now(conclude(received, decision, begun)),
        Ok(Attempt::Waits(waiting)) => Answer::Later(Box::new(move |mut received| {
            Box::pin(async move {
                let decision = match attributes(&received) {
                    Ok(attributes) => Ok(waiting.decide(&received.server, &attributes).await),
                    Err(status) => Err(status),
                };
                let answer = decision.and_then(|d| conclude(&mut received, d, begun));
                (received, answer)
            })
        })),
        Err(status) => Answer::Now(Err(status)),
    }
}

fn attributes(received: &Received) -> Result<Attributes<'_>, Status> {
    let info = &received.info;
    Ok(Attributes::of(received.user()?, info.verb, info))
}

fn attempt(received: &Received) -> Result<Attempt, Status> {
    Ok(authz::attempt(&received.server, &attributes(received)?))
}

/// Records a decision, and answers by it.
fn conclude(received: &mut Received, decision: Decision, begun: Instant) -> Result<(), Status> {
    let result = match &decision {
        Decision::Allow(_) => Authorized::Allowed,
        Decision::Deny(Refusal { error: Some(_), .. }) => Authorized::Error,
        Decision::Deny(Refusal { denied: true, .. }) => Authorized::Denied,
        Decision::Deny(_) => Authorized::NoOpinion,
    };
    received.server.metrics.access.authorized(result, begun.elapsed());
    let (decision, reason, answer) = match decision {
        Decision::Allow(reason) => ("allow", reason, Ok(())),
        Decision::Deny(Refusal { error: Some(why), .. }) => {
            received.audit.annotate("authorization.k8s.io/reason", "internal error");
            let path = quote(&received.info.path);
            let message = format!("Internal Server Error: {path}: {why}");
            return Err(Status::generic(500, "InternalError", message));
        }
        Decision::Deny(Refusal { reason, .. }) => {
            let status = authz::forbidden(&attributes(received)?, &reason);
            ("forbid", reason, Err(status))
        }
    };
    received.audit.annotate("authorization.k8s.io/decision", decision);
    received.audit.annotate("authorization.k8s.io/reason", reason);
    if answer.is_ok() {
        received.stages.passed("authorized");
    }
    answer
}

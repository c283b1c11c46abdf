//! ValidatingAdmissionPolicy: what an administrator's expressions say about a write.

mod evaluate;
mod params;
mod source;

use apimachinery::status::Cause;
use apimachinery::{Object, Status};
use async_trait::async_trait;

pub(crate) use source::Policies;

use super::expressions::Inputs;
use super::matching::is_exempt;
use super::{Plugin, Request};
use evaluate::Denial;
use source::{Binding, Policy};

pub(in crate::admission) struct ValidatingPolicies;

#[async_trait]
impl Plugin for ValidatingPolicies {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let policies = request.server.policies.all(request.server);
        if policies.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
        let mut denied: Option<String> = None;
        let mut reason = None;
        let mut inputs = Inputs::default();
        for policy in policies.iter() {
            for (message, why) in judge(policy, request, object, &mut inputs).await? {
                if denied.is_none() {
                    (denied, reason) = (Some(message), why);
                }
            }
        }
        match denied {
            Some(message) => Err(refusal(request, message, reason)),
            None => Ok(()),
        }
    }
}

type Refusals = Vec<(String, Option<&'static str>)>;

/// The refusals of a policy by all of its bindings; warnings go to the client.
async fn judge(
    policy: &Policy,
    request: &Request<'_>,
    object: Option<&Object>,
    inputs: &mut Inputs,
) -> Result<Refusals, Status> {
    let name = &policy.name;
    let misconfigured = |binding: Option<&Binding>, why: String| -> Refusals {
        if policy.ignores_failures {
            return Vec::new();
        }
        let message = match binding {
            None => format!(
                "ValidatingAdmissionPolicy '{name}' denied request: failed to configure policy: {why}"
            ),
            Some(binding) => format!(
                "ValidatingAdmissionPolicy '{name}' with binding '{}' denied request: failed to \
                 configure binding: {why}",
                binding.name
            ),
        };
        vec![(message, None)]
    };
    let seen = match policy.selection.seen_as(request, object) {
        Ok(Some(seen)) => seen,
        Ok(None) => return Ok(Vec::new()),
        Err(status) => return Ok(misconfigured(None, status.message)),
    };
    let mut refusals = Refusals::new();
    for binding in &policy.bindings {
        match binding.selection.seen_as(request, object) {
            Ok(Some(_)) => {}
            Ok(None) => continue,
            Err(status) => {
                refusals.extend(misconfigured(Some(binding), status.message));
                continue;
            }
        }
        let params = match params::of(request, policy, binding) {
            Ok(params) => params,
            Err(why) => {
                refusals.extend(misconfigured(Some(binding), why.to_string()));
                continue;
            }
        };
        for params in &params {
            let input = inputs.of(request, &seen, object).await?;
            for Denial { message, reason } in evaluate::evaluate(policy, input, params.as_ref()) {
                let of =
                    format!("ValidatingAdmissionPolicy '{name}' with binding '{}'", binding.name);
                if binding.warns {
                    let warning = format!("Validation failed for {of}: {message}");
                    request.call.warn([warning]);
                }
                if binding.audits {
                    tracing::info!(policy = name, binding = binding.name, message, "policy audit");
                }
                if binding.denies {
                    refusals.push((format!("{of} denied request: {message}"), reason));
                }
            }
        }
    }
    Ok(refusals)
}

/// The answer to a client whose request a policy denies.
fn refusal(request: &Request<'_>, message: String, reason: Option<&'static str>) -> Status {
    let mut status = request.forbidden(&message);
    (status.code, status.reason) = match reason {
        Some("Forbidden") => (403, "Forbidden".into()),
        Some("Unauthorized") => (401, "Unauthorized".into()),
        Some("RequestEntityTooLarge") => (413, "RequestEntityTooLarge".into()),
        _ => (422, "Invalid".into()),
    };
    status.caused_by(Cause { message, ..Cause::default() })
}

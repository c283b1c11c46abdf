//! ValidatingAdmissionPolicy: what an administrator's expressions say about a write.

use apimachinery::status::Cause;
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use cel::admission::Compiled;
use cel::{Env, Program};
use serde_json::Value;

use super::annotations::{Failure, Failures, Published};
use super::invocations::{Invocation, Misconfigured};
use super::source::{Action, Policy};
use super::validations::{self, Denial};
use crate::admission::expressions::Inputs;
use crate::admission::matching::is_exempt;
use crate::admission::{Plugin, Request};

/// One validation of a policy.
pub(super) struct Validation {
    pub(super) expression: String,
    pub(super) program: Compiled,
    pub(super) message: String,
    pub(super) message_expression: Option<Program>,
    pub(super) reason: Option<&'static str>,
}

/// An annotation of the audit event.
pub(super) struct Annotation {
    pub(super) key: String,
    pub(super) expression: String,
    pub(super) program: Compiled,
}

/// The expressions of a policy.
pub(super) struct Validations {
    pub(super) validations: Vec<Validation>,
    pub(super) annotations: Vec<Annotation>,
}

impl Action for Validations {
    const POLICIES: &'static str = "validatingadmissionpolicies";
    const BINDINGS: &'static str = "validatingadmissionpolicybindings";

    fn read(spec: &Value, env: &Env) -> Self {
        let list = |field: &str| spec[field].as_array().into_iter().flatten();
        let annotations = list("auditAnnotations").map(|annotation| {
            let expression = annotation.str_at(&["valueExpression"]);
            Annotation {
                key: annotation.str_at(&["key"]).to_owned(),
                expression: expression.to_owned(),
                program: env.compile(expression),
            }
        });
        Self {
            annotations: annotations.collect(),
            validations: list("validations").map(|one| Validation::read(one, env)).collect(),
        }
    }
}

impl Validation {
    fn read(validation: &Value, env: &Env) -> Self {
        let text = |field: &str| validation.str_at(&[field]).to_owned();
        let message = text("messageExpression");
        Self {
            program: env.compile(&text("expression")),
            expression: text("expression"),
            message: text("message"),
            message_expression: (!message.is_empty()).then(|| env.compile(&message).ok()).flatten(),
            reason: match validation.str_at(&["reason"]) {
                "Forbidden" => Some("Forbidden"),
                "Unauthorized" => Some("Unauthorized"),
                "RequestEntityTooLarge" => Some("RequestEntityTooLarge"),
                _ => None,
            },
        }
    }
}

pub(in crate::admission) struct ValidatingPolicies;

#[async_trait]
impl Plugin for ValidatingPolicies {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let policies = request.server.policies.validating.all(request.server);
        if policies.is_empty() || is_exempt(request.kind) {
            return Ok(());
        }
        let mut denied: Option<String> = None;
        let mut reason = None;
        let mut inputs = Inputs::default();
        let mut failures = Failures::default();
        for policy in policies.iter() {
            for (message, why) in judge(policy, request, object, &mut inputs, &mut failures).await?
            {
                if denied.is_none() {
                    (denied, reason) = (Some(message), why);
                }
            }
        }
        failures.publish(request);
        match denied {
            Some(message) => Err(refusal(request, message, reason)),
            None => Ok(()),
        }
    }
}

type Refusals = Vec<(String, Option<&'static str>)>;

/// The refusals of a policy by all of its bindings; warnings go to the client.
async fn judge(
    policy: &Policy<Validations>,
    request: &Request<'_>,
    object: Option<&Object>,
    inputs: &mut Inputs,
    failures: &mut Failures,
) -> Result<Refusals, Status> {
    let name = &policy.name;
    let mut refusals = Refusals::new();
    let mut published = Published::default();
    for invocation in policy.invocations(request, object) {
        let Invocation { binding, seen, params } = match invocation {
            Ok(invocation) => invocation,
            Err(_) if policy.ignores_failures => continue,
            Err(Misconfigured { binding, why }) => {
                let by = binding.map(|binding| format!(" with binding '{}'", binding.name));
                refusals.push((
                    format!(
                        "ValidatingAdmissionPolicy '{name}'{} denied request: {why}",
                        by.unwrap_or_default()
                    ),
                    None,
                ));
                continue;
            }
        };
        let input = inputs.of(request, &seen, object).await?;
        let of = format!("ValidatingAdmissionPolicy '{name}' with binding '{}'", binding.name);
        let evaluate = || validations::evaluate(policy, input, params.as_ref());
        let found = input.settle(evaluate).await;
        for Denial { index, message, reason } in found.denials {
            if binding.warns {
                let warning = format!("Validation failed for {of}: {message}");
                request.call.warn([warning]);
            }
            if binding.audits {
                failures.add(Failure {
                    message: message.clone(),
                    policy: name.clone(),
                    binding: binding.name.clone(),
                    expression_index: index,
                    validation_actions: binding.actions.clone(),
                });
            }
            if binding.denies {
                refusals.push((format!("{of} denied request: {message}"), reason));
            }
        }
        for (key, told) in found.annotations {
            match told {
                Ok(value) => published.add(key, value),
                Err(why) => refusals.push((format!("{of} denied request: {why}"), None)),
            }
        }
    }
    published.publish(name, &request.call.audit);
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

//! MutatingAdmissionPolicy: an administrator's expressions change objects before they are stored.

use apimachinery::status::Cause;
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::invocations::{Invocation, Misconfigured};
use super::mutations::Mutations;
use super::source::Policy;
use crate::admission::expressions::{Inputs, Scope};
use crate::admission::matching::is_exempt;
use crate::admission::rounds::Asker;
use crate::admission::{Plugin, Request};

pub(in crate::admission) struct MutatingPolicies;

#[async_trait]
impl Plugin for MutatingPolicies {
    async fn admit(&self, request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
        let policies = request.server.policies.mutating.all(request.server);
        if policies.is_empty() || is_exempt(request.kind) || object.is_null() {
            return Ok(());
        }
        let mut failures = Failures::default();
        // Selected by the object as it came: a policy does not decide whether others are asked.
        let mut due = Vec::new();
        for policy in policies.iter() {
            for invocation in policy.invocations(request, Some(object)) {
                match invocation {
                    Ok(invocation) => due.push((policy, invocation)),
                    Err(misconfigured) => failures.add(policy, misconfigured, false),
                }
            }
        }
        request.rounds.begin(Asker::Policies, object);
        for (policy, invocation) in &due {
            invoke(policy, invocation, request, object, &mut failures).await?;
        }
        request.rounds.end(Asker::Policies, object);
        failures.refuse(request)
    }
}

/// Carries out the mutations of a policy, each of which sees what those before it changed.
async fn invoke(
    policy: &Policy<Mutations>,
    invocation: &Invocation<'_>,
    request: &Request<'_>,
    object: &mut Object,
    failures: &mut Failures,
) -> Result<(), Status> {
    let Invocation { binding, seen, params } = invocation;
    let params = params.as_ref();
    let mut inputs = Inputs::default();
    let fail = |failures: &mut Failures, why: String| {
        failures.add(policy, Misconfigured { binding: Some(binding), why }, true);
    };
    if !policy.conditions.is_empty() {
        let input = inputs.of(request, seen, Some(object)).await?;
        let scope = Scope { input, params, variables: None };
        match input.settle(|| policy.conditions.hold(&scope)).await {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(why) => {
                fail(failures, why.to_string());
                return Ok(());
            }
        }
    }
    let id = format!(
        "{}/{}/{}/{}",
        policy.name,
        binding.name,
        params.map_or("", ObjectExt::namespace),
        params.map_or("", ObjectExt::name)
    );
    if !request.rounds.asks(Asker::Policies, &id) {
        return Ok(());
    }
    let mut changed = false;
    for mutation in &policy.action.mutations {
        let input = inputs.of(request, seen, Some(object)).await?;
        match input.settle(|| mutation.evaluate(policy, seen, input, params)).await {
            Ok(None) => {}
            Ok(Some(patched)) => {
                let patched = request.patched(seen, patched, mutation.is_strict()).await?;
                if patched != *object {
                    changed = true;
                    inputs = Inputs::default();
                    *object = patched;
                }
            }
            Err(why) => fail(failures, why.to_string()),
        }
    }
    request.rounds.answered(Asker::Policies, &id, changed, policy.action.reinvoked);
    Ok(())
}

/// The failures of policies that do not ignore theirs.
#[derive(Default)]
struct Failures {
    messages: Vec<String>,
    /// The reason of the first one, if it has an own.
    invalid: bool,
}

impl Failures {
    fn add(&mut self, policy: &Policy<Mutations>, of: Misconfigured<'_>, invalid: bool) {
        if policy.ignores_failures {
            return;
        }
        if self.messages.is_empty() {
            self.invalid = invalid;
        }
        let (name, why) = (&policy.name, of.why);
        self.messages.push(match of.binding {
            Some(by) => format!("policy '{name}' with binding '{}' denied request: {why}", by.name),
            None => format!("policy {} denied request: {why}", quote(name)),
        });
    }

    /// Refuses the request if there are any. The code stays that of a forbidden request, as
    /// upstream's does.
    fn refuse(self, request: &Request<'_>) -> Result<(), Status> {
        let Some(first) = self.messages.first() else { return Ok(()) };
        let mut status = request.forbidden("");
        status.message.clone_from(first);
        if self.invalid {
            status.reason = "Invalid".into();
        }
        for message in self.messages {
            status = status.caused_by(Cause { message, ..Cause::default() });
        }
        Err(status)
    }
}

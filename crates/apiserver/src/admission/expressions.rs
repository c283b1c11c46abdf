//! Expressions of webhooks and policies (Common Expression Language): what they see, and conditions.

use std::sync::Arc;

use apimachinery::selector::{FieldSelector, LabelSelector};
use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use cel::value::{Authorizer, Check, Decision, Fields, Map, Opaque, Subject, from_json};
use cel::{Budget, Env, EvalError, PER_CALL_LIMIT, Program, Value as Cel, Variables};
use futures::future::join_all;
use parking_lot::Mutex;
use serde_json::Value;

use super::Request;
use crate::authz::{self, Attempt, Attributes, Refusal, Waiting};
use crate::registry::{self, Kind, KindRef, Sub};
use crate::server::Server;
use crate::user::User;

/// The most that all conditions may cost together (upstream's `RuntimeCELCostBudgetMatchConditions`).
const CONDITIONS_LIMIT: u64 = 2_500_000;

/// A request as expressions see it.
pub(super) struct Input {
    object: Value,
    old: Value,
    request: Value,
    namespace: Value,
    asker: Asker,
    check: Check,
}

/// Answers what the user of a request may do.
///
/// An expression cannot wait. What a webhook must decide stays open at first, and the value of the
/// evaluation does not count; [`Input::settle`] has it answered and evaluates again.
struct Asker {
    server: Arc<Server>,
    user: User,
    answers: Mutex<Answers>,
}

/// The answers that had to be waited for. They are few: each question costs an expression a good
/// part of its budget.
#[derive(Default)]
struct Answers {
    known: Vec<(Asked, Decision)>,
    open: Vec<(Asked, Waiting)>,
}

/// A check and its verb.
#[derive(Clone, PartialEq, Eq)]
struct Asked(Check, String);

/// An answer for expressions.
fn shown(decision: authz::Decision) -> Decision {
    match decision {
        authz::Decision::Allow(reason) => Decision { allowed: true, reason, error: None },
        authz::Decision::Deny(Refusal { reason, error, .. }) => {
            Decision { allowed: false, reason, error }
        }
    }
}

/// The parts of a check that it holds in another form than authorizers take.
struct Parts {
    account: Option<User>,
    fields: Option<FieldSelector>,
    labels: Option<LabelSelector>,
}

impl Parts {
    fn of(check: &Check) -> Self {
        let account = check.service_account.as_ref();
        Self {
            account: account.map(|(namespace, name)| User::service_account(namespace, name)),
            // A selector that cannot be parsed only widens the question.
            fields: FieldSelector::parse(&check.field_selector).ok().filter(|f| !f.is_empty()),
            labels: LabelSelector::parse(&check.label_selector).ok().filter(|l| !l.is_empty()),
        }
    }

    fn attributes<'a>(&'a self, user: &'a User, check: &'a Check, verb: &'a str) -> Attributes<'a> {
        let user = self.account.as_ref().unwrap_or(user);
        match &check.path {
            Some(path) => Attributes::on_path(user, verb, path),
            None => Attributes {
                version: "*",
                subresource: &check.subresource,
                namespace: &check.namespace,
                name: &check.name,
                fields: self.fields.as_ref(),
                labels: self.labels.as_ref(),
                ..Attributes::on_resource(
                    user,
                    verb,
                    check.group.as_deref().unwrap_or_default(),
                    check.resource.as_deref().unwrap_or_default(),
                )
            },
        }
    }
}

impl Authorizer for Asker {
    fn authorize(&self, check: &Check, verb: &str) -> Decision {
        let mut answers = self.answers.lock();
        let same = |Asked(known, by): &Asked| known == check && by == verb;
        if let Some((_, decision)) = answers.known.iter().find(|(asked, _)| same(asked)) {
            return decision.clone();
        }
        let parts = Parts::of(check);
        match authz::attempt(&self.server, &parts.attributes(&self.user, check, verb)) {
            Attempt::Decided(decision) => shown(decision),
            Attempt::Waits(waiting) => {
                if !answers.open.iter().any(|(asked, _)| same(asked)) {
                    answers.open.push((Asked(check.clone(), verb.to_owned()), waiting));
                }
                let error = Some("the authorizer has not answered yet".to_owned());
                Decision { allowed: false, reason: String::new(), error }
            }
        }
    }
}

impl Asker {
    async fn wait(&self, asked: Asked, waiting: Waiting) -> (Asked, Decision) {
        let parts = Parts::of(&asked.0);
        let attributes = parts.attributes(&self.user, &asked.0, &asked.1);
        let decision = shown(waiting.decide(&self.server, &attributes).await);
        (asked, decision)
    }
}

impl Input {
    /// Evaluates something of these values; again when the authorizer had to be waited for, until it
    /// has answered all that is asked. Each time it answers what was open, so that this ends.
    pub(super) async fn settle<T>(&self, mut evaluate: impl FnMut() -> T) -> T {
        loop {
            let value = evaluate();
            let open = std::mem::take(&mut self.asker.answers.lock().open);
            if open.is_empty() {
                return value;
            }
            drop(value);
            let waits = open.into_iter().map(|(asked, waiting)| self.asker.wait(asked, waiting));
            let answers = join_all(waits).await;
            self.asker.answers.lock().known.extend(answers);
        }
    }

    /// The object as of the kind as which it is seen.
    pub(super) fn object(&self) -> &Value {
        &self.object
    }

    /// The request as of the kind as which its objects are seen.
    ///
    /// # Errors
    /// An object cannot be converted.
    async fn new(
        request: &Request<'_>,
        seen: &Kind,
        object: Option<&Object>,
    ) -> Result<Self, Status> {
        let namespaces = request.is("", "namespaces");
        let namespace = registry::find("", "v1", "namespaces")
            .filter(|_| !namespaces && !request.namespace.is_empty())
            .and_then(|kind| request.server.entry(kind, "", request.namespace));
        let mut namespace = namespace.map_or(Value::Null, |entry| entry.object());
        if !namespace.is_null() {
            namespace.set_meta("managedFields", Value::Null);
        }
        Ok(Self {
            object: request.shown(seen, object).await?,
            old: request.shown(seen, request.old).await?,
            request: request.described(seen),
            namespace,
            asker: Asker {
                server: request.call.server.clone(),
                user: request.user.clone(),
                answers: Mutex::default(),
            },
            check: Check {
                group: Some(request.kind.group.to_owned()),
                resource: Some(request.kind.resource.to_owned()),
                subresource: request.sub.map_or("", Sub::name).to_owned(),
                namespace: request.namespace.to_owned(),
                name: request.reviewed_name().to_owned(),
                ..Check::default()
            },
        })
    }
}

/// The inputs that were made for one request, of each kind as which it is seen.
#[derive(Default)]
pub(super) struct Inputs(Vec<(KindRef, Input)>);

impl Inputs {
    /// The request as of the kind as which its objects are seen.
    ///
    /// # Errors
    /// An object cannot be converted.
    pub(super) async fn of(
        &mut self,
        request: &Request<'_>,
        seen: &KindRef,
        object: Option<&Object>,
    ) -> Result<&Input, Status> {
        let same = |known: &KindRef| {
            (known.group, known.version, known.resource)
                == (seen.group, seen.version, seen.resource)
        };
        let at = match self.0.iter().position(|(known, _)| same(known)) {
            Some(at) => at,
            None => {
                self.0.push((seen.clone(), Input::new(request, seen, object).await?));
                self.0.len() - 1
            }
        };
        Ok(&self.0[at].1)
    }
}

/// The values of the variables for one evaluation.
pub(super) struct Scope<'a> {
    pub(super) input: &'a Input,
    /// The parameters of a policy, if it has any.
    pub(super) params: Option<&'a Value>,
    /// The variables of a policy.
    pub(super) variables: Option<&'a dyn Fields>,
}

impl<'a> Variables<'a> for Scope<'a> {
    fn get(&self, name: &str) -> Option<Cel<'a>> {
        let json = |value: &'a Value| from_json(value, None).ok();
        let input = self.input;
        match name {
            "object" => json(&input.object),
            "oldObject" => json(&input.old),
            "request" => json(&input.request),
            "namespaceObject" => json(&input.namespace),
            "params" => self.params.map_or(Some(Cel::Null), json),
            "variables" => self.variables.map(|fields| Cel::Map(Map::Fields(fields))),
            "authorizer" | "authorizer.requestResource" => {
                let check = match name {
                    "authorizer" => Check::default(),
                    _ => input.check.clone(),
                };
                let subject = Subject { authorizer: &input.asker, check };
                Some(Cel::Opaque(Opaque::Authorization(Arc::new(subject))))
            }
            _ => None,
        }
    }
}

/// Evaluates an expression; what it costs is taken from `left`.
pub(super) fn evaluate<'a>(
    program: &'a Program,
    scope: &Scope<'a>,
    left: &mut u64,
) -> Result<Cel<'a>, EvalError> {
    let mut budget = Budget::new(PER_CALL_LIMIT.min(*left));
    let value = program.eval(scope, &mut budget);
    *left = left.saturating_sub(budget.cost());
    value
}

/// Conditions that must all hold before a webhook or a policy is asked.
#[derive(Debug)]
pub(super) struct Conditions(Vec<Condition>);

#[derive(Debug)]
struct Condition {
    name: String,
    program: Result<Program, cel::CompileError>,
}

impl Conditions {
    /// Compiles `matchConditions`.
    pub(super) fn compile(declared: &Value, env: &Env) -> Self {
        let declared = declared.as_array().into_iter().flatten();
        let conditions = declared.map(|condition| Condition {
            name: condition.str_at(&["name"]).to_owned(),
            program: env.compile(condition.str_at(&["expression"])),
        });
        Self(conditions.collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if all hold. One that does not hold decides, even if others fail.
    ///
    /// # Errors
    /// None is false, and some cannot be evaluated.
    pub(super) fn hold(&self, scope: &Scope<'_>) -> Result<bool, Failed> {
        let mut left = CONDITIONS_LIMIT;
        let mut failures = Vec::new();
        for condition in &self.0 {
            let failure = match &condition.program {
                Err(why) => format!("compilation error: {why}"),
                Ok(program) => match evaluate(program, scope, &mut left) {
                    Ok(Cel::Bool(true)) => continue,
                    Ok(Cel::Bool(false)) => return Ok(false),
                    Ok(_) => "must evaluate to a bool".to_owned(),
                    Err(why) => why.to_string(),
                },
            };
            failures.push(format!("match condition {}: {failure}", quote(&condition.name)));
        }
        if failures.is_empty() { Ok(true) } else { Err(Failed(failures.join(", "))) }
    }
}

/// The reason why conditions could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(String);

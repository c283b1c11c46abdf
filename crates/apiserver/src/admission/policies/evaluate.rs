//! Evaluates the validations of a policy on one request.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cel::value::Fields;
use cel::{Budget, EvalError, Value as Cel};
use serde_json::Value;

use super::source::{Policy, Validation};
use crate::admission::expressions::{Input, Scope, evaluate as value_of};

/// How deeply variables that use each other may nest together: they are evaluated on one stack.
const MAX_HEIGHT: usize = cel::MAX_HEIGHT / 2;

/// A validation that does not hold.
pub(super) struct Denial {
    pub(super) message: String,
    pub(super) reason: Option<&'static str>,
}

/// The `variables` of a policy, evaluated when an expression asks for one.
struct Variables<'p> {
    policy: &'p Policy,
    input: &'p Input,
    params: Option<&'p Value>,
    /// How many variables the one that is evaluated now may use: those before it.
    usable: AtomicUsize,
    /// The height of all that are evaluated now.
    height: AtomicUsize,
}

impl Fields for Variables<'_> {
    fn field<'a>(&'a self, name: &str, budget: &mut Budget) -> Option<Result<Cel<'a>, EvalError>> {
        let usable = self.usable.load(Relaxed);
        let known = &self.policy.variables[..usable];
        let position = known.iter().position(|(own, _)| own == name)?;
        let program = match &known[position].1 {
            Err(why) => return Some(Err(failed(name, &why.to_string()))),
            Ok(program) => program,
        };
        let height = self.height.load(Relaxed);
        let with = height + program.height() + 2;
        if with > MAX_HEIGHT {
            return Some(Err(failed(name, "variables nest too deeply")));
        }
        self.usable.store(position, Relaxed);
        self.height.store(with, Relaxed);
        let scope = Scope { input: self.input, params: self.params, variables: Some(self) };
        let value = program.eval(&scope, budget);
        self.usable.store(usable, Relaxed);
        self.height.store(height, Relaxed);
        Some(value.map_err(|why| match why {
            EvalError::Failed(why) => failed(name, &why),
            cancelled => cancelled,
        }))
    }
}

fn failed(name: &str, why: &str) -> EvalError {
    EvalError::Failed(format!("composited variable \"{name}\" fails to evaluate: {why}").into())
}

/// The validations that do not hold, or could not be evaluated.
pub(super) fn evaluate(policy: &Policy, input: &Input, params: Option<&Value>) -> Vec<Denial> {
    let fails = |message: String| -> Vec<Denial> {
        match policy.ignores_failures {
            true => Vec::new(),
            false => vec![Denial { message, reason: None }],
        }
    };
    match policy.conditions.hold(&Scope { input, params, variables: None }) {
        Ok(true) => {}
        Ok(false) => return Vec::new(),
        Err(why) => return fails(why.to_string()),
    }
    let usable = AtomicUsize::new(policy.variables.len());
    let variables = Variables { policy, input, params, usable, height: AtomicUsize::new(0) };
    let scope = Scope { input, params, variables: Some(&variables) };
    let mut left = cel::TOTAL_LIMIT;
    let mut denials = Vec::new();
    for validation in &policy.validations {
        let outcome = match &validation.program {
            Err(why) => Err(format!("compilation error: {why}")),
            Ok(program) => {
                value_of(program, &scope, &mut left).map_err(|why| told(validation, &why))
            }
        };
        match outcome {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => denials.push(Denial {
                message: message(validation, &scope, &mut left),
                reason: validation.reason,
            }),
            Err(why) => denials.extend(fails(why)),
        }
    }
    denials
}

/// The reason why a validation could not be evaluated.
fn told(validation: &Validation, why: &EvalError) -> String {
    format!("expression '{}' resulted in error: {why}", validation.expression)
}

fn message(validation: &Validation, scope: &Scope<'_>, left: &mut u64) -> String {
    let expression = validation.message_expression.as_ref();
    let made = expression.and_then(|expression| value_of(expression, scope, left).ok());
    made.and_then(|made| cel::message(&made)).unwrap_or_else(|| match validation.message.trim() {
        "" => format!("failed expression: {}", validation.expression.trim()),
        message => message.to_owned(),
    })
}

//! Evaluates the validations of a policy on one request.

use cel::value::Fields;
use cel::{Budget, EvalError, Value as Cel};
use serde_json::Value;

use super::source::{Policy, Validation};
use crate::admission::expressions::{Input, POLICY_LIMIT, Scope, evaluate as value_of};

/// Longest message that an expression may make (upstream's `MaxEvaluatedMessageExpressionSizeBytes`).
const MAX_MESSAGE: usize = 5 * 1024;

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
    /// How many variables this one may use: those before it.
    usable: usize,
}

impl Fields for Variables<'_> {
    fn field<'a>(&'a self, name: &str, budget: &mut Budget) -> Option<Result<Cel<'a>, EvalError>> {
        let known = &self.policy.variables[..self.usable];
        let position = known.iter().position(|(own, _)| own == name)?;
        let (_, program) = &known[position];
        Some(match program {
            Err(why) => Err(failed(name, &why.to_string())),
            Ok(program) => {
                let scope = Scope { input: self.input, params: self.params, variables: Some(self) };
                program.eval(&scope, budget).map_err(|why| match why {
                    EvalError::Failed(why) => failed(name, &why),
                    cancelled => cancelled,
                })
            }
        })
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
    let usable = policy.variables.len();
    let variables = Variables { policy, input, params, usable };
    let scope = Scope { input, params, variables: Some(&variables) };
    let mut left = POLICY_LIMIT;
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
    let made = validation.message_expression.as_ref().and_then(|expression| {
        match value_of(expression, scope, left) {
            Ok(Cel::String(text)) => Some(text.to_string().trim().to_owned()),
            _ => None,
        }
    });
    let usable =
        |text: &String| !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n');
    made.filter(usable).unwrap_or_else(|| match validation.message.trim() {
        "" => format!("failed expression: {}", validation.expression.trim()),
        message => message.to_owned(),
    })
}

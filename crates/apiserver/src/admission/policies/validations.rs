//! Evaluates the validations of a policy on one request.

use cel::{EvalError, Value as Cel};
use serde_json::Value;

use super::source::Policy;
use super::validating::{Annotation, Validation, Validations};
use super::variables::Variables;
use crate::admission::expressions::{Input, Scope, evaluate as value_of};

/// A validation that does not hold.
pub(super) struct Denial {
    /// The place of the validation in the policy.
    pub(super) index: usize,
    pub(super) message: String,
    pub(super) reason: Option<&'static str>,
}

/// The findings of a policy about a request.
#[derive(Default)]
pub(super) struct Found<'p> {
    /// The validations that do not hold, or could not be evaluated.
    pub(super) denials: Vec<Denial>,
    /// The annotations of the audit event, and why some could not be evaluated.
    pub(super) annotations: Vec<(&'p str, Result<String, Unevaluated>)>,
}

/// The reason why an expression has no value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unevaluated(String);

/// Judges a request.
pub(super) fn evaluate<'p>(
    policy: &'p Policy<Validations>,
    input: &Input,
    params: Option<&Value>,
) -> Found<'p> {
    let fails = |index, message: String| -> Vec<Denial> {
        match policy.ignores_failures {
            true => Vec::new(),
            false => vec![Denial { index, message, reason: None }],
        }
    };
    match policy.conditions.hold(&Scope { input, params, variables: None }) {
        Ok(true) => {}
        Ok(false) => return Found::default(),
        Err(why) => {
            return Found { denials: fails(0, why.to_string()), annotations: Vec::new() };
        }
    }
    let variables = Variables::new(&policy.variables, input, params);
    let scope = Scope { input, params, variables: Some(&variables) };
    let mut left = cel::TOTAL_LIMIT;
    let mut denials = Vec::new();
    for (index, validation) in policy.action.validations.iter().enumerate() {
        let outcome = match &validation.program {
            Err(why) => Err(format!("compilation error: {why}")),
            Ok(program) => {
                value_of(program, &scope, &mut left).map_err(|why| told(validation, &why))
            }
        };
        match outcome {
            Ok(Cel::Bool(true)) => {}
            Ok(_) => denials.push(Denial {
                index,
                message: message(validation, &scope, &mut left),
                reason: validation.reason,
            }),
            Err(why) => denials.extend(fails(index, why)),
        }
    }
    let mut annotations = Vec::new();
    // They have a budget of their own.
    let mut left = cel::TOTAL_LIMIT;
    for annotation in &policy.action.annotations {
        if let Some(told) = annotate(annotation, policy.ignores_failures, &scope, &mut left) {
            annotations.push((annotation.key.as_str(), told));
        }
    }
    Found { denials, annotations }
}

/// The value of an annotation; `None` if there is none to publish.
fn annotate(
    annotation: &Annotation,
    ignores_failures: bool,
    scope: &Scope<'_>,
    left: &mut u64,
) -> Option<Result<String, Unevaluated>> {
    let expression = &annotation.expression;
    let failed = |why: String| (!ignores_failures).then_some(Err(Unevaluated(why)));
    let program = match &annotation.program {
        Ok(program) => program,
        Err(why) => return failed(format!("compilation error: {why}")),
    };
    match value_of(program, scope, left) {
        Ok(Cel::String(text)) => {
            let text = text.trim();
            (!text.is_empty()).then(|| Ok(text.to_owned()))
        }
        Ok(Cel::Null) => None,
        Ok(_) => Some(Err(Unevaluated(format!(
            "valueExpression '{expression}' resulted in unsupported return type: dyn. Return type \
             must be either string or null."
        )))),
        Err(why) => failed(format!("expression '{expression}' resulted in error: {why}")),
    }
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

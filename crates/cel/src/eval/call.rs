//! Calls of functions.

use super::Run;
use crate::error::EvalError;
use crate::functions::{self, Outcome, no_overload};
use crate::plan::{Call, Node};
use crate::value::Value;

impl<'a: 'v, 'v> Run<'a, 'a, 'v> {
    pub(super) fn call(&mut self, call: &'a Call) -> Outcome<'a> {
        match &call.args[..] {
            args if call.stops => self.in_order(call, args),
            [one] => match self.eval(one, true) {
                Ok(value) => self.apply(call, &[value]),
                Err(error) => self.failed(call, &[Value::Null], error),
            },
            [one, other] => self.binary(call, one, other),
            args => self.in_order(call, args),
        }
    }

    /// The first that fails ends the call, which costs something only if that was the last.
    fn in_order(&mut self, call: &'a Call, args: &'a [Node]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(args.len());
        for arg in args {
            match self.eval(arg, true) {
                Ok(value) => values.push(value),
                Err(error) if values.len() + 1 < args.len() => return Err(error),
                Err(error) => {
                    values.push(Value::Null);
                    return self.failed(call, &values, error);
                }
            }
        }
        self.apply(call, &values)
    }

    /// Both are evaluated even if one of them fails.
    fn binary(&mut self, call: &'a Call, one: &'a Node, other: &'a Node) -> Outcome<'a> {
        let one = match self.eval(one, true) {
            Err(error @ EvalError::Cancelled(_)) => return Err(error),
            outcome => outcome,
        };
        match (one, self.eval(other, true)) {
            (_, Err(error @ EvalError::Cancelled(_))) => Err(error),
            (Ok(one), Ok(other)) => self.apply(call, &[one, other]),
            (Err(error), other) => {
                self.failed(call, &[Value::Null, other.unwrap_or(Value::Null)], error)
            }
            (Ok(one), Err(error)) => self.failed(call, &[one, Value::Null], error),
        }
    }

    /// A call whose arguments failed costs as if it had been made.
    fn failed(&mut self, call: &Call, args: &[Value<'a>], error: EvalError) -> Outcome<'a> {
        if matches!(error, EvalError::Failed(_)) {
            self.budget.charge(call.rule.cost(args, None))?;
        }
        Err(error)
    }

    /// Calls the function, and charges what the call cost: before it is made, where its arguments
    /// say that already.
    pub(super) fn apply(&mut self, call: &Call, args: &[Value<'a>]) -> Outcome<'a> {
        if !call.rule.needs_result() {
            self.budget.charge(call.rule.cost(args, None))?;
        }
        let result = match (&call.regex, &call.overloads[..]) {
            (Some(regex), _) => functions::match_regex(&call.name, regex, args, self.budget),
            (None, [one]) if one.takes(args) => (one.function)(args, self.budget),
            (None, several) => match several.iter().find(|overload| overload.takes(args)) {
                Some(overload) => (overload.function)(args, self.budget),
                None => Err(no_overload(&call.name, args)),
            },
        };
        let failed_for_good = matches!(result, Err(EvalError::Cancelled(_)));
        if call.rule.needs_result() && !failed_for_good {
            self.budget.charge(call.rule.cost(args, result.as_ref().ok()))?;
        }
        result
    }
}

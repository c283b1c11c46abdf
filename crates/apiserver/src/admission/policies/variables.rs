//! The `variables` of a policy.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cel::admission::Compiled;
use cel::value::Fields;
use cel::{Budget, EvalError, Value as Cel};
use serde_json::Value;

use crate::admission::expressions::{Input, Scope};

/// How deeply variables that use each other may nest together: they are evaluated on one stack.
const MAX_HEIGHT: usize = cel::MAX_HEIGHT / 2;

/// The variables for one evaluation, evaluated when an expression asks for one.
pub(super) struct Variables<'p> {
    declared: &'p [(String, Compiled)],
    input: &'p Input,
    params: Option<&'p Value>,
    /// How many variables the one that is evaluated now may use: those before it.
    usable: AtomicUsize,
    /// The height of all that are evaluated now.
    height: AtomicUsize,
}

impl<'p> Variables<'p> {
    pub(super) fn new(
        declared: &'p [(String, Compiled)],
        input: &'p Input,
        params: Option<&'p Value>,
    ) -> Self {
        let usable = AtomicUsize::new(declared.len());
        Self { declared, input, params, usable, height: AtomicUsize::new(0) }
    }
}

impl Fields for Variables<'_> {
    fn field<'a>(&'a self, name: &str, budget: &mut Budget) -> Option<Result<Cel<'a>, EvalError>> {
        let usable = self.usable.load(Relaxed);
        let known = &self.declared[..usable];
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

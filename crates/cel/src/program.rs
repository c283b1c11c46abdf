//! A compiled expression.

use std::sync::Arc;

use crate::budget::Budget;
use crate::cost::Estimate;
use crate::error::EvalError;
use crate::eval::Run;
use crate::plan::Node;
use crate::types::Type;
use crate::value::Value;

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    pub(crate) root: Node,
    /// The first values of accumulators.
    pub(crate) inits: Vec<Node>,
    /// How many variables its macros have.
    pub(crate) slots: usize,
    pub(crate) height: usize,
    pub(crate) ty: Type,
    pub(crate) estimate: Estimate,
    pub(crate) globals: Vec<String>,
    /// Fields that are selected from a name.
    pub(crate) selected: Vec<(Arc<str>, Arc<str>)>,
}

/// The values of variables.
pub trait Variables<'a> {
    /// The value of a variable, or None if it has none.
    fn get(&self, name: &str) -> Option<Value<'a>>;
}

impl<'a, const N: usize> Variables<'a> for [(&str, Value<'a>); N] {
    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

impl<'a> Variables<'a> for Vec<(&str, Value<'a>)> {
    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}

impl Program {
    /// The type of its value.
    pub fn result_type(&self) -> &Type {
        &self.ty
    }

    /// The least and the most that an evaluation costs, by the sizes that are declared.
    pub fn estimated_cost(&self) -> Estimate {
        self.estimate
    }

    /// How deeply it nests, [`MAX_HEIGHT`] at most; the stack that it takes grows with it.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The variables that it names.
    pub fn variables(&self) -> &[String] {
        &self.globals
    }

    /// True if it selects this field from this name, to read it or to ask for it: `name.field`,
    /// `name.?field` or `has(name.field)`.
    pub fn selects(&self, name: &str, field: &str) -> bool {
        self.selected.iter().any(|(of, selected)| &**of == name && &**selected == field)
    }

    /// Evaluates it.
    pub fn eval<'a>(
        &'a self,
        variables: &dyn Variables<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        Run::new(self, variables, budget).eval(&self.root, true)
    }
}

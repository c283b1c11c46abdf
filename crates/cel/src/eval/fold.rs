//! Macros: steps over the items of a list or the keys of a map.

use std::sync::Arc;

use super::Run;
use crate::error::EvalError;
use crate::functions::{Outcome, insert_into};
use crate::plan::{Append, Fold};
use crate::value::{Map, Value};

impl<'a: 'v, 'v> Run<'a, 'a, 'v> {
    pub(super) fn fold(&mut self, fold: &'a Fold) -> Outcome<'a> {
        let range = self.eval(&fold.range, true)?;
        self.slots[fold.accumulator] = None;
        match (&range, fold.second) {
            (Value::List(list), None) => {
                for item in list.iter() {
                    self.slots[fold.variable] = Some(item);
                    if !self.step(fold)? {
                        break;
                    }
                }
            }
            (Value::List(list), Some(second)) => {
                for (index, item) in list.iter().enumerate() {
                    self.slots[fold.variable] = Some(Ok(Value::Int(index as i64)));
                    self.slots[second] = Some(item);
                    if !self.step(fold)? {
                        break;
                    }
                }
            }
            (Value::Map(map), second) => {
                for key in map.keys() {
                    if let Some(second) = second {
                        self.slots[second] = map.find(&key, self.budget);
                    }
                    self.slots[fold.variable] = Some(Ok(key));
                    if !self.step(fold)? {
                        break;
                    }
                }
            }
            (other, None) => {
                let message = format!("got '{}', expected iterable type", other.go_type());
                return Err(EvalError::new(message));
            }
            (other, Some(_)) => {
                let message = format!("unsupported comprehension range type: {}", other.go_type());
                return Err(EvalError::new(message));
            }
        }
        let result = self.eval(&fold.result, true);
        self.slots[fold.accumulator] = None;
        result
    }

    /// One step. False when the condition ends the steps.
    fn step(&mut self, fold: &'a Fold) -> Result<bool, EvalError> {
        match self.eval(&fold.condition, true) {
            Ok(Value::Bool(false)) => return Ok(false),
            Err(error @ EvalError::Cancelled(_)) => return Err(error),
            _ => {}
        }
        let step = self.eval(&fold.step, true);
        if let Err(error @ EvalError::Cancelled(_)) = step {
            return Err(error);
        }
        self.slots[fold.accumulator] = Some(step);
        self.budget.step()?;
        Ok(true)
    }

    /// Adds to the accumulator in place: nothing else can hold it, for no source can name it.
    pub(super) fn append(&mut self, append: &'a Append) -> Outcome<'a> {
        match self.local(append.accumulator, append.init, true) {
            Err(error) if append.call.stops => return Err(error),
            outcome => outcome.map(|_| ()).or_else(keep_failures)?,
        }
        let mut args = Vec::with_capacity(append.call.args.len() - 1);
        let mut failed = None;
        for arg in &append.call.args[1..] {
            match self.eval(arg, true) {
                Ok(value) => args.push(value),
                Err(error @ EvalError::Cancelled(_)) => return Err(error),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let accumulator = self.slots[append.accumulator].take();
        // A call that ends with the first argument that fails costs nothing before the last.
        let last = args.len() + 2 >= append.call.args.len();
        self.budget.charge(u64::from(!append.call.stops || failed.is_none() || last))?;
        let accumulator = accumulator.unwrap_or_else(|| Err(EvalError::no_such_overload()))?;
        if let Some(error) = failed {
            return Err(error);
        }
        match (accumulator, &mut args[..]) {
            (Value::List(mut list), [Value::List(more)]) => {
                let more = more.iter().collect::<Result<Vec<_>, _>>()?;
                list.push(more, self.budget)?;
                Ok(Value::List(list))
            }
            (Value::Map(Map::Owned(mut map)), [key, value]) => {
                let entries = Arc::make_mut(&mut map);
                insert_into(entries, key.clone(), value.clone(), self.budget)?;
                Ok(Value::Map(Map::Owned(map)))
            }
            (Value::Map(Map::Owned(mut map)), [Value::Map(more)]) => {
                let entries = Arc::make_mut(&mut map);
                for key in more.keys() {
                    if let Some(value) = more.find(&key, self.budget) {
                        insert_into(entries, key, value?, self.budget)?;
                    }
                }
                Ok(Value::Map(Map::Owned(map)))
            }
            _ => Err(EvalError::no_such_overload()),
        }
    }
}

/// An accumulator that failed stays so, but the step is still made, and costs.
fn keep_failures(error: EvalError) -> Result<(), EvalError> {
    match error {
        EvalError::Cancelled(_) => Err(error),
        EvalError::Failed(_) => Ok(()),
    }
}

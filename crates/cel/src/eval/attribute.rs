//! Selections of fields and items.

use super::Run;
use crate::budget::Budget;
use crate::error::EvalError;
use crate::functions::Outcome;
use crate::plan::{Index, Node, Select};
use crate::value::{Key, Value, double_to_int};

/// The value that a key selects, None if there is nothing.
type Found<'a> = Result<Option<Value<'a>>, EvalError>;

impl<'a: 'v, 'v> Run<'a, 'a, 'v> {
    /// The start of a chain: what is no attribute costs one more, the attribute that it becomes.
    fn start(&mut self, operand: &'a Node, charged: bool) -> Outcome<'a> {
        let value = self.eval(operand, charged || !operand.is_attribute());
        if charged && !operand.is_attribute() {
            self.budget.charge(1)?;
        }
        value
    }

    pub(super) fn select(&mut self, select: &'a Select, charged: bool) -> Outcome<'a> {
        let operand = self.start(&select.operand, charged)?;
        let field = &select.field;
        self.qualify(
            operand,
            select.optional,
            |value, budget| by_name(value, field, budget),
            || Value::str(field),
        )
    }

    pub(super) fn index(&mut self, index: &'a Index, charged: bool) -> Outcome<'a> {
        let operand = self.start(&index.operand, charged)?;
        if matches!(operand, Value::Optional(None)) {
            return Ok(operand);
        }
        let key = match self.eval(&index.index, !index.index.is_attribute()) {
            Ok(key) => key,
            Err(error) => {
                let optional = index.optional || matches!(operand, Value::Optional(_));
                self.budget.charge(u64::from(!optional))?;
                return Err(error);
            }
        };
        if Key::of(&key).is_none() {
            let optional = index.optional || matches!(operand, Value::Optional(_));
            self.budget.charge(u64::from(!optional))?;
            let message = format!("invalid qualifier type: {}", key.go_type());
            return Err(EvalError::new(message));
        }
        self.qualify(
            operand,
            index.optional,
            |value, budget| by_key(value, &key, budget),
            || key.clone(),
        )
    }

    /// Selects from a value, or from within an optional, which stays one.
    fn qualify(
        &mut self,
        operand: Value<'a>,
        optional: bool,
        find: impl Fn(&Value<'a>, &mut Budget) -> Found<'a>,
        key: impl Fn() -> Value<'a>,
    ) -> Outcome<'a> {
        let (value, optional) = match operand {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(value)) => ((*value).clone(), true),
            value => (value, optional),
        };
        let found = find(&value, self.budget);
        if optional {
            return match found? {
                Some(found) => {
                    self.budget.charge(1)?;
                    Ok(Value::some(found))
                }
                None => Ok(Value::Optional(None)),
            };
        }
        self.budget.charge(1)?;
        match found? {
            Some(found) => Ok(found),
            None if matches!(value, Value::List(_)) => {
                Err(EvalError::new(format!("index out of bounds: {}", key())))
            }
            None => Err(EvalError::new(format!("no such key: {}", key()))),
        }
    }

    pub(super) fn has(&mut self, select: &'a Select) -> Outcome<'a> {
        let operand = self.start(&select.operand, false)?;
        let (value, optional) = match operand {
            Value::Optional(None) => return Ok(Value::Bool(false)),
            Value::Optional(Some(value)) => ((*value).clone(), true),
            value => (value, false),
        };
        let found = by_name(&value, &select.field, self.budget);
        if !optional || matches!(found, Ok(Some(_))) {
            self.budget.charge(1)?;
        }
        Ok(Value::Bool(found?.is_some()))
    }
}

fn by_name<'a>(value: &Value<'a>, name: &str, budget: &mut Budget) -> Found<'a> {
    match value {
        Value::Map(map) => map.field(name, budget).transpose(),
        Value::List(_) => Err(EvalError::new("unsupported index type 'string' in list")),
        Value::Opaque(_) => Err(EvalError::no_such_overload()),
        _ => Ok(None),
    }
}

fn by_key<'a>(value: &Value<'a>, key: &Value<'a>, budget: &mut Budget) -> Found<'a> {
    match value {
        Value::Map(map) => map.find(key, budget).transpose(),
        Value::List(list) => {
            let place = place(key)?;
            usize::try_from(place).ok().and_then(|place| list.get(place)).transpose()
        }
        _ => Ok(None),
    }
}

/// The place in a list that a number means.
pub(crate) fn place(key: &Value<'_>) -> Result<i64, EvalError> {
    let whole = match key {
        Value::Int(place) => Some(*place),
        Value::Uint(place) => i64::try_from(*place).ok(),
        Value::Double(place) => double_to_int(*place).filter(|whole| *whole as f64 == *place),
        other => {
            let message = format!("unsupported index type '{}' in list", other.ty().name());
            return Err(EvalError::new(message));
        }
    };
    whole.ok_or_else(|| EvalError::new(format!("unsupported index value {key} in list")))
}

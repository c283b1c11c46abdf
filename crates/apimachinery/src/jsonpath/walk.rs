//! The search for the values at a path.

use super::{Comparison, Filter, Operand, Slice, Step};
use serde_json::{Number, Value};
use std::cmp::Ordering;

/// The path does not fit, or the search is too long.
pub(super) struct Misfit;

/// One search.
pub(super) struct Walk {
    /// Number of values that may still be passed.
    pub visits: usize,
}

type Found<'a> = Result<Vec<&'a Value>, Misfit>;

impl Walk {
    /// Follows the steps from some values.
    pub(super) fn steps<'a>(&mut self, steps: &[Step], mut values: Vec<&'a Value>) -> Found<'a> {
        for step in steps {
            values = self.step(step, values)?;
        }
        Ok(values)
    }

    fn visit(&mut self) -> Result<(), Misfit> {
        self.visits = self.visits.checked_sub(1).ok_or(Misfit)?;
        Ok(())
    }

    fn step<'a>(&mut self, step: &Step, values: Vec<&'a Value>) -> Found<'a> {
        let mut found = Vec::new();
        match step {
            Step::Union(paths) => {
                for path in paths {
                    found.extend(self.steps(path, values.clone())?);
                }
                return Ok(found);
            }
            Step::Recursive => return self.recursive(values),
            Step::Unknown => return Err(Misfit),
            _ => {}
        }
        for value in values {
            self.visit()?;
            match step {
                Step::Field(name) => found.extend(value.as_object().and_then(|map| map.get(name))),
                Step::Wildcard => {
                    for child in children(value) {
                        self.visit()?;
                        found.push(child);
                    }
                }
                Step::Slice(slice) => match value {
                    Value::Null => {}
                    Value::Array(items) => {
                        let Some((items, step)) = slice.of(items)? else { return Ok(found) };
                        for item in items.iter().step_by(step) {
                            self.visit()?;
                            found.push(item);
                        }
                    }
                    _ => return Err(Misfit),
                },
                Step::Filter(filter) => {
                    for item in value.as_array().ok_or(Misfit)? {
                        self.visit()?;
                        if self.holds(filter, item)? {
                            found.push(item);
                        }
                    }
                }
                Step::Union(_) | Step::Recursive | Step::Unknown => {}
            }
        }
        Ok(found)
    }

    /// Values that have something inside, each before what that is.
    fn recursive<'a>(&mut self, mut values: Vec<&'a Value>) -> Found<'a> {
        let mut found = Vec::new();
        values.reverse();
        while let Some(value) = values.pop() {
            self.visit()?;
            let before = values.len();
            values.extend(children(value));
            values[before..].reverse();
            // Upstream looks into texts too.
            if values.len() > before || value.as_str().is_some_and(|text| !text.is_empty()) {
                found.push(value);
            }
        }
        Ok(found)
    }

    fn holds(&mut self, filter: &Filter, item: &Value) -> Result<bool, Misfit> {
        let Some((comparison, right)) = &filter.test else {
            // A path that does not fit counts as found.
            return Ok(match &filter.left {
                Operand::Constant(_) => true,
                Operand::Path(path) => !self.steps(path, vec![item]).is_ok_and(|f| f.is_empty()),
            });
        };
        let (Some(left), Some(right)) =
            (self.operand(&filter.left, item)?, self.operand(right, item)?)
        else {
            return Ok(false);
        };
        compare(*comparison, left, right)
    }

    /// The value of an operand, if there is one.
    fn operand<'a>(
        &mut self,
        operand: &'a Operand,
        item: &'a Value,
    ) -> Result<Option<&'a Value>, Misfit> {
        match operand {
            Operand::Constant(value) => Ok(Some(value)),
            Operand::Path(path) => match self.steps(path, vec![item])?.as_slice() {
                [] => Ok(None),
                [one] => Ok(Some(one)),
                _ => Err(Misfit),
            },
        }
    }
}

fn children(value: &Value) -> impl Iterator<Item = &Value> {
    let (items, map) = (value.as_array(), value.as_object());
    items.into_iter().flatten().chain(map.into_iter().flat_map(|map| map.values()))
}

impl Slice {
    /// The part of a list, and the distance between its items; nothing for an empty part.
    fn of<'a>(&self, items: &'a [Value]) -> Result<Option<(&'a [Value], usize)>, Misfit> {
        let length = i64::try_from(items.len()).map_err(|_| Misfit)?;
        let from = self.from.unwrap_or(0);
        let mut to = match self.is_index {
            true => from.saturating_add(1),
            false => self.to.unwrap_or(length),
        };
        let from = if from < 0 { from.saturating_add(length) } else { from };
        if to < 0 || (to == 0 && self.is_index) {
            to = to.saturating_add(length);
        }
        if from == to {
            return Ok(None);
        }
        let step = match self.step {
            Some(step) => usize::try_from(step).ok().filter(|step| *step > 0).ok_or(Misfit)?,
            None => 1,
        };
        let range = usize::try_from(from).and_then(|from| Ok(from..usize::try_from(to)?));
        let part = range.ok().filter(|range| range.start < items.len());
        part.and_then(|range| items.get(range)).map(|part| Some((part, step))).ok_or(Misfit)
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, Misfit> {
    let order = match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => {
            return match comparison {
                Comparison::Equal => Ok(left == right),
                Comparison::NotEqual => Ok(left != right),
                _ => Err(Misfit),
            };
        }
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => order(left, right)?,
        _ => return Err(Misfit),
    };
    let order = order.ok_or(Misfit)?;
    Ok(match comparison {
        Comparison::Less => order == Ordering::Less,
        Comparison::LessOrEqual => order != Ordering::Greater,
        Comparison::Equal => order == Ordering::Equal,
        Comparison::NotEqual => order != Ordering::Equal,
        Comparison::GreaterOrEqual => order != Ordering::Less,
        Comparison::Greater => order == Ordering::Greater,
        Comparison::Unknown => return Err(Misfit),
    })
}

/// Upstream compares no integer with a float.
fn order(left: &Number, right: &Number) -> Result<Option<Ordering>, Misfit> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Ok(Some(left.cmp(&right))),
        (None, None) => Ok(left.as_f64().partial_cmp(&right.as_f64())),
        _ => Err(Misfit),
    }
}

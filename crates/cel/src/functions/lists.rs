//! cel-go's lists library, version 3.

use super::strings::int;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{self, Key, List, Value};

pub(super) const ROWS: &[Row] = &[
    ("slice", "list_slice", ".(list(T), int, int) -> list(T)", slice),
    ("flatten", "list_flatten", "!.(list(list(T))) -> list(T)", flatten),
    ("flatten", "list_flatten_int", "!.(list(dyn), int) -> list(dyn)", flatten),
    ("sort", "list_$_sort", "!.(list($)) -> list($)", sort),
    (
        "@sortByAssociatedKeys",
        "list_$_sortByAssociatedKeys",
        "!.(list(T), list($)) -> list(T)",
        sort_by,
    ),
    ("lists.range", "lists_range", "(int) -> list(int)", range),
    ("reverse", "list_reverse", ".(list(T)) -> list(T)", reverse),
    ("distinct", "list_distinct", ".(list(T)) -> list(T)", distinct),
];

/// An argument that is a list.
pub(super) fn list<'v, 'a>(args: &'v [Value<'a>], index: usize) -> Result<&'v List<'a>, EvalError> {
    match args.get(index) {
        Some(Value::List(list)) => Ok(list),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn made<'a>(values: Vec<Value<'a>>, budget: &mut Budget) -> Outcome<'a> {
    budget.allocate(values.len() * size_of::<Value<'_>>())?;
    Ok(Value::list(values))
}

fn slice<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let (list, start, end) = (list(args, 0)?, int(args, 1)?, int(args, 2)?);
    let wrong = |why: String| Err(EvalError::new(format!("cannot slice({start}, {end}), {why}")));
    if start < 0 || end < 0 {
        return wrong("negative indexes not supported".to_owned());
    }
    if start > end {
        return wrong("start index must be less than or equal to end index".to_owned());
    }
    if list.len() < end as usize {
        return wrong(format!("list is length {}", list.len()));
    }
    let items = (start as usize..end as usize).filter_map(|index| list.get(index));
    made(items.collect::<Result<_, _>>()?, budget)
}

fn flatten<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let depth = if args.len() > 1 { int(args, 1)? } else { 1 };
    if depth < 0 {
        return Err(EvalError::new("level must be non-negative"));
    }
    let mut flat = Vec::new();
    // Lists that wait, the innermost last, so that nesting takes no stack.
    let mut open = vec![(list(args, 0)?.clone(), 0)];
    while let Some((list, index)) = open.pop() {
        let Some(item) = list.get(index) else { continue };
        open.push((list, index + 1));
        match item? {
            Value::List(inner) if (open.len() as i64) <= depth => open.push((inner, 0)),
            item => {
                budget.allocate(size_of::<Value<'_>>())?;
                flat.push(item);
            }
        }
    }
    Ok(Value::list(flat))
}

fn sort<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let list = list(args, 0)?;
    sorted(list, list, budget)
}

fn sort_by<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    sorted(list(args, 0)?, list(args, 1)?, budget)
}

fn sorted<'a>(list: &List<'a>, keys: &List<'a>, budget: &mut Budget) -> Outcome<'a> {
    if list.len() != keys.len() {
        return Err(EvalError::new(format!(
            "@sortByAssociatedKeys() expected a list of the same size as the associated keys list, \
             but got {} and {} elements respectively",
            list.len(),
            keys.len()
        )));
    }
    let keys = keys.iter().collect::<Result<Vec<_>, _>>()?;
    let Some(first) = keys.first() else { return Ok(Value::List(list.clone())) };
    if !value::is_ordered(first) {
        return Err(EvalError::new("list elements must be comparable"));
    }
    let kind = std::mem::discriminant(first);
    if keys.iter().any(|key| std::mem::discriminant(key) != kind) {
        return Err(EvalError::new("list elements must have the same type"));
    }
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|a, b| value::compare(&keys[*a], &keys[*b]).unwrap_or(std::cmp::Ordering::Equal));
    made(order.into_iter().filter_map(|index| list.get(index)).collect::<Result<_, _>>()?, budget)
}

fn range<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let count = int(args, 0)?.max(0);
    budget.allows(count as u64)?;
    budget.allocate((count as usize).saturating_mul(size_of::<Value<'_>>()))?;
    Ok(Value::list((0..count).map(Value::Int).collect()))
}

fn reverse<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let mut values = list(args, 0)?.iter().collect::<Result<Vec<_>, _>>()?;
    values.reverse();
    made(values, budget)
}

fn distinct<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let list = list(args, 0)?;
    let mut seen = std::collections::BTreeSet::new();
    let mut kept: Vec<Value<'a>> = Vec::new();
    let mut others: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let item = item?;
        let new = match Key::of(&item) {
            Some(key) => seen.insert(key),
            None => {
                let new =
                    !others.iter().any(|other| matches!(value::equal(&item, other), Ok(true)));
                if new {
                    others.push(item.clone());
                }
                new
            }
        };
        if new {
            kept.push(item);
        }
    }
    made(kept, budget)
}

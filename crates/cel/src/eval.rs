//! Evaluates a program. What a step costs is what cel-go's cost tracker says.

mod attribute;
mod call;
mod fold;

use crate::budget::Budget;
use crate::error::EvalError;
use crate::functions::Outcome;
use crate::plan::Node;
use crate::program::{Program, Variables};
use crate::value::{Key, Map, OwnedMap, Struct, Value};

/// A list costs this to make.
pub(crate) const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;
const STRUCT_COST: u64 = 40;

/// One evaluation.
pub(crate) struct Run<'p, 'a, 'v> {
    program: &'p Program,
    variables: &'v dyn Variables<'a>,
    budget: &'v mut Budget,
    slots: Vec<Option<Outcome<'a>>>,
}

impl<'a: 'v, 'v> Run<'a, 'a, 'v> {
    pub(crate) fn new(
        program: &'a Program,
        variables: &'v dyn Variables<'a>,
        budget: &'v mut Budget,
    ) -> Self {
        Run { program, variables, budget, slots: vec![None; program.slots] }
    }

    /// The value of a node. The start of a chain of selections is not charged where it is an
    /// index or a branch, as cel-go does not see it there.
    pub(crate) fn eval(&mut self, node: &'a Node, charged: bool) -> Outcome<'a> {
        match node {
            Node::Const(value) => Ok(value.clone()),
            Node::Global(name) => self.global(name, charged),
            Node::Local(slot, init) => self.local(*slot, *init, charged),
            Node::Select(select) => self.select(select, charged),
            Node::Has(select) => self.has(select),
            Node::Index(index) => self.index(index, charged),
            Node::Call(call) => self.call(call),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Ternary(parts) => self.ternary(parts),
            Node::NotStrictlyFalse(arg) => self.not_strictly_false(arg),
            Node::InSet(value, set) => self.in_set(value, set),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Struct(name, fields) => self.object(name, fields),
            Node::OptionalOr(parts, take) => self.optional_or(parts, *take),
            Node::Fold(fold) => self.fold(fold),
            Node::Append(append) => self.append(append),
        }
    }

    fn global(&mut self, name: &str, charged: bool) -> Outcome<'a> {
        self.budget.charge(u64::from(charged))?;
        self.variables
            .get(name)
            .ok_or_else(|| EvalError::new(format!("no such attribute(s): {name}")))
    }

    fn local(&mut self, slot: usize, init: Option<usize>, charged: bool) -> Outcome<'a> {
        self.budget.charge(u64::from(charged))?;
        if let Some(value) = &self.slots[slot] {
            return value.clone();
        }
        let program: &'a Program = self.program;
        let Some(init) = init.and_then(|init| program.inits.get(init)) else {
            return Err(EvalError::new("no such attribute(s)"));
        };
        let value = self.eval(init, true);
        self.slots[slot] = Some(value.clone());
        value
    }

    /// `||`, decided by true, or `&&`, decided by false. The other side's error is ignored then.
    fn logic(&mut self, terms: &'a [Node; 2], decides: bool) -> Outcome<'a> {
        let mut failed = None;
        for term in terms {
            match self.eval(term, true) {
                Ok(Value::Bool(value)) if value == decides => return Ok(Value::Bool(value)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or_else(|| Some(EvalError::no_such_overload())),
                Err(error @ EvalError::Cancelled(_)) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(Value::Bool(!decides)), Err)
    }

    fn ternary(&mut self, parts: &'a [Node; 3]) -> Outcome<'a> {
        let [condition, then, otherwise] = parts;
        match self.eval(condition, true)? {
            Value::Bool(true) => self.eval(then, false),
            Value::Bool(false) => self.eval(otherwise, false),
            _ => Err(EvalError::no_such_overload()),
        }
    }

    fn not_strictly_false(&mut self, arg: &'a Node) -> Outcome<'a> {
        let value = self.eval(arg, true);
        self.budget.charge(1)?;
        match value {
            Err(error @ EvalError::Cancelled(_)) => Err(error),
            value => Ok(Value::Bool(!matches!(value, Ok(Value::Bool(false))))),
        }
    }

    fn in_set(&mut self, value: &'a Node, set: &'a [Key<'static>]) -> Outcome<'a> {
        let key = Key::of(&self.eval(value, true)?);
        let found = key.is_some_and(|key| set.binary_search_by(|known| known.cmp(&key)).is_ok());
        Ok(Value::Bool(found))
    }

    /// A value, or none if it is an optional without one.
    fn present(
        value: Value<'a>,
        optional: bool,
        wrong: impl FnOnce(&Value<'a>) -> String,
    ) -> Result<Option<Value<'a>>, EvalError> {
        match (value, optional) {
            (value, false) => Ok(Some(value)),
            (Value::Optional(value), true) => Ok(value.map(|value| (*value).clone())),
            (value, true) => Err(EvalError::new(wrong(&value))),
        }
    }

    fn list(&mut self, elements: &'a [(Node, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(elements.len());
        for (element, optional) in elements {
            let value = match self.eval(element, true) {
                Ok(value) => value,
                Err(error) => {
                    self.budget.charge(LIST_COST)?;
                    return Err(error);
                }
            };
            let wrong = |value: &Value<'_>| {
                format!("cannot initialize optional list element from non-optional value {value}")
            };
            values.extend(Self::present(value, *optional, wrong)?);
        }
        self.budget.charge(LIST_COST)?;
        self.budget.allocate(size_of::<Value<'_>>() * values.len())?;
        Ok(Value::list(values))
    }

    fn map(&mut self, entries: &'a [(Node, Node, bool)]) -> Outcome<'a> {
        let map = self.entries(entries);
        self.budget.charge(MAP_COST)?;
        Ok(Value::Map(Map::Owned(map?.into())))
    }

    fn entries(&mut self, entries: &'a [(Node, Node, bool)]) -> Result<OwnedMap<'a>, EvalError> {
        let mut map = OwnedMap::new();
        for (key, value, optional) in entries {
            let key = self.eval(key, true)?;
            let value = self.eval(value, true)?;
            let Some(place) = Key::of(&key) else {
                let message = format!("unsupported key type: {}", key.ty().name());
                return Err(EvalError::new(message));
            };
            let wrong = |value: &Value<'_>| {
                format!("cannot initialize optional entry '{key}' from non-optional value {value}")
            };
            match Self::present(value, *optional, wrong)? {
                Some(value) => map.insert(place, (key, value)),
                None => map.remove(&place),
            };
        }
        Ok(map)
    }

    fn object(
        &mut self,
        name: &std::sync::Arc<str>,
        fields: &'a [(std::sync::Arc<str>, Node, bool)],
    ) -> Outcome<'a> {
        let mut object = Struct { name: name.clone(), fields: Default::default() };
        for (field, value, optional) in fields {
            let value = self.eval(value, true)?;
            let wrong = |value: &Value<'_>| {
                format!(
                    "cannot initialize optional entry '{field}' from non-optional value {value}"
                )
            };
            match Self::present(value, *optional, wrong)? {
                Some(value) => object.fields.insert(field.clone(), value),
                None => object.fields.remove(field),
            };
        }
        self.budget.charge(STRUCT_COST)?;
        Ok(Value::Map(Map::Struct(object.into())))
    }

    fn optional_or(&mut self, parts: &'a [Node; 2], take: bool) -> Outcome<'a> {
        match self.eval(&parts[0], true)? {
            Value::Optional(Some(value)) if take => Ok((*value).clone()),
            Value::Optional(None) => self.eval(&parts[1], true),
            other => Ok(other),
        }
    }
}

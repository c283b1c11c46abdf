//! The most that an expression costs, before it is evaluated: cel-go's estimator, for the sizes
//! that the schemas of its variables declare.

use std::collections::HashMap;
use std::sync::Arc;

use super::functions::{Costed, call_cost};
use super::size::Estimate;
use crate::ast::{ACCUMULATOR, Ast, Expr, Fold, Kind, Literal};
use crate::env::Env;
use crate::functions::Functions;
use crate::types::Type;

/// The cost of an expression.
pub(crate) fn estimate(env: &Env, ast: &Ast) -> Estimate {
    Coster {
        env,
        ast,
        paths: HashMap::new(),
        locals: Vec::new(),
        sizes: HashMap::new(),
        entries: HashMap::new(),
    }
    .cost(&ast.root)
}

type Path = Vec<Arc<str>>;

/// Paths that are longer lead nowhere that is declared.
const MAX_PATH: usize = 64;

/// The sizes of the keys and of the values of a container.
#[derive(Debug, Clone, Copy)]
struct Entry {
    list: bool,
    key: Estimate,
    value: Estimate,
}

struct Local {
    name: Arc<str>,
    path: Path,
    size: Option<Estimate>,
    entry: Option<Entry>,
}

pub(super) struct Coster<'e> {
    env: &'e Env,
    ast: &'e Ast,
    paths: HashMap<usize, Path>,
    locals: Vec<Local>,
    sizes: HashMap<usize, Estimate>,
    entries: HashMap<usize, Entry>,
}

impl<'e> Coster<'e> {
    fn cost(&mut self, expr: &Expr) -> Estimate {
        match &expr.kind {
            Kind::Literal(_) | Kind::Error => Estimate::fixed(0),
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => vec![name.clone()],
                };
                self.paths.insert(expr.id, path);
                Estimate::fixed(1)
            }
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { function, target, args } => {
                self.call(expr, function, target.as_deref(), args)
            }
            Kind::List { elements } => {
                let mut sum = Estimate::fixed(10);
                let mut size = empty_or(elements.is_empty());
                for element in elements {
                    sum = sum.plus(self.cost(&element.value));
                    size = size.union(self.size_or_unknown(&element.value));
                }
                let entry = Entry { list: true, key: Estimate::fixed(1), value: size };
                self.entries.insert(expr.id, entry);
                sum
            }
            Kind::Map { entries } => {
                let mut sum = Estimate::fixed(30);
                let mut key = empty_or(entries.is_empty());
                let mut value = key;
                for entry in entries {
                    sum = sum.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
                    key = key.union(self.size_or_unknown(&entry.key));
                    value = value.union(self.size_or_unknown(&entry.value));
                }
                self.entries.insert(expr.id, Entry { list: false, key, value });
                sum
            }
            Kind::Struct { fields, .. } => {
                fields.iter().fold(Estimate::fixed(40), |sum, f| sum.plus(self.cost(&f.value)))
            }
            Kind::Fold(fold) if is_bind(fold) => self.bind(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local> {
        self.locals.iter().rev().find(|local| &*local.name == name)
    }

    fn path(&self, expr: &Expr) -> Path {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn path_to(&self, expr: &Expr, step: &str) -> Path {
        let mut path = self.path(expr);
        if path.len() < MAX_PATH {
            path.push(step.into());
        }
        path
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Estimate {
        let mut sum = self.cost(operand);
        if test {
            return sum;
        }
        if matches!(self.ast.ty(operand), Type::Map(..) | Type::Object(_) | Type::Param(_)) {
            sum = sum.plus(Estimate::fixed(1));
        }
        let path = self.path_to(operand, field);
        self.paths.insert(expr.id, path);
        sum
    }

    fn call(
        &mut self,
        expr: &Expr,
        function: &str,
        target: Option<&Expr>,
        args: &[Expr],
    ) -> Estimate {
        if let ("dyn", [arg]) = (function, args) {
            let cost = self.cost(arg).plus(Estimate::fixed(1));
            self.copy_sizes(expr, arg);
            return cost;
        }
        let arg_costs: Vec<Estimate> = args.iter().map(|arg| self.cost(arg)).collect();
        let overloads = self.ast.overloads.get(expr.id).map(Vec::as_slice).unwrap_or_default();
        if overloads.is_empty() && function != "_?._" {
            return Estimate::fixed(0);
        }
        let target_cost = target.map_or(Estimate::fixed(0), |target| self.cost(target));
        let mut cost = Estimate::new(u64::MAX, 0);
        let mut size: Option<Estimate> = None;
        let ids: Vec<&str> = match function {
            "_?._" => vec!["select_optional_field"],
            _ => overloads.iter().map(|index| Functions::get().overloads[*index].id).collect(),
        };
        for id in ids {
            let Costed { cost: one, size: result } =
                self.function(expr, function, id, target, args, &arg_costs);
            cost = cost.union(one);
            if let Some(result) = result {
                size = Some(size.map_or(result, |size| size.union(result)));
            }
            if let ("index_list" | "index_map", Some(container)) = (id, args.first()) {
                size = self.entry(container).map(|entry| entry.value);
                let step = if id == "index_list" { "@items" } else { "@values" };
                let path = self.path_to(container, step);
                self.paths.insert(expr.id, path);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        target_cost.plus(cost)
    }

    fn function(
        &mut self,
        expr: &Expr,
        function: &str,
        id: &str,
        target: Option<&Expr>,
        args: &[Expr],
        costs: &[Estimate],
    ) -> Costed {
        match (id, costs) {
            ("logical_or" | "logical_and", [left, right]) => {
                return Costed::new(Estimate::new(left.min, left.plus(*right).max));
            }
            ("conditional", [condition, then, otherwise]) => {
                let size = self.size_or_unknown(&args[1]).union(self.size_or_unknown(&args[2]));
                self.join_entries(expr, &args[1], &args[2]);
                let cost = condition.plus(then.union(*otherwise));
                return Costed::new(cost).with_size(size);
            }
            ("add_string" | "add_bytes" | "add_list", [_, _]) => {
                self.join_entries(expr, &args[0], &args[1]);
            }
            _ => {}
        }
        let sum = costs.iter().fold(Estimate::fixed(0), |sum, cost| sum.plus(*cost));
        let costed = call_cost(self, function, id, target, args);
        Costed { cost: costed.cost.plus(sum), size: costed.size }
    }

    fn join_entries(&mut self, expr: &Expr, one: &Expr, other: &Expr) {
        if let (Some(a), Some(b)) = (self.entry(one), self.entry(other)) {
            let joined =
                Entry { list: a.list, key: a.key.union(b.key), value: a.value.union(b.value) };
            self.entries.insert(expr.id, joined);
        }
    }

    fn push(&mut self, name: &Arc<str>, path: Path, size: Option<Estimate>, entry: Option<Entry>) {
        self.locals.push(Local { name: name.clone(), path, size, entry });
    }

    /// A fold over nothing, which only gives a value a name.
    fn bind(&mut self, expr: &Expr, fold: &Fold) -> Estimate {
        let sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_accumulator(fold);
        let sum = sum.plus(self.cost(&fold.result));
        self.locals.pop();
        // The size of the result is found while its names are known.
        self.push_accumulator(fold);
        self.copy_sizes(expr, &fold.result);
        self.locals.pop();
        sum
    }

    fn push_accumulator(&mut self, fold: &Fold) {
        let path = self.path(&fold.init);
        let (size, entry) = (self.size(&fold.init), self.entry(&fold.init));
        self.push(&fold.accumulator, path, size, entry);
    }

    fn fold(&mut self, expr: &Expr, fold: &Fold) -> Estimate {
        let mut sum = self.cost(&fold.range).plus(self.cost(&fold.init));
        let depth = self.locals.len();
        self.push_accumulator(fold);
        let entry = self.entry(&fold.range);
        let list = match entry {
            Some(entry) => entry.list,
            None => matches!(self.ast.ty(&fold.range), Type::List(_)),
        };
        let (keys, values) = (entry.map(|entry| entry.key), entry.map(|entry| entry.value));
        match &fold.second {
            Some(second) => {
                let step = if list { "@indices" } else { "@keys" };
                let path = self.path_to(&fold.range, step);
                self.push(&fold.variable, path, keys, None);
                let step = if list { "@items" } else { "@values" };
                let path = self.path_to(&fold.range, step);
                self.push(second, path, values, None);
            }
            None => {
                let (step, size) = if list { ("@items", values) } else { ("@keys", keys) };
                let path = self.path_to(&fold.range, step);
                self.push(&fold.variable, path, size, None);
            }
        }
        let each = self.cost(&fold.condition).plus(self.cost(&fold.step));
        self.locals.truncate(depth + 1);
        sum = sum.plus(self.cost(&fold.result));
        self.locals.truncate(depth);
        let count = self.size_or_unknown(&fold.range);
        match &fold.init.kind {
            Kind::Literal(_) => {
                if let Some(size) = self.size(&fold.init) {
                    self.sizes.insert(expr.id, size);
                }
            }
            Kind::List { .. } | Kind::Map { .. } => {
                self.sizes.insert(expr.id, count);
                if let Some(entry) = self.entry(&fold.step) {
                    self.entries.insert(expr.id, entry);
                }
            }
            _ => {}
        }
        sum.plus(count.times(each))
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        if let Some(size) = self.size(from) {
            self.sizes.insert(to.id, size);
        }
        if let Some(entry) = self.entry(from) {
            self.entries.insert(to.id, entry);
        }
    }

    fn entry(&self, expr: &Expr) -> Option<Entry> {
        if let Some(entry) = self.entries.get(&expr.id) {
            return Some(*entry);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.entry,
            _ => None,
        }
    }

    /// The declared size of what a path leads to. As upstream, whatever the first step is called,
    /// it means the declared root.
    fn declared(&self, path: &[Arc<str>]) -> Option<Estimate> {
        let (root, rest) = path.split_first()?;
        let schemas = &self.env.schemas;
        let schema = schemas.get(&**root).or_else(|| schemas.get("self"))?;
        schema.max_size_at(rest).map(|max| Estimate::new(0, max))
    }

    pub(super) fn size(&mut self, expr: &Expr) -> Option<Estimate> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = own_size(expr) {
            return Some(Estimate::fixed(size));
        }
        if let Some(size) = self.declared(&self.path(expr)) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if self.ast.ty(expr).is_scalar() {
            return Some(Estimate::fixed(1));
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name)?.size,
            _ => None,
        }
    }

    pub(super) fn size_or_unknown(&mut self, expr: &Expr) -> Estimate {
        self.size(expr).unwrap_or(Estimate::UNKNOWN)
    }

    pub(super) fn ty(&self, expr: &Expr) -> &'e Type {
        self.ast.ty(expr)
    }

    /// The declared size of the items of a list.
    pub(super) fn item_size(&self, list: &Expr) -> Estimate {
        let path = self.path(list);
        match path.first() {
            Some(root) if &**root != ACCUMULATOR => {
                self.declared(&self.path_to(list, "@items")).unwrap_or(Estimate::UNKNOWN)
            }
            _ => Estimate::UNKNOWN,
        }
    }
}

fn empty_or(empty: bool) -> Estimate {
    Estimate::new(if empty { 0 } else { u64::MAX }, 0)
}

fn is_bind(fold: &Fold) -> bool {
    matches!(&fold.range.kind, Kind::List { elements } if elements.is_empty())
        && matches!(&fold.condition.kind, Kind::Literal(Literal::Bool(false)))
        && &*fold.accumulator != ACCUMULATOR
}

/// The size of what is written out.
fn own_size(expr: &Expr) -> Option<u64> {
    let size = match &expr.kind {
        Kind::Literal(Literal::String(text)) => text.chars().count(),
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len(),
        Kind::Literal(_) => 1,
        Kind::List { elements } => elements.len(),
        Kind::Map { entries } => entries.len(),
        _ => return None,
    };
    Some(size as u64)
}

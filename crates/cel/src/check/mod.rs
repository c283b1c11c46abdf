//! Types of expressions, as cel-go's checker finds them and with its messages.

mod calls;
mod literals;
mod unify;
mod validate;

use std::sync::Arc;

use self::unify::Mapping;
use crate::ast::{Ast, Expr, Fold, Kind, Literal};
use crate::env::Env;
use crate::error::{CompileError, Issue, Location};
use crate::functions::Functions;
use crate::types::Type;

/// Types with more parts are refused: they double with each name for `{x: x}`.
const MAX_TYPE: usize = 1000;

/// The expression with the types of its nodes and the functions of its calls.
pub(crate) fn check(
    env: &Env,
    source: &str,
    mut root: Expr,
    locations: Vec<Location>,
) -> Result<Ast, CompileError> {
    let count = locations.len();
    let mut checker = Checker {
        env,
        functions: Functions::get(),
        mapping: Mapping::default(),
        scopes: Vec::new(),
        issues: Vec::new(),
        types: vec![None; count],
        overloads: vec![Vec::new(); count],
        locations,
    };
    checker.check(&mut root);
    let Checker { mapping, issues, types, overloads, locations, .. } = checker;
    if !issues.is_empty() {
        return Err(CompileError::new(source, issues));
    }
    let types = types.into_iter().map(|ty| ty.map(|ty| mapping.substitute(&ty, true))).collect();
    let ast = Ast { root, locations, types, overloads };
    let issues = validate::validate(&ast);
    if issues.is_empty() { Ok(ast) } else { Err(CompileError::new(source, issues)) }
}

struct Checker<'e> {
    env: &'e Env,
    functions: &'static Functions,
    mapping: Mapping,
    /// Variables of macros, the innermost last.
    scopes: Vec<(Arc<str>, Type)>,
    issues: Vec<Issue>,
    types: Vec<Option<Type>>,
    overloads: Vec<Vec<usize>>,
    locations: Vec<Location>,
}

impl Checker<'_> {
    fn wrong(&mut self, id: usize, message: String) {
        let location = self.locations.get(id).copied().unwrap_or(Location::NONE);
        self.issues.push(Issue { location, message });
    }

    fn mismatch(&mut self, id: usize, expected: &Type, found: &Type) {
        self.wrong(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn undeclared(&mut self, id: usize, name: &str) {
        self.wrong(id, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn set(&mut self, id: usize, ty: Type) {
        let mut left = MAX_TYPE;
        let ty = if unify::fits(&ty, &mut left) {
            ty
        } else {
            self.wrong(id, "the type of this expression is too large".to_owned());
            Type::Error
        };
        self.types[id] = Some(ty);
    }

    fn get(&self, expr: &Expr) -> Type {
        self.types[expr.id].clone().unwrap_or(Type::Error)
    }

    /// The type of what a name stands for.
    fn lookup(&self, name: &str) -> Option<Type> {
        let name = match name.strip_prefix('.') {
            Some(name) => name,
            None => {
                let local = self.scopes.iter().rev().find(|(local, _)| &**local == name);
                if let Some((_, ty)) = local {
                    return Some(ty.clone());
                }
                name
            }
        };
        self.env.lookup(name)
    }

    fn check(&mut self, expr: &mut Expr) {
        let id = expr.id;
        match &mut expr.kind {
            Kind::Error => self.set(id, Type::Error),
            Kind::Literal(literal) => {
                let ty = literal.ty();
                self.set(id, ty);
            }
            Kind::Ident(name) => match self.lookup(name) {
                Some(ty) => self.set(id, ty),
                None => {
                    let name = name.clone();
                    self.undeclared(id, &name);
                    self.set(id, Type::Error);
                }
            },
            Kind::Select { .. } => self.select(expr),
            Kind::Call { .. } => self.call(expr),
            Kind::List { .. } => self.list(expr),
            Kind::Map { .. } => self.map(expr),
            Kind::Struct { .. } => self.object(expr),
            Kind::Fold(fold) => self.fold(id, fold),
        }
    }

    fn select(&mut self, expr: &mut Expr) {
        // A dotted name may be a variable.
        if let Some(name) = expr.qualified_name() {
            let root = name.trim_start_matches('.').split('.').next().unwrap_or_default();
            let shadowed = self.scopes.iter().any(|(local, _)| &**local == root);
            if let Some(ty) = self.lookup(&name).filter(|_| !shadowed) {
                self.set(expr.id, ty);
                expr.kind = Kind::Ident(name.into());
                return;
            }
        }
        let id = expr.id;
        let Kind::Select { operand, field, test } = &mut expr.kind else { return };
        let ty = self.field(id, operand, field, false);
        let ty = if *test { Type::Bool } else { self.mapping.substitute(&ty, false) };
        self.set(id, ty);
    }

    /// The type of a field of an expression.
    fn field(&mut self, id: usize, operand: &mut Expr, field: &str, optional: bool) -> Type {
        self.check(operand);
        let ty = self.mapping.substitute(&self.get(operand), false);
        let (target, was_optional) = match &ty {
            Type::Optional(inner) => ((**inner).clone(), true),
            _ => (ty, false),
        };
        let result = match &target {
            Type::Map(_, value) => (**value).clone(),
            Type::Object(object) => match self.env.field_type(object, field) {
                Some(ty) => ty,
                None => {
                    self.wrong(id, format!("undefined field '{field}'"));
                    Type::Error
                }
            },
            Type::Opaque(name) if !name.starts_with("net.") => {
                self.wrong(id, format!("unexpected failed resolution of '{name}'"));
                Type::Error
            }
            Type::Param(_) => {
                self.mapping.assign(&Type::Dyn, &target);
                Type::Dyn
            }
            _ => {
                if !target.is_dyn_or_error() {
                    self.wrong(id, format!("type '{target}' does not support field selection"));
                }
                Type::Dyn
            }
        };
        if was_optional || optional { Type::optional(result) } else { result }
    }

    /// The selection of a field that may be absent.
    fn optional_select(&mut self, id: usize, args: &mut [Expr]) {
        let [operand, field] = args else { return };
        let Kind::Literal(Literal::String(name)) = &field.kind else { return };
        let name = name.clone();
        let ty = self.field(id, operand, &name, true);
        let ty = self.mapping.substitute(&ty, false);
        self.set(id, ty);
    }

    fn fold(&mut self, id: usize, fold: &mut Fold) {
        self.check(&mut fold.range);
        self.check(&mut fold.init);
        let range = self.mapping.substitute(&self.get(&fold.range), false);
        let accumulated = self.get(&fold.init);
        let depth = self.scopes.len();
        self.scopes.push((fold.accumulator.clone(), accumulated.clone()));
        let two = fold.second.is_some();
        let (first, second) = match &range {
            Type::List(item) if two => (Type::Int, (**item).clone()),
            Type::List(item) => ((**item).clone(), Type::Dyn),
            Type::Map(key, value) => ((**key).clone(), (**value).clone()),
            Type::Dyn | Type::Error | Type::Param(_) => {
                self.mapping.assign(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            _ => {
                self.wrong(
                    fold.range.id,
                    format!(
                        "expression of type '{range}' cannot be range of a comprehension (must \
                         be list, map, or dynamic)"
                    ),
                );
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.scopes.push((name.clone(), second));
        }
        self.check(&mut fold.condition);
        self.assert(&fold.condition, &Type::Bool);
        self.check(&mut fold.step);
        self.assert(&fold.step, &accumulated);
        self.scopes.truncate(depth + 1);
        self.check(&mut fold.result);
        self.scopes.truncate(depth);
        let ty = self.mapping.substitute(&self.get(&fold.result), false);
        self.set(id, ty);
    }

    fn assert(&mut self, expr: &Expr, ty: &Type) {
        let found = self.get(expr);
        if !self.mapping.assign(ty, &found) {
            self.mismatch(expr.id, ty, &found);
        }
    }
}

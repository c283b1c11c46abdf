//! Which overloads a call may mean.

use super::{Checker, unify};
use crate::ast::{Expr, Kind};
use crate::types::Type;

impl Checker<'_> {
    pub(super) fn call(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Call { function, target, args } = &mut expr.kind else { return };
        if &**function == "_?._" {
            return self.optional_select(id, args);
        }
        for arg in args.iter_mut() {
            self.check(arg);
        }
        let Some(receiver) = target else {
            let name = function.trim_start_matches('.').to_owned();
            let Some(overloads) = self.env.function(&name) else {
                self.undeclared(id, function);
                self.set(id, Type::Error);
                return;
            };
            let types = args.iter().map(|arg| self.get(arg)).collect();
            return self.resolve(id, &name, overloads, types, false, args);
        };
        // Before the dot stands a namespace, or the value that is called on.
        let qualified = receiver.qualified_name().map(|prefix| format!("{prefix}.{function}"));
        if let Some(name) = qualified
            && let Some(overloads) = self.env.function(&name)
        {
            *function = name.as_str().into();
            *target = None;
            let types = args.iter().map(|arg| self.get(arg)).collect();
            return self.resolve(id, &name, overloads, types, false, args);
        }
        self.check(receiver);
        let Some(overloads) = self.env.function(function) else {
            self.set(id, Type::Error);
            self.undeclared(id, function);
            return;
        };
        let types = [&**receiver].into_iter().chain(args.iter()).map(|arg| self.get(arg)).collect();
        self.resolve(id, function, overloads, types, true, args);
    }

    fn resolve(
        &mut self,
        id: usize,
        name: &str,
        overloads: &[usize],
        mut types: Vec<Type>,
        member: bool,
        args: &[Expr],
    ) {
        let mut found: Option<Type> = None;
        for &index in overloads {
            let overload = &self.functions.overloads[index];
            if overload.member != member {
                continue;
            }
            if matches!(name, "_&&_" | "_||_") {
                return self.logic(id, index, &types, args);
            }
            let (params, result) = self.mapping.instantiate(overload);
            if !self.mapping.assign_all(&types, &params) {
                continue;
            }
            self.overloads[id].push(index);
            let result = self.mapping.substitute(&result, false);
            found = Some(match found {
                None => result,
                Some(found) if found.is_dyn() || result.is_exactly(&found) => found,
                Some(_) => Type::Dyn,
            });
        }
        match found {
            Some(ty) => self.set(id, ty),
            None => {
                for ty in &mut types {
                    *ty = self.mapping.substitute(ty, true);
                }
                let signature = unify::signature(&types, member);
                let message =
                    format!("found no matching overload for '{name}' applied to '{signature}'");
                self.wrong(id, message);
                self.set(id, Type::Error);
            }
        }
    }

    fn logic(&mut self, id: usize, overload: usize, types: &[Type], args: &[Expr]) {
        let mut ty = Type::Bool;
        for (arg, found) in args.iter().zip(types) {
            if !self.mapping.assign(found, &Type::Bool) {
                self.mismatch(arg.id, &Type::Bool, found);
                ty = Type::Error;
            }
        }
        self.overloads[id].push(overload);
        self.set(id, ty);
    }
}

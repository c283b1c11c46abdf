//! Type parameters and what they stand for.

use std::sync::Arc;

use crate::functions::Overload;
use crate::types::Type;

/// The types for which parameters stand, and the changes, to undo those that did not fit.
#[derive(Default)]
pub(super) struct Mapping {
    bound: Vec<Option<Type>>,
    trail: Vec<(usize, Option<Type>)>,
}

impl Mapping {
    pub(super) fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Param(self.bound.len() as u32 - 1)
    }

    fn find(&self, ty: &Type) -> Option<&Type> {
        match ty {
            Type::Param(id) => self.bound.get(*id as usize)?.as_ref(),
            _ => None,
        }
    }

    fn bind(&mut self, param: &Type, ty: Type) {
        if let Type::Param(id) = param {
            let place = &mut self.bound[*id as usize];
            self.trail.push((*id as usize, place.replace(ty)));
        }
    }

    fn all_or_nothing(&mut self, fits: impl FnOnce(&mut Self) -> bool) -> bool {
        self.trail.clear();
        let fits = fits(self);
        if !fits {
            while let Some((id, before)) = self.trail.pop() {
                self.bound[id] = before;
            }
        }
        fits
    }

    /// True if a value of the first type can be one of the second, which may decide what
    /// parameters stand for.
    pub(super) fn assign(&mut self, from: &Type, to: &Type) -> bool {
        self.all_or_nothing(|mapping| mapping.assignable(from, to))
    }

    pub(super) fn assign_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        from.len() == to.len()
            && self.all_or_nothing(|mapping| {
                from.iter().zip(to).all(|(from, to)| mapping.assignable(from, to))
            })
    }

    /// The parameters and the result of a function, with type parameters of this call.
    pub(super) fn instantiate(&mut self, overload: &Overload) -> (Vec<Type>, Type) {
        let mut letters: Vec<(char, Type)> = Vec::new();
        let params = overload.params.iter().map(|ty| self.instance(ty, &mut letters)).collect();
        (params, self.instance(&overload.result, &mut letters))
    }

    fn instance(&mut self, ty: &Type, letters: &mut Vec<(char, Type)>) -> Type {
        match ty {
            Type::Letter(letter) => {
                if let Some((_, param)) = letters.iter().find(|(known, _)| known == letter) {
                    return param.clone();
                }
                let param = self.fresh();
                letters.push((*letter, param.clone()));
                param
            }
            _ => rebuild(ty, &mut |inner| self.instance(inner, letters)),
        }
    }

    /// The type with everything that parameters stand for; what is still open is any type.
    pub(super) fn substitute(&self, ty: &Type, open_is_dyn: bool) -> Type {
        if let Some(bound) = self.find(ty) {
            return self.substitute(bound, open_is_dyn);
        }
        match ty {
            Type::Param(_) if open_is_dyn => Type::Dyn,
            _ => rebuild(ty, &mut |inner| self.substitute(inner, open_is_dyn)),
        }
    }

    fn assignable(&mut self, from: &Type, to: &Type) -> bool {
        if matches!(to, Type::Param(_)) {
            let (valid, bound) = self.valid(from, to);
            if valid {
                return true;
            }
            if bound {
                return false;
            }
        }
        if matches!(from, Type::Param(_)) {
            return self.valid(to, from).0;
        }
        if from.is_dyn_or_error() || to.is_dyn_or_error() {
            return true;
        }
        match (from, to) {
            (Type::Null, other) | (other, Type::Null) => matches!(
                other,
                Type::Null
                    | Type::Object(_)
                    | Type::Opaque(_)
                    | Type::Optional(_)
                    | Type::Duration
                    | Type::Timestamp
            ),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
                self.assignable(a, b)
            }
            (Type::Map(a, b), Type::Map(c, d)) => self.assignable(a, c) && self.assignable(b, d),
            (a, b) => a.is_exactly(b),
        }
    }

    /// True if the parameter `param` can stand for `ty`, and whether it stood for something.
    fn valid(&mut self, ty: &Type, param: &Type) -> (bool, bool) {
        if ty.is_exactly(param) {
            return (true, true);
        }
        if let Some(bound) = self.find(param).cloned() {
            if ty.is_exactly(&bound) {
                return (true, true);
            }
            if self.assignable(ty, &bound) {
                let general = more_general(ty, &bound).clone();
                if self.not_within(param, &general) {
                    self.bind(param, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.not_within(param, ty) {
            self.bind(param, ty.clone());
            return (true, false);
        }
        (false, false)
    }

    fn not_within(&self, param: &Type, ty: &Type) -> bool {
        if param.is_exactly(ty) {
            return false;
        }
        match ty {
            Type::Param(_) => self.find(ty).is_none_or(|bound| self.not_within(param, bound)),
            Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => {
                self.not_within(param, inner)
            }
            Type::Map(key, value) => self.not_within(param, key) && self.not_within(param, value),
            _ => true,
        }
    }
}

/// The type with its parts replaced.
fn rebuild(ty: &Type, part: &mut dyn FnMut(&Type) -> Type) -> Type {
    match ty {
        Type::List(inner) => Type::List(Arc::new(part(inner))),
        Type::Optional(inner) => Type::Optional(Arc::new(part(inner))),
        Type::Map(key, value) => Type::Map(Arc::new(part(key)), Arc::new(part(value))),
        Type::Type(Some(inner)) => Type::Type(Some(Arc::new(part(inner)))),
        other => other.clone(),
    }
}

/// True if a type has no more parts than this.
pub(super) fn fits(ty: &Type, left: &mut usize) -> bool {
    let Some(rest) = left.checked_sub(1) else { return false };
    *left = rest;
    match ty {
        Type::List(inner) | Type::Optional(inner) | Type::Type(Some(inner)) => fits(inner, left),
        Type::Map(key, value) => fits(key, left) && fits(value, left),
        _ => true,
    }
}

/// Of two types that fit each other, the one that says less.
pub(super) fn more_general<'t>(a: &'t Type, b: &'t Type) -> &'t Type {
    if says_less(a, b) { a } else { b }
}

fn says_less(a: &Type, b: &Type) -> bool {
    if matches!(a, Type::Dyn | Type::Param(_)) {
        return true;
    }
    if matches!(b, Type::Dyn | Type::Param(_)) {
        return false;
    }
    match (a, b) {
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => says_less(a, b),
        (Type::Map(a, b), Type::Map(c, d)) => says_less(a, c) && says_less(b, d),
        (Type::Type(_), Type::Type(_)) => true,
        (a, b) => a.is_exactly(b),
    }
}

/// Arguments as messages write them.
pub(super) fn signature(types: &[Type], member: bool) -> String {
    let mut types: Vec<String> = types.iter().map(Type::to_string).collect();
    let target =
        if member && !types.is_empty() { format!("{}.", types.remove(0)) } else { String::new() };
    format!("{target}({})", types.join(", "))
}

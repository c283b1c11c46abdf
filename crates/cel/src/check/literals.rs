//! Types of lists, maps and objects that an expression makes.

use super::{Checker, unify};
use crate::ast::{Expr, Kind};
use crate::types::Type;

impl Checker<'_> {
    /// The type of a part, without the optional that the part is marked with.
    fn part(&mut self, expr: &Expr, optional: bool) -> Type {
        let ty = self.get(expr);
        match (&ty, optional) {
            (Type::Optional(inner), true) => (**inner).clone(),
            (_, true) if !ty.is_dyn() => {
                self.mismatch(expr.id, &Type::optional(ty.clone()), &ty);
                ty
            }
            _ => ty,
        }
    }

    /// The type for both.
    fn join(&mut self, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.mapping.assign(&previous, &current) {
            return unify::more_general(&previous, &current).clone();
        }
        Type::Dyn
    }

    pub(super) fn list(&mut self, expr: &mut Expr) {
        let Kind::List { elements } = &mut expr.kind else { return };
        let mut joined = None;
        for element in elements {
            self.check(&mut element.value);
            let ty = self.part(&element.value, element.optional);
            joined = Some(self.join(joined, ty));
        }
        let item = joined.unwrap_or_else(|| self.mapping.fresh());
        self.set(expr.id, Type::list(item));
    }

    pub(super) fn map(&mut self, expr: &mut Expr) {
        let Kind::Map { entries } = &mut expr.kind else { return };
        let (mut keys, mut values) = (None, None);
        for entry in entries {
            self.check(&mut entry.key);
            let key = self.get(&entry.key);
            keys = Some(self.join(keys, key));
            self.check(&mut entry.value);
            let value = self.part(&entry.value, entry.optional);
            values = Some(self.join(values, value));
        }
        let key = keys.unwrap_or_else(|| self.mapping.fresh());
        let value = values.unwrap_or_else(|| self.mapping.fresh());
        self.set(expr.id, Type::map(key, value));
    }

    pub(super) fn object(&mut self, expr: &mut Expr) {
        let id = expr.id;
        let Kind::Struct { name, fields } = &mut expr.kind else { return };
        let Some(ty) = self.lookup(name) else {
            let name = name.clone();
            self.undeclared(id, &name);
            self.set(id, Type::Error);
            return;
        };
        let object = match &ty {
            Type::Type(Some(inner)) => match &**inner {
                Type::Object(object) => object.clone(),
                other => {
                    self.wrong(id, format!("'{}' is not a message type", other.name()));
                    self.set(id, Type::Error);
                    return;
                }
            },
            other => {
                self.wrong(id, format!("'{}' is not a type", other.name()));
                self.set(id, Type::Error);
                return;
            }
        };
        self.set(id, Type::Object(object.clone()));
        for field in fields {
            self.check(&mut field.value);
            let declared = match self.env.field_type(&object, &field.name) {
                Some(ty) => ty,
                None => {
                    self.wrong(field.id, format!("undefined field '{}'", field.name));
                    Type::Error
                }
            };
            let value = self.part(&field.value, field.optional);
            if !self.mapping.assign(&declared, &value) {
                let message = format!(
                    "expected type of field '{}' is '{declared}' but provided type is '{value}'",
                    field.name
                );
                self.wrong(field.id, message);
            }
        }
    }
}

//! Which variables and types an expression sees.

use std::collections::HashMap;
use std::sync::Arc;

use crate::check::check;
use crate::cost::estimate;
use crate::error::CompileError;
use crate::functions::Functions;
use crate::plan::plan;
use crate::program::Program;
use crate::schema::{Kind, ObjectType, Schema};
use crate::syntax::parse;
use crate::types::Type;

/// The variables and types of expressions, and all functions of Kubernetes 1.37.
#[derive(Debug, Clone, Default)]
pub struct Env {
    variables: HashMap<String, Type>,
    pub(crate) schemas: HashMap<String, Arc<Schema>>,
    objects: HashMap<String, Arc<ObjectType>>,
    open: bool,
}

impl Env {
    /// No variables.
    pub fn new() -> Env {
        Env::default()
    }

    /// With a variable of a type.
    pub fn variable(mut self, name: &str, ty: Type) -> Env {
        self.variables.insert(name.to_owned(), ty);
        self
    }

    /// With a variable that holds JSON of this shape, which bounds what expressions can cost.
    pub fn declare(self, name: &str, schema: Arc<Schema>) -> Env {
        let mut env = self.variable(name, schema.ty());
        env.schemas.insert(name.to_owned(), schema);
        env
    }

    /// With a type of which expressions can make objects: `Name{field: value}`.
    pub fn object(mut self, ty: Arc<ObjectType>) -> Env {
        self.objects.insert(ty.name.clone(), ty);
        self
    }

    /// With what mutating admission policies have: `jsonpatch.escapeKey`, the type `JSONPatch`, and
    /// the types `Object`, `Object.spec` and so on, whose objects can have any field.
    pub fn open_objects(mut self) -> Env {
        self.open = true;
        let field = |name: &str, kind| (name.to_owned(), Arc::new(Schema::new(kind)), false);
        let fields = [
            field("op", Kind::String),
            field("from", Kind::String),
            field("path", Kind::String),
            field("value", Kind::Dyn),
        ];
        self.object(Arc::new(ObjectType::new("JSONPatch", fields)))
    }

    /// Compiles an expression.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let (root, locations) = parse(source)?;
        let ast = check(self, source, root, locations)?;
        let estimate = estimate(self, &ast);
        plan(self, &ast, estimate)
    }

    /// The overloads of a function. JSON pointers are for mutating policies only.
    pub(crate) fn function(&self, name: &str) -> Option<&'static [usize]> {
        if name == "jsonpatch.escapeKey" && !self.open {
            return None;
        }
        Functions::get().named(name)
    }

    pub(crate) fn is_variable(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// The type of a variable, or the type of a type.
    pub(crate) fn lookup(&self, name: &str) -> Option<Type> {
        if let Some(ty) = self.variables.get(name) {
            return Some(ty.clone());
        }
        let ty = match name {
            "bool" => Type::Bool,
            "bytes" => Type::Bytes,
            "double" => Type::Double,
            "google.protobuf.Duration" => Type::Duration,
            "google.protobuf.Timestamp" => Type::Timestamp,
            "int" => Type::Int,
            "list" => Type::list(Type::Dyn),
            "map" => Type::map(Type::Dyn, Type::Dyn),
            "null_type" => Type::Null,
            "optional_type" => Type::optional(Type::Dyn),
            "string" => Type::String,
            "type" => Type::Type(None),
            "uint" => Type::Uint,
            "net.IP" => Type::Opaque("net.IP"),
            "net.CIDR" => Type::Opaque("net.CIDR"),
            _ => Type::Object(self.object_type(name)?),
        };
        Some(Type::Type(Some(Arc::new(ty))))
    }

    fn object_type(&self, name: &str) -> Option<Arc<ObjectType>> {
        if let Some(ty) = self.objects.get(name) {
            return Some(ty.clone());
        }
        let is_open = self.open && (name == "Object" || name.starts_with("Object."));
        is_open.then(|| Arc::new(ObjectType::new(name, [])))
    }

    /// The type of a field.
    pub(crate) fn field_type(&self, object: &ObjectType, field: &str) -> Option<Type> {
        match object.field(field) {
            Some(field) => Some(field.schema.ty()),
            None if self.open
                && (object.name == "Object" || object.name.starts_with("Object.")) =>
            {
                Some(Type::Dyn)
            }
            None => None,
        }
    }
}

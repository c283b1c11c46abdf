//! Expressions after parsing: macros are already expanded.

use std::sync::Arc;

use crate::error::Location;
use crate::types::Type;

/// The name of the accumulator of macros, which no source can spell.
pub(crate) const ACCUMULATOR: &str = "@result";
/// The name of an iteration variable that nothing uses.
pub(crate) const UNUSED: &str = "#unused";

/// One node.
#[derive(Debug, Clone)]
pub(crate) struct Expr {
    pub(crate) id: usize,
    /// How many nodes lie on the longest way down, this one included.
    pub(crate) height: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Literal(Literal),
    Ident(Arc<str>),
    Select { operand: Box<Expr>, field: Arc<str>, test: bool },
    Call { function: Arc<str>, target: Option<Box<Expr>>, args: Vec<Expr> },
    List { elements: Vec<Element> },
    Map { entries: Vec<Entry> },
    Struct { name: Arc<str>, fields: Vec<StructField> },
    Fold(Box<Fold>),
    Error,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Expr,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct StructField {
    pub(crate) id: usize,
    pub(crate) name: Arc<str>,
    pub(crate) value: Expr,
    pub(crate) optional: bool,
}

/// A comprehension.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    pub(crate) range: Expr,
    pub(crate) variable: Arc<str>,
    pub(crate) second: Option<Arc<str>>,
    pub(crate) accumulator: Arc<str>,
    pub(crate) init: Expr,
    pub(crate) condition: Expr,
    pub(crate) step: Expr,
    pub(crate) result: Expr,
}

/// An expression with what is known of each of its nodes, by their id.
#[derive(Debug)]
pub(crate) struct Ast {
    pub(crate) root: Expr,
    pub(crate) locations: Vec<Location>,
    pub(crate) types: Vec<Option<Type>>,
    /// The functions of calls, as their rows in the environment.
    pub(crate) overloads: Vec<Vec<usize>>,
}

impl Ast {
    pub(crate) fn location(&self, id: usize) -> Location {
        self.locations.get(id).copied().unwrap_or(Location::NONE)
    }

    pub(crate) fn ty(&self, expr: &Expr) -> &Type {
        self.types.get(expr.id).and_then(Option::as_ref).unwrap_or(&Type::Error)
    }
}

impl Literal {
    pub(crate) fn ty(&self) -> Type {
        match self {
            Literal::Null => Type::Null,
            Literal::Bool(_) => Type::Bool,
            Literal::Int(_) => Type::Int,
            Literal::Uint(_) => Type::Uint,
            Literal::Double(_) => Type::Double,
            Literal::String(_) => Type::String,
            Literal::Bytes(_) => Type::Bytes,
        }
    }
}

impl Expr {
    pub(crate) fn new(id: usize, kind: Kind) -> Expr {
        let mut expr = Expr { id, height: 1, kind };
        expr.height += expr.children().into_iter().map(|below| below.height).max().unwrap_or(0);
        expr
    }

    /// The dotted name that a chain of selections may be.
    pub(crate) fn qualified_name(&self) -> Option<String> {
        match &self.kind {
            Kind::Ident(name) => Some(name.to_string()),
            Kind::Select { operand, field, test: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }

    /// Every node below and this one, to the visitor.
    pub(crate) fn visit<'e>(&'e self, see: &mut dyn FnMut(&'e Expr)) {
        see(self);
        for child in self.children() {
            child.visit(see);
        }
    }

    /// The nodes right below.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            Kind::Literal(_) | Kind::Ident(_) | Kind::Error => Vec::new(),
            Kind::Select { operand, .. } => vec![operand],
            Kind::Call { target, args, .. } => {
                target.iter().map(|target| &**target).chain(args).collect()
            }
            Kind::List { elements } => elements.iter().map(|e| &e.value).collect(),
            Kind::Map { entries } => entries.iter().flat_map(|e| [&e.key, &e.value]).collect(),
            Kind::Struct { fields, .. } => fields.iter().map(|f| &f.value).collect(),
            Kind::Fold(fold) => {
                vec![&fold.range, &fold.init, &fold.condition, &fold.step, &fold.result]
            }
        }
    }
}

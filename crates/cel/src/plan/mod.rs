//! The form that is evaluated: names are places, and calls are functions.

mod build;
mod constant;

pub(crate) use build::plan;

use std::sync::Arc;

use regex::Regex;

use crate::cost::Rule;
use crate::functions::Overload;
use crate::value::{Key, Value};

#[derive(Debug)]
pub(crate) enum Node {
    Const(Value<'static>),
    /// A variable of the environment.
    Global(Arc<str>),
    /// A variable of a macro, and the first value of an accumulator.
    Local(usize, Option<usize>),
    Select(Box<Select>),
    Has(Box<Select>),
    Index(Box<Index>),
    Call(Box<Call>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Ternary(Box<[Node; 3]>),
    NotStrictlyFalse(Box<Node>),
    /// True if a value is in a list that is known.
    InSet(Box<Node>, Vec<Key<'static>>),
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct(Arc<str>, Vec<(Arc<str>, Node, bool)>),
    /// The first that has a value; the second is whether the value itself is taken.
    OptionalOr(Box<[Node; 2]>, bool),
    Fold(Box<Fold>),
    /// Adds to the accumulator in place: items of a list, or entries of a map.
    Append(Box<Append>),
}

#[derive(Debug)]
pub(crate) struct Select {
    pub(crate) operand: Node,
    pub(crate) field: Arc<str>,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) operand: Node,
    pub(crate) index: Node,
    pub(crate) optional: bool,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: Arc<str>,
    /// Those among which the values decide; often just one.
    pub(crate) overloads: Vec<&'static Overload>,
    pub(crate) args: Vec<Node>,
    pub(crate) rule: Rule,
    /// The pattern, where it is known.
    pub(crate) regex: Option<Regex>,
    /// True if arguments after one that fails are not evaluated.
    pub(crate) stops: bool,
}

#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) range: Node,
    pub(crate) variable: usize,
    pub(crate) second: Option<usize>,
    pub(crate) accumulator: usize,
    pub(crate) condition: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
}

#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) accumulator: usize,
    pub(crate) init: Option<usize>,
    pub(crate) call: Call,
}

impl Node {
    /// True if it is a name or a chain of selections, whose start costs one.
    pub(crate) fn is_attribute(&self) -> bool {
        matches!(
            self,
            Node::Global(_)
                | Node::Local(..)
                | Node::Select(_)
                | Node::Has(_)
                | Node::Index(_)
                | Node::Ternary(_)
        )
    }
}

impl std::fmt::Debug for Overload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id)
    }
}

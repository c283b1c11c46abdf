//! Paths of columns and selectable fields of custom kinds: the JSONPath of kubectl's templates, of
//! which a definition uses one expression without its braces.

mod parse;
mod walk;

#[cfg(test)]
mod tests;

use crate::text::{go_float, go_json};
use serde_json::Value;
use walk::Walk;

/// Maximum number of values that one search passes: `..` may find each many times.
const MAX_VISITS: usize = 1 << 20;

/// A path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A character that begins no step.
    #[error("unrecognized character in action: {0:?}")]
    Character(char),
    /// A bracket that is not closed.
    #[error("unterminated array")]
    Array,
    /// An index that is no number, slice or quoted name.
    #[error("invalid array index {0}")]
    Index(String),
    /// A filter that is not closed.
    #[error("unterminated filter")]
    Filter,
    /// A text in quotes that is not closed, or has an unknown escape.
    #[error("unterminated quoted string")]
    Quote,
    /// A backslash with nothing after it.
    #[error("unclosed action")]
    Escape,
    /// Not a number.
    #[error("cannot parse number {0}")]
    Number(String),
    /// Two recursive steps, one after the other.
    #[error("invalid multiple recursive descent")]
    Recursion,
}

/// A path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    steps: Vec<Step>,
}

/// A step from some values to others.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// All items of lists and all fields of maps.
    Wildcard,
    /// Values and all that is inside them.
    Recursive,
    Slice(Slice),
    /// The findings of several paths, one after the other.
    Union(Vec<Vec<Step>>),
    Filter(Filter),
    /// A word, which upstream reads but cannot follow, or a constant, which is no column.
    Unknown,
}

/// Items of a list.
#[derive(Clone, Debug, Default, PartialEq)]
struct Slice {
    from: Option<i64>,
    to: Option<i64>,
    /// True for a single index.
    is_index: bool,
    step: Option<i64>,
}

/// Items for which a comparison holds, or for which a path finds something.
#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Operand,
    test: Option<(Comparison, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Constant(Value),
    Path(Vec<Step>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
    /// Not one that upstream knows.
    Unknown,
}

impl JsonPath {
    /// Reads a path such as `.status.conditions[?(@.type=="Ready")].status`.
    ///
    /// # Errors
    /// The reason why it is none.
    pub fn parse(path: &str) -> Result<Self, Error> {
        Ok(Self { steps: parse::steps(path)? })
    }

    /// The values at the path. A path that does not fit the object, for example an index in what
    /// is no list, finds nothing.
    #[must_use]
    pub fn find<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        let mut walk = Walk { visits: MAX_VISITS };
        walk.steps(&self.steps, vec![object]).unwrap_or_default()
    }
}

/// The text of a value in a column of texts.
#[must_use]
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(n) if n.as_i64().is_none() => go_float(n.as_f64().unwrap_or_default()),
        other => go_json(other),
    }
}

//! Label selectors.

use crate::status::Status;
use serde_json::Value;

/// A conjunction of requirements; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// All must hold.
    pub requirements: Vec<Requirement>,
    /// Selects nothing, whatever the requirements (a null `metav1.LabelSelector`).
    pub nothing: bool,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Relation.
    pub operator: Operator,
    /// Operands, sorted.
    pub values: Vec<String>,
}

/// Relation between a label and operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

impl LabelSelector {
    /// Parses the text form, for example `a=b,c in (x,y),!d`.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let _ = text;
        todo!()
    }

    /// Reads a `metav1.LabelSelector`; null selects nothing, `{}` everything.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn from_value(selector: &Value) -> Result<Self, Status> {
        let _ = selector;
        todo!()
    }

    /// A selector of exact values, as Services and ReplicationControllers have.
    #[must_use]
    pub fn from_map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let _ = pairs.count();
        todo!()
    }

    /// True when it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Whether an object is selected; `label` looks up a label's value.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let _ = label("");
        todo!()
    }
}

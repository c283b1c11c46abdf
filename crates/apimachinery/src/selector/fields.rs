//! Field selectors.

use crate::status::Status;

/// A conjunction of terms; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    /// All must hold.
    pub terms: Vec<FieldTerm>,
}

/// One condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// Path, for example `metadata.name`.
    pub field: String,
    /// Operand.
    pub value: String,
    /// True for `=`, false for `!=`.
    pub equal: bool,
}

impl FieldSelector {
    /// Parses the text form, for example `metadata.name=x,status.phase!=Running`.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let _ = text;
        todo!()
    }

    /// True when it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// The exact value required of a field, if there is one.
    #[must_use]
    pub fn requires_exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Whether an object is selected; `field` gives a field's value as text, empty when absent.
    pub fn matches<S: AsRef<str>>(&self, field: impl Fn(&str) -> S) -> bool {
        self.terms.iter().all(|t| (field(&t.field).as_ref() == t.value) == t.equal)
    }
}

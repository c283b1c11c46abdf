//! Label and field selectors.

mod fields;
mod labels;
mod lexer;
mod parse;

pub use fields::{FieldSelector, FieldTerm};
pub use labels::{LabelSelector, Operator, Requirement};

#[cfg(test)]
mod tests;

//! The Common Expression Language as Kubernetes 1.37 uses it: validation rules of custom
//! resources, admission policies and match conditions of webhooks.
//!
//! An [`Env`] declares variables and compiles expressions; a [`Program`] is evaluated with
//! [`Variables`] and a [`Budget`]. Types, messages, values and costs are those of cel-go 0.26 with
//! the libraries that upstream's environment 1.36 has.
//!
//! ```
//! use std::sync::Arc;
//!
//! use cel::{Budget, Env, Schema, value};
//! use serde_json::json;
//!
//! let schema = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
//! let schema = Arc::new(Schema::from_openapi(&schema, "selfType", true).unwrap());
//! let rule = Env::new().declare("self", schema.clone()).compile("self.replicas <= 5").unwrap();
//! assert_eq!(rule.estimated_cost().max, 3);
//!
//! let object = json!({"replicas": 3});
//! let object = value::from_json(&object, Some(&schema)).unwrap();
//! let valid = rule.eval(&[("self", object)], &mut Budget::default()).unwrap();
//! assert!(matches!(valid, cel::Value::Bool(true)));
//! ```
//!
//! Written by hand, because no crate fits: `cel` (formerly `cel-interpreter`) has neither types nor
//! costs and parses with ANTLR's runtime; `cel-core` checks types, but counts no cost, knows none
//! of cel-go's messages and places, and copies what it evaluates.

// Bounds on hostile expressions: the parser refuses more than 100 000 code points and more than
// 250 levels, macros do not copy without end, types do not grow without end, and an evaluation is
// charged before it does or allocates more than its budget allows.

pub mod admission;
mod ast;
mod budget;
mod check;
mod cost;
mod env;
mod error;
mod escape;
mod eval;
mod functions;
mod openapi;
mod plan;
mod program;
pub mod schema;
mod syntax;
pub mod types;
pub mod value;

pub use budget::{Budget, PER_CALL_LIMIT, TOTAL_LIMIT};
pub use cost::Estimate;
pub use env::Env;
pub use error::{CompileError, EvalError, Issue, Location};
pub use escape::{escape, unescape};
pub use program::{Program, Variables};
pub use schema::Schema;
pub use syntax::MAX_HEIGHT;
pub use types::Type;
pub use value::Value;

/// The message that a message expression made; `None` if it is none that can be shown: empty, of
/// several lines, or longer than upstream's `MaxEvaluatedMessageExpressionSizeBytes`.
pub fn message(made: &Value<'_>) -> Option<String> {
    const MAX: usize = 5 * 1024;
    let Value::String(text) = made else { return None };
    let text = text.to_string();
    let text = text.trim();
    let usable = !text.is_empty() && text.len() <= MAX && !text.contains('\n');
    usable.then(|| text.to_owned())
}

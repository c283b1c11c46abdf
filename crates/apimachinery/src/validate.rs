//! Checks an object against its schema: unknown, duplicate and mistyped fields.

use crate::codec::Duplicate;
use crate::schema::Type;
use crate::status::Status;
use serde_json::Value;

/// What to do about unknown and duplicate fields (`?fieldValidation=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse the object.
    Strict,
    /// Accept it and warn; what the server does by default.
    #[default]
    Warn,
    /// Accept it silently.
    Ignore,
}

/// Checks `value`, removes fields the schema does not know, and returns warnings.
///
/// # Errors
/// 400 for a value of the wrong type, and in `Strict` mode for unknown or duplicate fields.
pub fn check(
    ty: &Type,
    value: &mut Value,
    mode: FieldValidation,
    duplicates: &[Duplicate],
) -> Result<Vec<String>, Status> {
    let _ = (ty, value, mode, duplicates);
    todo!()
}

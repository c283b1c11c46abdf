//! Server-side apply (KEP-555): who owns which field, and what an applied configuration changes.

use crate::schema::Type;
use crate::status::Status;
use serde_json::Value;

/// Who writes, and as what.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Field manager, for example `kubectl`.
    pub manager: &'a str,
    /// `apiVersion` the object was written in.
    pub api_version: &'a str,
    /// Subresource written through; empty for the object itself.
    pub subresource: &'a str,
    /// Time of the write as `metav1.Time`.
    pub now: &'a str,
}

/// Merges an applied configuration into the live object and records ownership.
///
/// # Errors
/// 409 when other managers own fields that the configuration changes and `force` is off;
/// 400/422 when the configuration does not fit the schema.
pub fn apply(
    ty: &Type,
    live: Option<&Value>,
    applied: &Value,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Value, Status> {
    let _ = (ty, live, applied, writer, force);
    todo!()
}

/// Records ownership of what a write other than apply changed.
///
/// # Errors
/// 422 when `new` carries `managedFields` that cannot be decoded.
pub fn update_managers(
    ty: &Type,
    live: Option<&Value>,
    new: &mut Value,
    writer: &Writer<'_>,
) -> Result<(), Status> {
    let _ = (ty, live, new, writer);
    todo!()
}

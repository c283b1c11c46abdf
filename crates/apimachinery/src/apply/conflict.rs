//! Fields that an apply wants to change but others own.

use super::managers::{Id, Operation};
use super::set::FieldSet;
use crate::status::{Cause, Status};
use crate::text::quote;

/// One field and its owner.
#[derive(Debug)]
pub(super) struct Conflict {
    pub(super) owner: Id,
    pub(super) path: String,
    /// The field alone.
    pub(super) field: FieldSet,
}

/// The 409 that lists all conflicts.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let causes = conflicts
        .iter()
        .map(|c| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {}", name(&c.owner)),
            field: c.path.clone(),
        })
        .collect();
    Status::apply_conflict(causes, message(conflicts))
}

fn message(conflicts: &[Conflict]) -> String {
    if let [only] = conflicts {
        let (owner, path) = (name(&only.owner), &only.path);
        return format!("Apply failed with 1 conflict: conflict with {owner}: {path}");
    }
    let mut lines = Vec::new();
    let mut last = None;
    for conflict in conflicts {
        if last != Some(&conflict.owner) {
            lines.push(format!("conflicts with {}:", name(&conflict.owner)));
            last = Some(&conflict.owner);
        }
        lines.push(format!("- {}", conflict.path));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

fn name(id: &Id) -> String {
    let mut name = quote(&id.manager);
    if !id.subresource.is_empty() {
        name.push_str(&format!(" with subresource {}", quote(&id.subresource)));
    }
    if id.operation == Operation::Update {
        name.push_str(&format!(" using {}", id.api_version));
    }
    name
}

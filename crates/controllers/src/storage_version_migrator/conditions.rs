//! The conditions of a migration, and their words.

use client::helpers::now;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

pub(super) const RUNNING: &str = "Running";
pub(super) const SUCCEEDED: &str = "Succeeded";
pub(super) const FAILED: &str = "Failed";

/// The reason of the condition `Running`.
pub(super) const IS_RUNNING: &str = "MigrationRunning";
pub(super) const HAS_SUCCEEDED: &str = "StorageVersionMigrationSucceeded";
pub(super) const HAS_FAILED: &str = "StorageVersionMigrationFailed";

/// Returns true if a condition holds.
pub(super) fn holds(migration: &StorageVersionMigration, kind: &str) -> bool {
    let conditions = migration.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|own| own.type_ == kind && own.status == "True")
}

/// Returns true if a migration has come to its end.
pub(super) fn has_ended(migration: &StorageVersionMigration) -> bool {
    holds(migration, SUCCEEDED) || holds(migration, FAILED)
}

/// The resourceVersion that a migration began with; empty if it has not begun.
pub(super) fn version(migration: &StorageVersionMigration) -> &str {
    let status = migration.status.as_ref();
    status.and_then(|status| status.resource_version.as_deref()).unwrap_or_default()
}

/// Sets a condition; returns true if that changes it.
pub(super) fn set(
    migration: &mut StorageVersionMigration,
    kind: &str,
    holds: bool,
    reason: &str,
    message: &str,
    generation: Option<i64>,
) -> bool {
    let status = migration.status.get_or_insert_default();
    let list = status.conditions.get_or_insert_default();
    let mut wanted = Condition {
        type_: kind.into(),
        status: if holds { "True" } else { "False" }.into(),
        reason: reason.into(),
        message: message.into(),
        last_transition_time: now(),
        observed_generation: generation,
    };
    let Some(known) = list.iter_mut().find(|known| known.type_ == kind) else {
        list.push(wanted);
        return true;
    };
    if known.status == wanted.status {
        wanted.last_transition_time = known.last_transition_time.clone();
    }
    let changes = *known != wanted;
    *known = wanted;
    changes
}

/// The message of a migration that runs.
pub(super) fn progress(left: usize, total: usize, trouble: Option<&str>) -> String {
    let mut text = "The migration is running".to_owned();
    match (left, total) {
        (_, 0) => {}
        (0, total) => text += &format!(", {total} objects verified migrated"),
        (left, total) => text += &format!(", {left}/{total} objects not yet migrated"),
    }
    if let Some(trouble) = trouble {
        text += &format!("; transient error: {trouble}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_as_upstream_tells_it() {
        for (left, total, trouble, text) in [
            (0, 0, None, "The migration is running"),
            (3, 7, None, "The migration is running, 3/7 objects not yet migrated"),
            (0, 7, None, "The migration is running, 7 objects verified migrated"),
            (0, 0, Some("busy"), "The migration is running; transient error: busy"),
        ] {
            assert_eq!(progress(left, total, trouble), text);
        }
    }

    #[test]
    fn time_moves_with_the_status_alone() {
        let mut migration = StorageVersionMigration::default();
        assert!(set(&mut migration, RUNNING, true, IS_RUNNING, "a", None));
        let conditions = migration.status.as_mut().unwrap().conditions.as_mut().unwrap();
        conditions[0].last_transition_time.0 = "2024-01-01T00:00:00Z".parse().unwrap();
        let since = conditions[0].last_transition_time.clone();
        assert!(!set(&mut migration, RUNNING, true, IS_RUNNING, "a", None));
        assert!(set(&mut migration, RUNNING, true, IS_RUNNING, "b", None));
        let of = |migration: &StorageVersionMigration| {
            migration.status.as_ref().unwrap().conditions.as_ref().unwrap()[0].clone()
        };
        assert_eq!(of(&migration).last_transition_time, since);
        assert!(holds(&migration, RUNNING) && !has_ended(&migration));
        assert!(set(&mut migration, RUNNING, false, "MigrationCompleted", "b", Some(1)));
        assert_ne!(of(&migration).last_transition_time, since);
    }
}

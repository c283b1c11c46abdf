//! Lets one migration of a resource run at a time, the oldest first, and tells the resource's
//! definition of it.

use std::sync::Arc;

use client::helpers::{is_not_found, retry_on_conflict};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::conditions::{self, IS_RUNNING, RUNNING, SUCCEEDED, has_ended, holds, progress};
use super::{Controller, DONE, resource};
use crate::common::meta;
use crate::{Error, Outcome};

/// The manager of what is written into definitions.
const MANAGER: &str = "migration-runner-controller";
/// The condition of a definition whose objects are migrated.
const MIGRATING: &str = "StorageMigrating";

/// The next steps of the migrations of a resource.
#[derive(Default)]
struct Turns {
    /// Those that have ended, although it says that they run.
    over: Vec<Arc<StorageVersionMigration>>,
    next: Option<Arc<StorageVersionMigration>>,
}

fn turns(all: impl Iterator<Item = Arc<StorageVersionMigration>>) -> Turns {
    let mut turns = Turns::default();
    let mut waiting = Vec::new();
    let mut one_runs = false;
    for migration in all {
        match (holds(&migration, RUNNING), has_ended(&migration)) {
            (true, true) => turns.over.push(migration),
            (true, false) => one_runs = true,
            (false, false) => waiting.push(migration),
            (false, true) => {}
        }
    }
    if !one_runs {
        let age =
            |of: &Arc<StorageVersionMigration>| (meta::created(&**of), of.metadata.name.clone());
        turns.next = waiting.into_iter().min_by_key(age);
    }
    turns
}

impl Controller {
    /// Ends what is over, and lets the next migration of a resource begin.
    pub(super) async fn give_turn(&self, group: &str, plural: &str) -> Outcome {
        let all = self.migrations.list().into_iter();
        let Turns { over, next } =
            turns(all.filter(|migration| resource(migration) == (group.into(), plural.into())));
        for migration in over {
            self.tell_definition(&migration, Some(holds(&migration, SUCCEEDED))).await?;
            let mut changed = (*migration).clone();
            let (done, generation) = ("Migration completed", migration.metadata.generation);
            let reason = "MigrationCompleted";
            conditions::set(&mut changed, RUNNING, false, reason, done, generation);
            self.write_status(&changed).await?;
        }
        if let Some(migration) = next {
            self.tell_definition(&migration, None).await?;
            let mut changed = (*migration).clone();
            let message = progress(0, 0, None);
            conditions::set(&mut changed, RUNNING, true, IS_RUNNING, &message, None);
            self.write_status(&changed).await?;
        }
        DONE
    }

    /// Writes into the definition of a custom resource that its migration has begun, or ended with
    /// success or not. Afterwards the definition lists no version that nothing is stored in.
    async fn tell_definition(
        &self,
        migration: &StorageVersionMigration,
        succeeded: Option<bool>,
    ) -> Result<(), Error> {
        let (group, plural) = resource(migration);
        let name = format!("{plural}.{group}");
        let all = self.context.all::<CustomResourceDefinition>();
        let told = retry_on_conflict(|| async {
            let definition = all.get(&name).await?;
            let status = status(&definition, meta::name(migration), succeeded);
            let patch = json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                // A change meanwhile could make the generation wrong that is observed here.
                "metadata": {"name": name, "resourceVersion": definition.metadata.resource_version},
                "status": status,
            });
            all.patch_status(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(patch))
                .await
        });
        match told.await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The part of a definition's status that migrations write.
fn status(
    definition: &CustomResourceDefinition,
    migration: &str,
    succeeded: Option<bool>,
) -> serde_json::Value {
    let generation = definition.metadata.generation;
    let known = definition.status.as_ref().and_then(|status| status.conditions.as_ref());
    let known = known.into_iter().flatten().find(|condition| condition.type_ == MIGRATING);
    let unchanged = known.is_some_and(|known| known.observed_generation == generation);
    let (reason, message) = match succeeded {
        None => (IS_RUNNING, format!("Migration {migration} is running")),
        Some(false) => ("MigrationFailed", "The migration has failed".to_owned()),
        Some(true) if unchanged => (
            "MigrationSucceeded",
            "The migration has succeeded and the stored versions have been updated".to_owned(),
        ),
        Some(true) => (
            "MigrationSucceeded",
            "The migration has succeeded but the stored versions have not been updated due to a \
             generation mismatch"
                .to_owned(),
        ),
    };
    let mut status = json!({"conditions": [{
        "type": MIGRATING,
        "status": if succeeded.is_none() { "True" } else { "False" },
        "lastTransitionTime": client::helpers::now(),
        "reason": reason, "message": message, "observedGeneration": generation,
    }]});
    let stored = definition.spec.versions.iter().find(|version| version.storage);
    // Upstream does so even when the migration has failed. A version that is not listed can be
    // removed from the definition, though something may still be stored in it.
    if let (Some(true), true, Some(stored)) = (succeeded, unchanged, stored) {
        status["storedVersions"] = json!([stored.name]);
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(name: &str, second: u32, conditions: &[&str]) -> Arc<StorageVersionMigration> {
        let conditions = conditions.iter().map(|kind| {
            json!({"type": kind, "status": "True", "reason": "R", "message": "",
                "lastTransitionTime": "2024-01-01T00:00:00Z"})
        });
        let conditions: Vec<_> = conditions.collect();
        let made = json!({
            "metadata": {"name": name, "creationTimestamp": format!("2024-01-01T00:00:{second:02}Z")},
            "spec": {"resource": {"resource": "pods", "group": ""}},
            "status": {"conditions": conditions},
        });
        Arc::new(serde_json::from_value(made).unwrap())
    }

    #[test]
    fn one_runs_at_a_time_and_the_oldest_is_next() {
        let named = |turns: Turns| {
            let name = |of: &Arc<StorageVersionMigration>| meta::name(&**of).to_owned();
            (turns.over.iter().map(name).collect::<Vec<_>>(), turns.next.as_ref().map(name))
        };
        let of = |all: Vec<Arc<StorageVersionMigration>>| named(turns(all.into_iter()));
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(of(vec![migration("b", 2, &[]), migration("a", 1, &[])]), (vec![], some("a")));
        assert_eq!(of(vec![migration("b", 1, &[]), migration("a", 1, &[])]), (vec![], some("a")));
        let runs = migration("r", 3, &["Running"]);
        assert_eq!(of(vec![migration("a", 1, &[]), runs.clone()]), (vec![], None));
        assert_eq!(of(vec![runs, migration("a", 1, &[])]), (vec![], None));
        let over = migration("o", 0, &["Running", "Failed"]);
        let ended = migration("e", 0, &["Succeeded"]);
        let all = vec![ended, over, migration("a", 1, &[])];
        assert_eq!(of(all), (vec!["o".to_owned()], some("a")));
    }
}

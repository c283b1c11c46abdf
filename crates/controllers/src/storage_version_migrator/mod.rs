//! Acts on StorageVersionMigrations: writes every object of a resource anew, so that it is stored in
//! the present storage version and under the present key.
//!
//! One migration of a resource runs at a time ([`turns`]). It begins with a note of the present
//! resourceVersion ([`version`]); what is older than that is written again ([`migrate`]). All that
//! has been done is in the API, so that a restart goes on where it was.
//!
//! <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/storage-version-migration/>

mod conditions;
mod migrate;
mod turns;
mod version;

use std::sync::Arc;
use std::time::Duration;

use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::GroupResource;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;

use crate::common::discovery::{self, Found};
use crate::common::meta;
use crate::{Context, Error, Outcome};

const WORKERS: usize = 5;
/// Upstream's name of two queues.
const VERSION_QUEUE: &str = "resource-version-controller";
/// A resource that is not there so long after a migration of it was made will not come.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);
/// A definition that has just changed is not served at once.
const SETTLE: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Controller {
    context: Context,
    migrations: Store<StorageVersionMigration>,
}

pub(crate) async fn run(context: Context) {
    let migrations: Informer<StorageVersionMigration> = context.informers.informer();
    migrations.wait_synced().await;
    let resources = context.queue::<(String, String)>(VERSION_QUEUE);
    let names = WorkQueue::<ObjectKey>::new();
    let work = context.queue::<ObjectKey>("storage-version-migrator-controller");
    let (by_resource, versions, runs) = (resources.clone(), names.clone(), work.clone());
    context.subscribe(&migrations, move |event: Event<StorageVersionMigration>| {
        let migration = event.object();
        by_resource.add(resource(migration));
        if !matches!(event, Event::Deleted(_)) {
            versions.add(ObjectKey::of(&**migration));
            runs.add(ObjectKey::of(&**migration));
        }
    });
    // A migration may wait for its resource to be defined.
    let (waiting, versions, runs) = (migrations.store().clone(), names.clone(), work.clone());
    context.on::<CustomResourceDefinition>(move |event| {
        let spec = &event.object().spec;
        for migration in waiting.list() {
            let (group, plural) = resource(&migration);
            if (&group, &plural) == (&spec.group, &spec.names.plural) {
                versions.add_after(ObjectKey::of(&*migration), SETTLE);
                runs.add_after(ObjectKey::of(&*migration), SETTLE);
            }
        }
    });
    let controller =
        Arc::new(Controller { context: context.clone(), migrations: migrations.store().clone() });
    let (one, two, three) = (controller.clone(), controller.clone(), controller);
    tokio::join!(
        context.work(&resources, 1, move |(group, plural): (String, String)| {
            let controller = one.clone();
            async move { controller.give_turn(&group, &plural).await }
        }),
        context.work(&names, 1, move |key: ObjectKey| {
            let controller = two.clone();
            async move { controller.note_version(&key).await }
        }),
        context.work(&work, WORKERS, move |key: ObjectKey| {
            let controller = three.clone();
            async move { controller.migrate(&key).await }
        }),
    );
}

/// The group and the plural of what is migrated.
fn resource(migration: &StorageVersionMigration) -> (String, String) {
    let GroupResource { group, resource } =
        migration.spec.as_ref().map(|spec| spec.resource.clone()).unwrap_or_default();
    (group, resource)
}

impl Controller {
    /// The kind of a migration's objects, in its most stable version.
    async fn kind(&self, migration: &StorageVersionMigration) -> Result<Option<Found>, Error> {
        let (group, plural) = resource(migration);
        let kinds = discovery::kinds(&self.context.client).await?;
        let ours = |kind: &Found| kind.resource.group == group && kind.resource.plural == plural;
        Ok(kinds.into_iter().find(ours))
    }

    async fn write_status(&self, migration: &StorageVersionMigration) -> Result<(), Error> {
        let all = self.context.all::<StorageVersionMigration>();
        all.replace_status(meta::name(migration), &PostParams::default(), migration).await?;
        Ok(())
    }
}

/// How long a resource that is missing may still appear; `None` when it will not any more.
fn patience(migration: &StorageVersionMigration) -> Option<Duration> {
    let created = migration.metadata.creation_timestamp.as_ref()?;
    meta::remaining(created, APPEARS_WITHIN, Timestamp::now())
}

/// Group, version and resource as Go prints them.
fn shown(kind: &Found) -> String {
    let of = &kind.resource;
    format!("{}/{}, Resource={}", of.group, of.version, of.plural)
}

/// A resourceVersion, if it is one.
fn parsed(version: &str) -> Option<u64> {
    version.parse().ok()
}

/// Nothing is to be done before the next event.
const DONE: Outcome = Ok(None);

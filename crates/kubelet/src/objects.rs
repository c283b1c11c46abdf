//! Config maps and secrets that pods of this node refer to, each watched by name, which is all
//! that a node may do.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Kind, Selection};
use client::{Client, Informer, ObjectKey};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Api, Resource};
use parking_lot::Mutex;
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

use crate::kick::Kicks;
use crate::pod::{namespace, uid};
use crate::spec::env::referenced;

/// How long a reader waits for the first answer of the API server.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// Why a watched object cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("object {:?}/{:?} not registered", .0.namespace, .0.name)]
    NotRegistered(ObjectKey),
    #[error("failed to sync {kind} cache: timed out waiting for the condition")]
    NotSynced { kind: &'static str, source: Elapsed },
}

/// The watched objects.
pub(crate) struct Objects {
    pub(crate) config_maps: Watched<ConfigMap>,
    pub(crate) secrets: Watched<Secret>,
}

impl Objects {
    pub(crate) fn new(client: Client, kicks: Kicks, cancel: CancellationToken) -> Self {
        Self {
            config_maps: Watched::new("configmap", client.clone(), kicks.clone(), cancel.clone()),
            secrets: Watched::new("secret", client, kicks, cancel),
        }
    }

    /// Watches what this pod refers to, and no longer what it referred to before. A change wakes
    /// the pod's worker.
    pub(crate) fn register(&self, pod: &Pod) {
        let (maps, secrets) = referenced(pod);
        self.config_maps.set(uid(pod), namespace(pod), maps);
        self.secrets.set(uid(pod), namespace(pod), secrets);
    }

    /// Forgets a pod.
    pub(crate) fn unregister(&self, pod: &Pod) {
        self.config_maps.set(uid(pod), namespace(pod), Vec::new());
        self.secrets.set(uid(pod), namespace(pod), Vec::new());
    }

    /// Objects for tests, which nothing changes.
    #[cfg(test)]
    pub(crate) fn fixed<const M: usize, const S: usize>(
        maps: [ConfigMap; M],
        secrets: [Secret; S],
    ) -> Self {
        Self { config_maps: Watched::fixed(maps), secrets: Watched::fixed(secrets) }
    }
}

/// The watched objects of one kind.
pub(crate) struct Watched<K: Kind> {
    kind: &'static str,
    source: Source<K>,
}

enum Source<K: Kind> {
    Api {
        client: Client,
        kicks: Kicks,
        cancel: CancellationToken,
        entries: Mutex<HashMap<ObjectKey, Entry<K>>>,
    },
    #[cfg(test)]
    Fixed(HashMap<ObjectKey, Arc<K>>),
}

struct Entry<K: Kind> {
    informer: Informer<K>,
    users: Arc<Mutex<BTreeSet<String>>>,
    cancel: CancellationToken,
}

impl<K> Watched<K>
where
    K: Kind + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    fn new(kind: &'static str, client: Client, kicks: Kicks, cancel: CancellationToken) -> Self {
        Self { kind, source: Source::Api { client, kicks, cancel, entries: Mutex::default() } }
    }

    #[cfg(test)]
    fn fixed(objects: impl IntoIterator<Item = K>) -> Self {
        let objects = objects.into_iter().map(|object| (ObjectKey::of(&object), Arc::new(object)));
        Self { kind: "object", source: Source::Fixed(objects.collect()) }
    }

    /// The object, or `None` where there is none.
    ///
    /// # Errors
    /// The API server gives no answer, or no pod registered this name.
    pub(crate) async fn get(&self, namespace: &str, name: &str) -> Result<Option<Arc<K>>, Error> {
        let key = ObjectKey::new(namespace, name);
        let informer = match &self.source {
            Source::Api { entries, .. } => {
                entries.lock().get(&key).map(|entry| entry.informer.clone())
            }
            #[cfg(test)]
            Source::Fixed(objects) => return Ok(objects.get(&key).cloned()),
        };
        let informer = informer.ok_or_else(|| Error::NotRegistered(key.clone()))?;
        let synced = tokio::time::timeout(FIRST_ANSWER, informer.wait_synced()).await;
        synced.map_err(|source| Error::NotSynced { kind: self.kind, source })?;
        Ok(informer.store().get(&key))
    }

    fn set(&self, user: &str, namespace: &str, names: Vec<String>) {
        let (client, kicks, cancel, entries) = match &self.source {
            Source::Api { client, kicks, cancel, entries } => (client, kicks, cancel, entries),
            #[cfg(test)]
            Source::Fixed(_) => return,
        };
        let wanted: BTreeSet<_> =
            names.into_iter().map(|name| ObjectKey::new(namespace, name)).collect();
        let mut entries = entries.lock();
        entries.retain(|key, entry| {
            let mut users = entry.users.lock();
            if !wanted.contains(key) {
                users.remove(user);
            }
            if users.is_empty() {
                entry.cancel.cancel();
            }
            !users.is_empty()
        });
        for key in wanted {
            let entry = entries.entry(key.clone()).or_insert_with(|| {
                let cancel = cancel.child_token();
                let api = Api::<K>::namespaced(client.clone(), &key.namespace);
                let selection = Selection::fields(format!("metadata.name={}", key.name));
                let informer = Informer::start(api, &selection, cancel.clone());
                let users = Arc::new(Mutex::new(BTreeSet::new()));
                let task = wake_users(informer.clone(), users.clone(), kicks.clone());
                let stop = cancel.clone();
                telemetry::task::spawn("pod-objects", async move {
                    stop.run_until_cancelled(task).await
                });
                Entry { informer, users, cancel }
            });
            entry.users.lock().insert(user.to_owned());
        }
    }
}

/// Wakes the workers of pods that use an object when it changes.
async fn wake_users<K: Kind>(
    informer: Informer<K>,
    users: Arc<Mutex<BTreeSet<String>>>,
    kicks: Kicks,
) {
    let mut events = informer.subscribe();
    while events.recv().await.is_some() {
        for user in users.lock().iter() {
            kicks.tell(user);
        }
    }
}

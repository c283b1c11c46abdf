//! Cluster-scoped objects of a run and their removal: after each case, at the end, after Ctrl-C.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::api::{ALL, Cluster, Kind, NAMESPACE, Patch, Refusal};

/// Label of everything of the cluster that a run makes; its value is the run.
pub(crate) const LABEL: &str = "conformance.coxswain.dev/run";
/// How long an object is given to go by itself.
const PATIENCE: Duration = Duration::from_secs(90);

/// The objects of the cluster to remove. Clones share them.
#[derive(Clone)]
pub(crate) struct Trash {
    run: Arc<str>,
    objects: Arc<Mutex<Vec<(Kind, String)>>>,
}

impl Trash {
    /// That of a new run.
    pub(crate) fn new() -> Self {
        let run = format!("{:08x}", rand::random::<u32>());
        Self { run: run.into(), objects: Arc::default() }
    }

    /// The label that marks what is made.
    pub(crate) fn mark(&self) -> (&'static str, String) {
        (LABEL, self.run.to_string())
    }

    /// Remembers an object of the cluster.
    pub(crate) fn add(&self, kind: &Kind, name: &str) {
        let object = (kind.clone(), name.to_owned());
        let mut objects = self.objects.lock();
        if !objects.contains(&object) {
            objects.push(object);
        }
    }

    /// Deletes what was remembered, newest first, and waits until it is gone.
    pub(crate) async fn empty(&self, cluster: &Cluster) {
        let mut objects = std::mem::take(&mut *self.objects.lock());
        objects.reverse();
        remove(cluster, &objects).await;
    }

    /// Deletes what a case made, without waiting for namespaces: the end of the run does.
    pub(crate) async fn sweep(&self, cluster: &Cluster, since: &[(Kind, String)]) {
        for (kind, name) in since.iter().rev() {
            delete(cluster, kind, name).await;
        }
        let done = |object: &(Kind, String)| since.contains(object) && object.0 != NAMESPACE;
        self.objects.lock().retain(|object| !done(object));
    }

    /// The remembered objects with `suffix` in their names.
    pub(crate) fn of_suffix(&self, suffix: &str) -> Vec<(Kind, String)> {
        let objects = self.objects.lock();
        objects.iter().filter(|(_, name)| name.contains(suffix)).cloned().collect()
    }
}

async fn delete(cluster: &Cluster, kind: &Kind, name: &str) {
    let short = cluster.until(Instant::now() + Duration::from_secs(20));
    // An object that is already gone needs no deletion; one that cannot be deleted is waited for below.
    let _ = short.all(kind).delete_with(name, json!({"propagationPolicy": "Background"})).await;
}

async fn remove(cluster: &Cluster, objects: &[(Kind, String)]) {
    use futures::StreamExt;
    let all = futures::stream::iter(objects);
    all.for_each_concurrent(8, |(kind, name)| async move {
        delete(cluster, kind, name).await;
        let resource = cluster.all(kind);
        let gone = |time| {
            let resource = resource.within(time);
            async move { resource.wait_gone(name).await.is_ok() }
        };
        let first = if *kind == NAMESPACE { PATIENCE / 3 } else { Duration::from_secs(5) };
        if gone(first).await {
            return;
        }
        if *kind == NAMESPACE {
            release_contents(cluster, name).await;
        } else {
            release(&resource, name).await;
        }
        if !gone(PATIENCE).await {
            eprintln!("could not remove {} {name}", kind.kind);
        }
    })
    .await;
}

/// Takes away an object's finalizers.
async fn release(resource: &crate::api::Resource, name: &str) {
    let _ = resource.patch(name, Patch::Merge, json!({"metadata": {"finalizers": null}})).await;
}

/// Takes away the finalizers of everything in a namespace, and the grace of its pods.
async fn release_contents(cluster: &Cluster, namespace: &str) {
    let namespaces = cluster.all(&NAMESPACE);
    if let Ok(mut object) = namespaces.get(namespace).await {
        object["spec"]["finalizers"] = json!(["kubernetes"]);
        let _ = namespaces.replace_at(&format!("{namespace}/finalize"), &object).await;
    }
    for kind in ALL.iter().filter(|kind| kind.namespaced) {
        let resource = cluster.namespaced(kind, namespace).within(Duration::from_secs(20));
        let Ok(items) = resource.items("").await else { continue };
        for item in items {
            let name = crate::test::name(&item);
            if !item["metadata"]["finalizers"].is_null() {
                release(&resource, name).await;
            }
            if kind.kind == "Pod" {
                let _ = resource.delete_with(name, json!({"gracePeriodSeconds": 0})).await;
            }
        }
    }
}

/// Removes what any run left; how many objects that were.
pub(crate) async fn clean(cluster: &Cluster) -> Result<usize> {
    let mut found = Vec::new();
    for kind in ALL.iter().filter(|kind| !kind.namespaced && !kind.kind.ends_with("Review")) {
        let items = match cluster.all(kind).items(&format!("labelSelector={LABEL}")).await {
            Ok(items) => items,
            // A cluster need not serve every kind.
            Err(error) if matches!(Refusal::code_of(&error), Some(404 | 405)) => continue,
            Err(error) => return Err(error),
        };
        let names = items.iter().map(|item: &Value| crate::test::name(item).to_owned());
        found.extend(names.map(|name| (kind.clone(), name)));
    }
    remove(cluster, &found).await;
    Ok(found.len())
}

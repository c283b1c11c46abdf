//! Deleting what is in a namespace: first the pods, which use the rest, then everything else.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{DeleteParams, ListParams, PropagationPolicy};
use kube::{Client, ResourceExt};

use crate::Error;
use crate::common::discovery::Found;

/// The content that is left after everything was deleted.
#[derive(Debug, Default)]
pub(super) struct Remains {
    /// How many objects, by `resource.group`.
    pub(super) objects: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    pub(super) finalizers: BTreeMap<String, usize>,
    /// Resources that could not be deleted or counted.
    pub(super) failures: Vec<String>,
    /// Longest grace period of a pod that is on its way, in seconds.
    grace: Option<u64>,
}

impl Remains {
    /// Returns true if anything is left.
    pub(super) fn any(&self) -> bool {
        !self.objects.is_empty()
    }

    /// When it is worth looking again; the end of the last pod is an event of its own.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.grace.map(|seconds| Duration::from_secs(seconds / 2 + 1))
    }
}

fn is_pods(kind: &Found) -> bool {
    kind.resource.group.is_empty() && kind.resource.plural == "pods"
}

/// Tells everything in the namespace to go and reports what is left.
pub(super) async fn delete(client: &Client, kinds: &[Found], namespace: &str) -> Remains {
    let mut remains = Remains::default();
    let ours = |kind: &&Found| kind.namespaced && kind.supports(&["list", "delete"]);
    let (pods, others): (Vec<_>, Vec<_>) = kinds.iter().filter(ours).partition(|k| is_pods(k));
    for kinds in [pods, others] {
        for kind in kinds {
            if let Err(error) = delete_kind(client, kind, namespace, &mut remains).await {
                let name = format!("{}.{}", kind.resource.plural, kind.resource.group);
                remains.failures.push(format!("deleting {name}: {error}"));
            }
        }
        if remains.any() {
            break;
        }
    }
    remains
}

async fn delete_kind(
    client: &Client,
    kind: &Found,
    namespace: &str,
    remains: &mut Remains,
) -> Result<(), Error> {
    let api = kind.api(client, namespace);
    let all = ListParams::default();
    let present = api.list_metadata(&all).await?.items;
    if present.is_empty() {
        return Ok(());
    }
    let background = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    if kind.supports(&["deletecollection"]) {
        api.delete_collection(&background, &all).await?;
    } else {
        for object in &present {
            match api.delete(&object.name_any(), &background).await {
                Err(error) if !client::helpers::is_not_found(&error) => return Err(error.into()),
                _ => {}
            }
        }
    }
    let left = api.list_metadata(&all).await?.items;
    if left.is_empty() {
        return Ok(());
    }
    let name = format!("{}.{}", kind.resource.plural, kind.resource.group);
    remains.objects.insert(name, left.len());
    for object in left {
        for finalizer in object.finalizers() {
            *remains.finalizers.entry(finalizer.clone()).or_insert(0) += 1;
        }
        if is_pods(kind) {
            let grace = object.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let grace = u64::try_from(grace).unwrap_or(0);
            remains.grace = remains.grace.max(Some(grace));
        }
    }
    Ok(())
}

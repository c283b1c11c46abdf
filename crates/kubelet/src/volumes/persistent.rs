//! Claims bound to volumes that are a path of this node.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use kube::Api;

use super::host_path;
use crate::context::Context;
use crate::pod::{is_finished, name, namespace, spec, status, uid};

/// The claim a volume means, and whether it wants it read-only. A generic ephemeral volume has a
/// claim named after its pod and itself.
pub(super) fn claim(pod: &Pod, volume: &Volume) -> Option<(String, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), source.read_only == Some(true)));
    }
    volume.ephemeral.as_ref().map(|_| (format!("{}-{}", name(pod), volume.name), false))
}

/// Why there is nothing behind a claim.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("PVC {namespace}/{name} is not bound")]
    NotBound { namespace: String, name: String },
    #[error(transparent)]
    HostPath(#[from] host_path::Error),
    #[error("path {0:?} does not exist")]
    NoPath(String),
    #[error("this kubelet has no plugin for persistent volume {0:?}")]
    NoPlugin(String),
}

/// The volume behind a claim.
pub(super) struct Located {
    pub(super) path: PathBuf,
    /// True if the volume may be given to the pod's group. A path of the node belongs to the node,
    /// claimed or not.
    pub(super) ownable: bool,
}

/// Another pod of this node that uses the same claim already.
pub(super) fn is_shared(context: &Context, pod: &Pod, claim_name: &str) -> bool {
    context.pods.store().list().iter().any(|other| {
        uid(other) != uid(pod)
            && namespace(other) == namespace(pod)
            && !is_finished(other)
            && status(other).start_time.is_some()
            && spec(other)
                .volumes
                .iter()
                .flatten()
                .filter_map(|volume| claim(other, volume))
                .any(|(name, _)| name == claim_name)
    })
}

/// The path behind a claim.
pub(super) async fn locate(
    context: &Context,
    pod: &Pod,
    claim_name: &str,
) -> Result<Located, Error> {
    let client = context.config.client.clone();
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace(pod));
    let claim = claims.get(claim_name).await?;
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let (true, Some(name)) = (bound, name) else {
        let (namespace, name) = (namespace(pod).to_owned(), claim_name.to_owned());
        return Err(Error::NotBound { namespace, name });
    };
    let volume = Api::<PersistentVolume>::all(client).get(name).await?;
    let source = volume.spec.unwrap_or_default();
    if let Some(path) = &source.host_path {
        host_path::check(path)?;
        return Ok(Located { path: path.path.clone().into(), ownable: false });
    }
    if let Some(local) = &source.local {
        let path = PathBuf::from(&local.path);
        if !path.is_dir() {
            return Err(Error::NoPath(local.path.clone()));
        }
        return Ok(Located { path, ownable: true });
    }
    Err(Error::NoPlugin(name.to_owned()))
}

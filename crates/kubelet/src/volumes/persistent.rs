//! Claims bound to volumes that are a path of this node.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Pod,
};
use kube::Api;

use super::host_path;
use crate::context::Context;
use crate::pod::namespace;

/// The path behind a claim, and whether it is read-only.
pub(super) async fn locate(
    context: &Context,
    pod: &Pod,
    source: &PersistentVolumeClaimVolumeSource,
) -> Result<(PathBuf, bool), String> {
    let client = context.config.client.clone();
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace(pod));
    let claim = claims.get(&source.claim_name).await.map_err(|error| error.to_string())?;
    let bound = claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let (true, Some(name)) = (bound, name) else {
        return Err(format!("PVC {}/{} is not bound", namespace(pod), source.claim_name));
    };
    let volume =
        Api::<PersistentVolume>::all(client).get(name).await.map_err(|error| error.to_string())?;
    let spec = volume.spec.unwrap_or_default();
    let readonly = source.read_only == Some(true);
    if let Some(path) = &spec.host_path {
        host_path::check(path)?;
        return Ok((path.path.clone().into(), readonly));
    }
    if let Some(local) = &spec.local {
        let path = PathBuf::from(&local.path);
        if !path.is_dir() {
            return Err(format!("path {:?} does not exist", local.path));
        }
        return Ok((path, readonly));
    }
    Err(format!("this kubelet has no plugin for persistent volume {name:?}"))
}

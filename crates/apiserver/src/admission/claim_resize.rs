//! PersistentVolumeClaimResize: a claim may only grow if its class allows it.

use apimachinery::quantity::Quantity;
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Operation, Plugin, Request};
use crate::registry;

pub(super) struct ClaimResize;

fn size(claim: &Object) -> Quantity {
    let size = claim.get_path(&["spec", "resources", "requests", "storage"]);
    size.and_then(|size| Quantity::from_value(size).ok()).unwrap_or_default()
}

/// The class, from the older annotation or the field.
fn class(claim: &Object) -> &str {
    claim
        .annotation("volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| claim.str_at(&["spec", "storageClassName"]))
}

#[async_trait]
impl Plugin for ClaimResize {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let concerned = request.operation == Operation::Update
            && request.is("", "persistentvolumeclaims")
            && request.sub.is_none();
        let (true, Some(claim), Some(old)) = (concerned, object, request.old) else {
            return Ok(());
        };
        if size(claim) <= size(old) {
            return Ok(());
        }
        if old.str_at(&["status", "phase"]) != "Bound" {
            return Err(request.forbidden("Only bound persistent volume claims can be expanded"));
        }
        let kind = registry::find("storage.k8s.io", "v1", "storageclasses")
            .ok_or_else(|| Status::internal("no storage classes"))?;
        let allowed = !class(claim).is_empty()
            && class(claim) == class(old)
            && request
                .server
                .entry(kind, "", class(claim))
                .is_some_and(|entry| entry.object()["allowVolumeExpansion"] == true);
        if allowed {
            return Ok(());
        }
        Err(request.forbidden(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions \
             the pvc must support resize",
        ))
    }
}

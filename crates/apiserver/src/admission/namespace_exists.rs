//! NamespaceAutoProvision and NamespaceExists: namespaces that come into being with their first
//! object, and those that must be there for every write.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::json;

use super::{Operation, Plugin, Request};
use crate::registry;
use crate::verbs::create_needed;

fn is_missing(request: &Request<'_>) -> bool {
    let kind = registry::find("", "v1", "namespaces");
    let found = kind.and_then(|kind| request.server.entry(kind, "", request.namespace));
    request.kind.namespaced && !request.namespace.is_empty() && found.is_none()
}

pub(super) struct NamespaceExists;

#[async_trait]
impl Plugin for NamespaceExists {
    async fn validate(
        &self,
        request: &Request<'_>,
        _object: Option<&Object>,
    ) -> Result<(), Status> {
        match is_missing(request) {
            true => Err(Status::not_found("", "namespaces", request.namespace)),
            false => Ok(()),
        }
    }
}

pub(super) struct NamespaceAutoProvision;

#[async_trait]
impl Plugin for NamespaceAutoProvision {
    async fn admit(&self, request: &Request<'_>, _object: &mut Object) -> Result<(), Status> {
        if request.operation != Operation::Create || request.dry_run || !is_missing(request) {
            return Ok(());
        }
        let kind = registry::find("", "v1", "namespaces")
            .ok_or_else(|| Status::internal("no namespaces"))?;
        let namespace = json!({
            "kind": "Namespace", "apiVersion": "v1", "metadata": {"name": request.namespace},
        });
        match create_needed(request.call, kind, namespace).await {
            // Somebody else was faster.
            Err(status) if status.is("AlreadyExists") => Ok(()),
            Err(status) => Err(request.forbidden(status.message)),
            Ok(()) => Ok(()),
        }
    }
}

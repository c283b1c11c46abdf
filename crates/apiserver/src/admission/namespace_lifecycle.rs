//! NamespaceLifecycle: nothing is created in a namespace that is missing or terminating, and the
//! system's namespaces cannot be deleted.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Operation, Plugin, Request};
use crate::registry;

const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) struct NamespaceLifecycle;

#[async_trait]
impl Plugin for NamespaceLifecycle {
    async fn admit(&self, request: &Request<'_>, _object: &mut Object) -> Result<(), Status> {
        let reviews = request.is("authorization.k8s.io", "localsubjectaccessreviews");
        if request.operation != Operation::Create
            || !request.kind.namespaced
            || request.namespace.is_empty()
            || reviews
        {
            return Ok(());
        }
        let kind = registry::find("", "v1", "namespaces")
            .ok_or_else(|| Status::internal("no namespaces"))?;
        let Some(entry) = request.server.entry(kind, "", request.namespace) else {
            return Err(Status::not_found("", "namespaces", request.namespace));
        };
        if entry.field("status.phase") != Some("Terminating") {
            return Ok(());
        }
        let mut status = request.forbidden(format!(
            "unable to create new content in namespace {} because it is being terminated",
            request.namespace
        ));
        if let Some(details) = &mut status.details {
            details.causes.push(apimachinery::status::Cause {
                reason: "NamespaceTerminating".into(),
                message: format!("namespace {} is being terminated", request.namespace),
                field: "metadata.namespace".into(),
            });
        }
        Err(status)
    }

    async fn validate(
        &self,
        request: &Request<'_>,
        _object: Option<&Object>,
    ) -> Result<(), Status> {
        let name = request.old.map_or("", ObjectExt::name);
        if request.operation == Operation::Delete
            && request.is("", "namespaces")
            && IMMORTAL.contains(&name)
        {
            return Err(request.forbidden("this namespace may not be deleted"));
        }
        Ok(())
    }
}

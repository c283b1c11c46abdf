//! Roles and bindings may only grant rights that their author holds.

use apimachinery::{Object, Status};
use async_trait::async_trait;

use super::{Plugin, Request};
use crate::authz::escalation;

pub(super) struct RbacEscalation;

#[async_trait]
impl Plugin for RbacEscalation {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        match object {
            Some(object) => {
                let write = escalation::Write {
                    server: request.server,
                    user: request.user,
                    kind: request.kind,
                    object,
                    old: request.old,
                    path_name: request.path_name,
                };
                escalation::check(&write).await
            }
            None => Ok(()),
        }
    }
}

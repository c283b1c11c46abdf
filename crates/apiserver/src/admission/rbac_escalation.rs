//! Writes of roles and bindings grant only what their author holds.

use apimachinery::{Object, Status};
use async_trait::async_trait;

use super::{Plugin, Request};
use crate::authz::escalation;

pub(super) struct RbacEscalation;

#[async_trait]
impl Plugin for RbacEscalation {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        match object {
            Some(object) => escalation::check(request.server, request.user, object, request.old),
            None => Ok(()),
        }
    }
}

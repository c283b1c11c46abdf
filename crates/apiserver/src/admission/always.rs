//! AlwaysAdmit and AlwaysDeny: for tests.

use apimachinery::{Object, Status};
use async_trait::async_trait;

use super::{Plugin, Request};

pub(super) struct AlwaysAdmit;

#[async_trait]
impl Plugin for AlwaysAdmit {}

pub(super) struct AlwaysDeny;

const DENIES: &str = "admission control is denying all modifications";

#[async_trait]
impl Plugin for AlwaysDeny {
    async fn admit(&self, request: &Request<'_>, _object: &mut Object) -> Result<(), Status> {
        Err(request.forbidden(DENIES))
    }

    async fn validate(
        &self,
        request: &Request<'_>,
        _object: Option<&Object>,
    ) -> Result<(), Status> {
        Err(request.forbidden(DENIES))
    }
}

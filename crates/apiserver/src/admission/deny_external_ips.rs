//! DenyServiceExternalIPs: no service takes an address that it does not have already.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Plugin, Request};

pub(super) struct DenyExternalIps;

#[async_trait]
impl Plugin for DenyExternalIps {
    async fn validate(
        &self,
        request: &Request<'_>,
        service: Option<&Object>,
    ) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let concerned = writes && request.is("", "services") && request.sub.is_none();
        let Some(service) = service.filter(|_| concerned) else { return Ok(()) };
        let had = request.old.map(addresses).unwrap_or_default();
        if addresses(service).iter().all(|address| had.contains(address)) {
            return Ok(());
        }
        Err(request.forbidden("Use of external IPs is denied by admission control"))
    }
}

fn addresses(service: &Object) -> &[Value] {
    service["spec"]["externalIPs"].as_array().map(Vec::as_slice).unwrap_or_default()
}

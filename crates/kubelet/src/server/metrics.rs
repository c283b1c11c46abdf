//! The kubelet's metrics, and those of what runs on its node.

mod cadvisor;
mod resource;
mod volumes;

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use runtime::{SandboxFilter, SandboxState, SandboxStats};
use telemetry::metrics::Exposition;

use super::Answer;
use crate::context::Context;
use crate::spec::labels::POD_UID;

fn answer(exposition: Exposition) -> Answer {
    let mut response = http::Response::new(exposition.body.into());
    if let Ok(media_type) = HeaderValue::try_from(exposition.content_type) {
        response.headers_mut().insert(CONTENT_TYPE, media_type);
    }
    response
}

fn accept(headers: &HeaderMap) -> Option<&str> {
    headers.get(ACCEPT)?.to_str().ok()
}

/// `/metrics`: the kubelet's own.
pub(super) async fn own(context: &Context, headers: &HeaderMap) -> Answer {
    context.metrics.look(context).await;
    context.volume_stats.refresh(context).await;
    answer(context.metrics.main.scrape(accept(headers)))
}

/// `/metrics/probes`.
pub(super) fn probes(context: &Context, headers: &HeaderMap) -> Answer {
    answer(context.metrics.probes.scrape(accept(headers)))
}

/// `/metrics/resource`: what autoscaling is made from.
pub(super) async fn resource(context: &Context, headers: &HeaderMap) -> Answer {
    let registry = resource::registry(context).await;
    answer(registry.scrape_text(accept(headers)))
}

/// `/metrics/cadvisor`: what dashboards are made from.
pub(super) async fn cadvisor(context: &Context, headers: &HeaderMap) -> Answer {
    let registry = cadvisor::registry(context).await;
    answer(registry.scrape_text(accept(headers)))
}

/// Usage of all running pods by their uids, and true if the runtime has reported all of them.
pub(super) async fn usage(context: &Context) -> (Vec<(String, SandboxStats)>, bool) {
    let filter = SandboxFilter { state: Some(SandboxState::Ready), ..SandboxFilter::default() };
    let Ok(sandboxes) = context.runtime.list_pod_sandboxes(filter).await else {
        return (Vec::new(), false);
    };
    let (mut out, mut complete) = (Vec::new(), true);
    for sandbox in sandboxes {
        let Some(uid) = sandbox.labels.get(POD_UID) else { continue };
        match context.runtime.pod_sandbox_stats(&sandbox.id).await {
            Ok(stats) => out.push((uid.clone(), stats)),
            // A pod that ends meanwhile is no error.
            Err(runtime::Error::NotFound(_)) => {}
            Err(_) => complete = false,
        }
    }
    (out, complete)
}

pub(crate) use volumes::VolumeStats;

//! Finds out if a backend answers (upstream's available condition controller).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use apimachinery::Status;
use apimachinery::text::quote;
use http::Request;
use http::header::ACCEPT;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use serde_json::Value;

use super::Backend;
use super::proxy::{identify, target};
use crate::body::{self, full};
use crate::cache::Cursor;
use crate::encode::view;
use crate::endpoints::{self, Missing};
use crate::registry::{self, set_condition};
use crate::server::Server;
use crate::user::{MASTERS, User};
use crate::verbs::forward::forward;
use crate::verbs::write_status;

/// Time between two looks (upstream's resync), and after one that found nothing.
const AGAIN: Duration = Duration::from_secs(30);
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Time for an answer (upstream's).
const ANSWER: Duration = Duration::from_secs(6);

/// The reason and message of the condition.
struct Finding {
    available: bool,
    reason: &'static str,
    message: String,
}

impl Finding {
    fn no(reason: &'static str, message: String) -> Self {
        Self { available: false, reason, message }
    }
}

/// Looks at a backend again and again, and whenever its service or endpoints change.
pub(super) async fn run(server: Weak<Server>, backend: Arc<Backend>) {
    while let Some(now) = server.upgrade() {
        // Before the look: what changes meanwhile is looked at again.
        let mut slices = cursor(&now, "discovery.k8s.io", "endpointslices");
        let mut services = cursor(&now, "", "services");
        let found = look(&now, &backend).await;
        let before = local(&now, &backend).map_err(|finding| finding.reason);
        backend.available.store(found.available, Ordering::Relaxed);
        let wait = if found.available { AGAIN } else { AFTER_FAILURE };
        tell(&now, &backend, &found).await;
        drop(now);
        let changed = async {
            loop {
                tokio::select! {
                    () = wait_for(&mut slices) => {}
                    () = wait_for(&mut services) => {}
                }
                let Some(now) = server.upgrade() else { return };
                if local(&now, &backend).map_err(|finding| finding.reason) != before {
                    return;
                }
                (slices, services) = (
                    cursor(&now, "discovery.k8s.io", "endpointslices"),
                    cursor(&now, "", "services"),
                );
            }
        };
        let _ = tokio::time::timeout(wait, changed).await;
    }
}

/// A cursor at the present.
fn cursor(server: &Server, group: &str, resource: &str) -> Option<Cursor> {
    let kind = registry::find(group, "v1", resource)?;
    server.collection(kind).ok()?.watch_after(server.cache.revision()).ok()
}

async fn wait_for(cursor: &mut Option<Cursor>) {
    match cursor {
        Some(cursor) => cursor.wait().await,
        None => std::future::pending().await,
    }
}

/// The cluster's own view: there must be a service with endpoints.
fn local(server: &Server, backend: &Backend) -> Result<(), Finding> {
    let Backend { namespace, service: name, port, .. } = backend;
    let found = endpoints::of_service(server, namespace, name, *port);
    found.map(drop).map_err(|missing| {
        let of = format!("service/{name} in {}", quote(namespace));
        let (reason, message) = match missing {
            Missing::Service(_) => ("ServiceNotFound", format!("{of} is not present")),
            Missing::Port { port, .. } => {
                ("ServicePortError", format!("{of} is not listening on port {port}"))
            }
            Missing::Endpoints { port, .. } => {
                let port = quote(&port);
                let why =
                    format!("endpointslices for {of} have no addresses with port name {port}");
                ("MissingEndpoints", why)
            }
        };
        Finding::no(reason, message)
    })
}

/// Looks at a backend, and reads which resources it has.
async fn look(server: &Server, backend: &Backend) -> Finding {
    if let Err(finding) = local(server, backend) {
        return finding;
    }
    let url = format!("https://{}:{}{}", backend.host(), backend.port, backend.root());
    let failed = |why: String| {
        let message = format!("failing or missing response from {url}: {why}");
        Finding::no("FailedDiscoveryCheck", message)
    };
    match tokio::time::timeout(ANSWER, ask(server, backend)).await {
        Ok(Ok(resources)) => {
            backend.resources.store(resources.map(Arc::new));
            let message = "all checks passed".to_owned();
            Finding { available: true, reason: "Passed", message }
        }
        Ok(Err(why)) => failed(why.message),
        Err(_) => Finding::no("FailedDiscoveryCheck", format!("timed out waiting for {url}")),
    }
}

/// The resources of the group version, read as clients read them: what they cannot read would
/// take the whole of discovery from them.
async fn ask(server: &Server, backend: &Backend) -> Result<Option<Value>, Status> {
    let target = target(server, backend, backend.root())?;
    let request = Request::get(backend.root()).header(ACCEPT, "application/json");
    let mut request = request.body(full("")).map_err(Status::internal)?;
    let user = User::new("system:kube-aggregator", &[MASTERS]);
    identify(request.headers_mut(), &user)?;
    let answer = forward(&server.settings.kubelet_tls, target, request).await?;
    if !answer.status().is_success() {
        let why = format!("bad status: {}", answer.status().as_u16());
        return Err(Status::service_unavailable(why));
    }
    let body = body::read(answer.into_body()).await?;
    // A server that answers something else is there all the same, but nobody reads what it has.
    let list: Option<APIResourceList> = serde_json::from_slice(&body).ok();
    list.map(serde_json::to_value).transpose().map_err(Status::internal)
}

/// Writes the condition, if it has changed.
async fn tell(server: &Server, backend: &Backend, found: &Finding) {
    let Some(kind) = registry::find("apiregistration.k8s.io", "v1", "apiservices") else { return };
    let Some(entry) = server.entry(kind, "", &backend.name) else { return };
    let old = view(kind, &entry);
    if old["spec"] != backend.spec {
        return;
    }
    let mut object = old.clone();
    let status = if found.available { "True" } else { "False" };
    if !set_condition(&mut object, "Available", status, found.reason, &found.message) {
        return;
    }
    tracing::info!(name = backend.name, found.available, found.reason, "API service availability");
    // Whoever was faster has changed the registration, which is looked at again.
    let _ = write_status(server, kind, &old, object).await;
}

//! CertificateSigningRequests: approves those of nodes, signs what is approved, and removes what is
//! old, as it removes old PodCertificateRequests. Publishes whom to trust about the API server.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>

mod approve;
mod clean;
mod clean_pods;
mod kubelet;
mod publish;
mod sign;

use std::future::Future;
use std::sync::Arc;

use client::informer::{Informer, Kind};
use client::{Event, ObjectKey};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};

use crate::{Context, Outcome};

pub(crate) use approve::run as run_approving;
pub(crate) use clean::run as run_cleaning;
pub(crate) use clean_pods::run as run_cleaning_of_pods;
pub(crate) use publish::run as run_publishing;
pub(crate) use sign::run as run_signing;

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// The conditions of a request.
fn conditions(
    request: &CertificateSigningRequest,
) -> impl Iterator<Item = &CertificateSigningRequestCondition> {
    request.status.iter().flat_map(|status| status.conditions.iter().flatten())
}

fn has(request: &CertificateSigningRequest, condition: &str) -> bool {
    conditions(request).any(|own| own.type_ == condition)
}

fn is_issued(request: &CertificateSigningRequest) -> bool {
    let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    certificate.is_some_and(|certificate| !certificate.0.is_empty())
}

fn parse(request: &CertificateSigningRequest) -> Result<pki::Request, pki::pem::Refused> {
    pki::Request::from_pem(&String::from_utf8_lossy(&request.spec.request.0))
}

/// Hands every request that is new or has changed to `handle`.
async fn each<K, F>(
    context: Context,
    name: &'static str,
    workers: usize,
    handle: impl Fn(Context, Arc<K>) -> F + Clone + Send + Sync + 'static,
) where
    K: Kind<DynamicType = ()>,
    F: Future<Output = Outcome> + Send,
{
    let requests: Informer<K> = context.informers.informer();
    requests.wait_synced().await;
    let queue = context.queue(name);
    let adder = queue.clone();
    context.subscribe(&requests, move |event: Event<K>| {
        adder.add(ObjectKey::of(&**event.object()));
    });
    let (store, inner) = (requests.store().clone(), context.clone());
    let work = move |key: ObjectKey| {
        let (store, context, handle) = (store.clone(), inner.clone(), handle.clone());
        async move {
            match store.get(&key) {
                Some(request) => handle(context, request).await,
                None => Ok(None),
            }
        }
    };
    context.work(&queue, workers, work).await;
}

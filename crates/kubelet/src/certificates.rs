//! The certificates of pods: keys that this node makes, and certificates that signers issue for
//! them by PodCertificateRequests.
//!
//! Each projection has a task, from the moment that its volume is first made until its pod is gone.
//! Nothing outlives the kubelet's process but the files in the volumes: a new kubelet asks anew.
//!
//! ```text
//!            ┌── the request is gone, or cannot be made ──┐
//!            ▼                                            │
//!  (start) ─▶ make a key ─▶ request ─▶ wait ─▶ issued ─▶ wait until it is to be renewed ─▶ make a key
//!                                       │
//!                                       └────▶ denied, failed: for good
//! ```

mod issue;
mod late;

use std::collections::HashMap;
use std::sync::Arc;

use client::informer::Selection;
use client::{Client, EventRecorder, Informer};
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use k8s_openapi::api::core::v1::{Node, Pod, PodCertificateProjection};
use parking_lot::Mutex;
use telemetry::task;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::kick::Kicks;
use crate::on_demand::OnDemand;
use crate::pod::uid;
use issue::Issuer;

/// How many certificates a pod may have: each is a key that this node makes and a request that it
/// writes.
const MAX_OF_POD: usize = 100;

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("credential bundle is not issued yet")]
    Pending,
    /// The request cannot be made, and is tried again.
    #[error("credential bundle is not issued yet: {0}")]
    NotRequested(String),
    #[error("a pod may have {MAX_OF_POD} certificates at most")]
    TooMany,
    #[error("PodCertificateRequest was permanently {}: reason={reason:?} message={message:?}", .end.verb())]
    Ended { end: End, reason: String, message: String },
}

/// How a request ends without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Denied,
    Failed,
}

impl End {
    fn verb(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// A key and its certificates, PEM. It shows in no log.
pub(crate) struct Credentials {
    pub(crate) key: String,
    pub(crate) chain: String,
}

/// A certificate that was asked for.
pub(crate) struct Asked {
    state: watch::Receiver<State>,
}

impl Asked {
    /// The certificate. Waits for it no longer than `deadline`; the pod's worker is told when there is
    /// one.
    ///
    /// # Errors
    /// It is not issued yet, or never will be.
    pub(crate) async fn get(mut self, deadline: Instant) -> State {
        let settled = self.state.wait_for(|state| !matches!(state, Err(Error::Pending)));
        // An elapsed wait and an ended task both leave the state as it is.
        let _ = tokio::time::timeout_at(deadline, settled).await;
        self.state.borrow().clone()
    }
}

type State = Result<Arc<Credentials>, Error>;

/// A projected source of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    volume: String,
    source: usize,
}

/// A projection whose task runs.
struct Known {
    state: watch::Receiver<State>,
    /// Wakes the task when a request of the pod changes.
    wake: Arc<Notify>,
    cancel: CancellationToken,
}

/// By uid of the pod.
type AllKnown = Arc<Mutex<HashMap<String, HashMap<Place, Known>>>>;

/// The certificates of all pods on the node.
pub(crate) struct Certificates {
    surroundings: Arc<Surroundings>,
    requests: OnDemand<PodCertificateRequest>,
    known: AllKnown,
    cancel: CancellationToken,
}

/// The parts that every task needs.
struct Surroundings {
    client: Client,
    node_name: String,
    node: Informer<Node>,
    recorder: EventRecorder,
    kicks: Kicks,
    /// One key is made at a time: pods choose how many there are, and each may take seconds.
    making: Arc<Semaphore>,
}

impl Certificates {
    pub(crate) fn new(
        client: Client,
        (node_name, node): (&str, Informer<Node>),
        recorder: EventRecorder,
        kicks: Kicks,
        cancel: CancellationToken,
    ) -> Self {
        let known = AllKnown::default();
        let told = known.clone();
        let own = Selection::fields(format!("spec.nodeName={node_name}"));
        let handle = move |event: client::Event<PodCertificateRequest>| {
            let all = told.lock();
            for one in all.get(&event.object().spec.pod_uid).into_iter().flat_map(HashMap::values) {
                one.wake.notify_one();
            }
        };
        let requests = OnDemand::new(client.clone(), own, cancel.clone(), handle);
        let surroundings = Arc::new(Surroundings {
            client,
            node_name: node_name.to_owned(),
            node,
            recorder,
            kicks,
            making: Arc::new(Semaphore::new(1)),
        });
        Self { surroundings, requests, known, cancel }
    }

    /// Asks for the certificate of a source of a pod's volume, if that was not done.
    ///
    /// # Errors
    /// The pod has too many of them.
    pub(crate) fn ask(
        &self,
        pod: &Pod,
        (volume, source): (&str, usize),
        wanted: &PodCertificateProjection,
    ) -> Result<Asked, Error> {
        let place = Place { volume: volume.to_owned(), source };
        let mut known = self.known.lock();
        let of_pod = known.entry(uid(pod).to_owned()).or_default();
        if of_pod.len() >= MAX_OF_POD && !of_pod.contains_key(&place) {
            return Err(Error::TooMany);
        }
        let one = of_pod.entry(place).or_insert_with(|| self.start(pod, wanted));
        Ok(Asked { state: one.state.clone() })
    }

    fn start(&self, pod: &Pod, wanted: &PodCertificateProjection) -> Known {
        let (sender, state) = watch::channel(Err(Error::Pending));
        let (wake, cancel) = (Arc::new(Notify::new()), self.cancel.child_token());
        let issuer = Arc::new(Issuer {
            surroundings: self.surroundings.clone(),
            requests: self.requests.join(uid(pod)),
            pod: pod.clone(),
            wanted: wanted.clone(),
            wake: wake.clone(),
            state: sender,
        });
        let work = move |_run| {
            let issuer = issuer.clone();
            async move { issuer.run().await }
        };
        task::spawn("pod-certificate", task::until_done("pod-certificate", cancel.clone(), work));
        Known { state, wake, cancel }
    }

    /// Forgets the certificates of a pod.
    pub(crate) fn forget(&self, pod_uid: &str) {
        for known in self.known.lock().remove(pod_uid).into_iter().flat_map(HashMap::into_values) {
            known.cancel.cancel();
        }
        self.requests.leave(pod_uid);
    }
}

//! The context of every controller.

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use client::informer::{Event, Informer, Kind};
use client::{Client, EventRecorder, InformerFactory, WorkQueue};
use k8s_openapi::NamespaceResourceScope;
use kube::Api;
use telemetry::task;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::metrics::Metrics;

/// Why a reconciliation has to be repeated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The API server refused, or cannot be reached.
    #[error("{}", message(.0))]
    Api(#[from] kube::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }

    /// The API's answer, if that is what this is.
    pub(crate) fn api(&self) -> Option<&kube::Error> {
        match self {
            Self::Api(error) => Some(error),
            Self::Other(_) => None,
        }
    }
}

/// The words of the API server where there are any: they go into events and conditions.
pub(crate) fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The result of a reconciliation: when to come back without being asked, if ever.
pub(crate) type Outcome = Result<Option<Duration>, Error>;

/// A controller's surroundings for one run.
#[derive(Clone)]
pub(crate) struct Context {
    /// The controller's name.
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) informers: InformerFactory,
    pub(crate) events: EventRecorder,
    pub(crate) cancel: CancellationToken,
    pub(crate) settings: Arc<Settings>,
}

impl Context {
    /// Access to the objects of a namespace.
    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Access to all objects of a kind.
    pub(crate) fn all<K: kube::Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }

    /// Runs `future` beside the controller; if it panics the controller is restarted.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        let future = task::caught(task::watched(self.name, future));
        task::spawn(self.name, async move {
            if let Some(Err(_)) = cancel.run_until_cancelled(future).await {
                cancel.cancel();
            }
        });
    }

    /// Tells `handle` of every change of a kind, beginning with what exists. The handler only
    /// enqueues.
    pub(crate) fn on<K>(&self, handle: impl FnMut(Event<K>) + Send + 'static) -> Informer<K>
    where
        K: Kind<DynamicType = ()>,
    {
        let informer = self.informers.informer::<K>();
        self.subscribe(&informer, handle);
        informer
    }

    /// As [`on`](Self::on), for an informer at hand.
    pub(crate) fn subscribe<K: Kind>(
        &self,
        informer: &Informer<K>,
        mut handle: impl FnMut(Event<K>) + Send + 'static,
    ) {
        let mut events = informer.subscribe();
        self.spawn(async move {
            while let Some(event) = events.recv().await {
                handle(event);
            }
        });
    }

    /// A queue whose work is told under a name, upstream's where it has such a queue.
    pub(crate) fn queue<K>(&self, name: &'static str) -> WorkQueue<K>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
    {
        self.named(name, WorkQueue::new())
    }

    /// As [`queue`](Self::queue), of a queue at hand.
    pub(crate) fn named<K>(&self, name: &'static str, queue: WorkQueue<K>) -> WorkQueue<K>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
    {
        queue.named(name, &self.metrics().registry)
    }

    /// Where it is told what is done.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.settings.metrics
    }

    /// Works on `queue` until the controller ends.
    pub(crate) async fn work<K, F, R>(&self, queue: &WorkQueue<K>, workers: usize, reconcile: F)
    where
        K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
        F: Fn(K) -> R + Send + Sync + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let cancel = self.cancel.clone();
        client::reconcile::run(self.name, queue.clone(), workers, cancel, reconcile).await;
    }
}

//! An informer that runs only while some pod of the node needs it.

use std::collections::BTreeSet;
use std::sync::Arc;

use client::informer::{Event, Kind, Selection};
use client::{Client, Informer};
use kube::{Api, Resource};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

type Handle<K> = Arc<dyn Fn(Event<K>) + Send + Sync>;

/// A list and watch that costs nothing while no pod uses it.
pub(crate) struct OnDemand<K: Kind> {
    client: Client,
    selection: Selection,
    cancel: CancellationToken,
    handle: Handle<K>,
    state: Mutex<State<K>>,
}

struct State<K> {
    users: BTreeSet<String>,
    running: Option<(Informer<K>, CancellationToken)>,
}

impl<K: Kind + Resource<DynamicType = ()>> OnDemand<K> {
    /// `handle` is told of every change, while the informer runs.
    pub(crate) fn new(
        client: Client,
        selection: Selection,
        cancel: CancellationToken,
        handle: impl Fn(Event<K>) + Send + Sync + 'static,
    ) -> Self {
        let state = State { users: BTreeSet::new(), running: None };
        let state = Mutex::new(state);
        Self { client, selection, cancel, handle: Arc::new(handle), state }
    }

    /// The informer, which from now on runs for this pod too.
    pub(crate) fn join(&self, pod_uid: &str) -> Informer<K> {
        let mut state = self.state.lock();
        if !state.users.contains(pod_uid) {
            state.users.insert(pod_uid.to_owned());
        }
        let (informer, _) = state.running.get_or_insert_with(|| {
            let cancel = self.cancel.child_token();
            let api = Api::<K>::all(self.client.clone());
            let informer = Informer::start(api, &self.selection, cancel.clone());
            let (mut events, handle) = (informer.subscribe(), self.handle.clone());
            let stop = cancel.clone();
            let tell = async move {
                while let Some(event) = events.recv().await {
                    handle(event);
                }
            };
            telemetry::task::spawn(
                "on-demand",
                async move { stop.run_until_cancelled(tell).await },
            );
            (informer, cancel)
        });
        informer.clone()
    }

    /// The pod needs it no more.
    pub(crate) fn leave(&self, pod_uid: &str) {
        let mut state = self.state.lock();
        state.users.remove(pod_uid);
        if state.users.is_empty()
            && let Some((_, cancel)) = state.running.take()
        {
            cancel.cancel();
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.state.lock().running.is_some()
    }
}

//! Events about objects, as upstream's `record.EventRecorder` writes them: core/v1, repeated ones
//! counted on one object.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod correlate;
mod sink;

/// Events waiting to be written; more than this are dropped, as upstream does.
const QUEUE: usize = 1000;

/// How serious an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventType {
    /// Information only.
    Normal,
    /// Something may need attention.
    Warning,
}

impl EventType {
    /// The API's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// One occurrence, before it is correlated with earlier ones.
#[derive(Clone, Debug)]
struct Occurrence {
    about: ObjectReference,
    kind: EventType,
    reason: String,
    message: String,
}

/// Writes events without ever making its caller wait. Cloning shares it.
#[derive(Clone)]
pub struct EventRecorder {
    queue: mpsc::Sender<Occurrence>,
}

impl EventRecorder {
    /// A recorder that writes as `component` (such as `kubelet`) on `host` (may be empty) until
    /// `cancel`.
    pub fn new(client: Client, component: &str, host: &str, cancel: CancellationToken) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let sink = sink::Sink::new(client, component, host);
        telemetry::task::spawn("event-recorder", async move {
            cancel.run_until_cancelled(sink.run(receiver)).await;
        });
        Self { queue }
    }

    /// Records that something happened to `object`.
    pub fn event<K>(&self, object: &K, kind: EventType, reason: &str, message: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        let mut about = object.object_ref(&());
        about.resource_version = object.meta().resource_version.clone();
        self.event_about(about, kind, reason, message);
    }

    /// Records that something happened to the referenced object, for references with a
    /// `fieldPath` or to objects not at hand.
    pub fn event_about(
        &self,
        about: ObjectReference,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        let occurrence =
            Occurrence { about, kind, reason: reason.to_owned(), message: message.into() };
        if self.queue.try_send(occurrence).is_err() {
            tracing::debug!(reason, "event queue is full or closed, event dropped");
        }
    }
}

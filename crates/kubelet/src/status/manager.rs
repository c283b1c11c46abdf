//! Writes pod statuses to the API, each as late as it can and never twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::helpers::{is_conflict, is_not_found};
use client::{Client, EventRecorder, EventType, WorkQueue, reconcile};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::patch;
use crate::kick::Kicks;
use crate::pod::{full_name, name, namespace, uid};

const WRITERS: usize = 4;
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(10);

struct Entry {
    pod: Arc<Pod>,
    status: PodStatus,
    /// The status the API has, as far as we know.
    written: PodStatus,
    /// All resources of the pod are gone from the node: it may go from the API too.
    finished: bool,
}

/// The latest status of every pod. Cloning shares it.
#[derive(Clone)]
pub(crate) struct StatusManager {
    client: Client,
    kicks: Kicks,
    recorder: EventRecorder,
    queue: WorkQueue<String>,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

impl StatusManager {
    pub(crate) fn new(client: Client, kicks: Kicks, recorder: EventRecorder) -> Self {
        let queue = WorkQueue::with_backoff(RETRY_FIRST, RETRY_LAST);
        Self { client, kicks, recorder, queue, entries: Arc::default() }
    }

    /// Sets what a pod's status shall be; `finished` allows to delete it from the API once the
    /// status is written, if it is being deleted.
    pub(crate) fn set(&self, pod: &Arc<Pod>, mut status: PodStatus, finished: bool) {
        let mut entries = self.entries.lock();
        let entry = entries.entry(uid(pod).to_owned()).or_insert_with(|| Entry {
            pod: pod.clone(),
            status: PodStatus::default(),
            written: pod.status.clone().unwrap_or_default(),
            finished: false,
        });
        keep_times(&mut status, &entry.status);
        let news = entry.status != status || (finished && !entry.finished);
        let newer = entry.pod.metadata.resource_version != pod.metadata.resource_version;
        if newer {
            entry.pod = pod.clone();
            // Others write to the status too; what the API has is what counts.
            entry.written = pod.status.clone().unwrap_or_default();
        }
        entry.status = status;
        entry.finished = finished;
        if news || newer {
            self.queue.add(uid(pod).to_owned());
        }
    }

    /// The latest status of a pod.
    pub(crate) fn get(&self, uid: &str) -> Option<PodStatus> {
        self.entries.lock().get(uid).map(|entry| entry.status.clone())
    }

    /// Forgets a pod that is gone from the API.
    pub(crate) fn remove(&self, uid: &str) {
        self.entries.lock().remove(uid);
    }

    /// Writes until `cancel`.
    pub(crate) async fn run(&self, cancel: CancellationToken) {
        let this = self.clone();
        let write = move |uid: String| {
            let this = this.clone();
            async move { this.write(&uid).await.map(|()| None) }
        };
        reconcile::run("pod-status", self.queue.clone(), WRITERS, cancel, write).await;
    }

    /// Reports a status that the API refuses for good, in the log and as an event. It is not sent
    /// again, and nothing else of the pod waits for it.
    fn tell_refused(&self, pod: &Arc<Pod>, error: &kube::Error) {
        tracing::error!(pod = full_name(pod), %error, "the API refuses the pod's status");
        let message = format!("The status of the pod cannot be reported: {error}");
        self.recorder.event(&**pod, EventType::Warning, "FailedStatusUpdate", message);
    }

    /// Writes of a status that was refused that the pod has ended, if it has. Says whether the pod
    /// is being deleted.
    async fn write_end(&self, api: &Api<Pod>, pod: &Pod, status: &PodStatus) -> kube::Result<bool> {
        let phase = status.phase.as_deref();
        if !matches!(phase, Some("Succeeded" | "Failed")) {
            return Ok(false);
        }
        let patch = json!({
            "metadata": {"uid": pod.metadata.uid},
            "status": {"phase": phase, "reason": status.reason, "message": status.message},
        });
        match api.patch_status(name(pod), &PatchParams::default(), &Patch::Strategic(patch)).await {
            Ok(answer) => Ok(answer.metadata.deletion_timestamp.is_some()),
            Err(error) if is_refused(&error) || is_not_found(&error) || is_conflict(&error) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, uid: &str) -> kube::Result<()> {
        let (pod, patch, status, finished) = {
            let entries = self.entries.lock();
            let Some(entry) = entries.get(uid) else { return Ok(()) };
            let patch = patch::between(&entry.pod, &entry.written, &entry.status);
            (entry.pod.clone(), patch, entry.status.clone(), entry.finished)
        };
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace(&pod));
        let mut deleting = pod.metadata.deletion_timestamp.is_some();
        if let Some(patch) = patch {
            let params = PatchParams::default();
            match api.patch_status(name(&pod), &params, &Patch::Strategic(patch)).await {
                Ok(answer) => {
                    deleting |= answer.metadata.deletion_timestamp.is_some();
                    if let Some(entry) = self.entries.lock().get_mut(uid) {
                        entry.written = answer.status.unwrap_or(status);
                    }
                }
                // The pod is gone, or another one has its name.
                Err(error) if is_not_found(&error) || is_conflict(&error) => {
                    self.kicks.kick(uid);
                    return Ok(());
                }
                Err(error) if is_refused(&error) => {
                    self.tell_refused(&pod, &error);
                    deleting |= self.write_end(&api, &pod, &status).await?;
                }
                Err(error) => return Err(error),
            }
        }
        if finished && deleting {
            let params = DeleteParams {
                grace_period_seconds: Some(0),
                preconditions: Some(Preconditions {
                    uid: Some(uid.to_owned()),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            match api.delete(name(&pod), &params).await {
                Err(error) if is_not_found(&error) || is_conflict(&error) => {}
                result => drop(result?),
            }
        }
        Ok(())
    }
}

/// Lets conditions that hold on keep the time since when, as it was told last. By the times that
/// the API has by now, two statuses under way would take each other's, and be written for ever.
fn keep_times(status: &mut PodStatus, last: &PodStatus) {
    for condition in status.conditions.iter_mut().flatten() {
        let same = last
            .conditions
            .iter()
            .flatten()
            .find(|known| known.type_ == condition.type_ && known.status == condition.status);
        if let Some(known) = same {
            condition.last_transition_time.clone_from(&known.last_transition_time);
        }
    }
}

/// Returns true if the API has understood the request and will never take it.
fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 413 | 422))
}

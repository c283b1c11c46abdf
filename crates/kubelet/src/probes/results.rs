//! The results of probes, by container id.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::Question;
use super::state::Answer;

#[derive(Debug)]
struct Entry {
    ready: bool,
    liveness_failed: bool,
    startup_failed: bool,
    started: watch::Sender<bool>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            ready: false,
            liveness_failed: false,
            startup_failed: false,
            started: watch::Sender::new(false),
        }
    }
}

/// Results of one pod's probes. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

impl Results {
    /// Records an answer and returns whether it is news.
    pub(super) fn set(&self, id: &str, question: Question, answer: Answer) -> bool {
        let mut entries = self.entries.lock();
        let entry = entries.entry(id.to_owned()).or_default();
        let success = answer == Answer::Success;
        match question {
            Question::Readiness => std::mem::replace(&mut entry.ready, success) != success,
            Question::Liveness => {
                std::mem::replace(&mut entry.liveness_failed, !success) == success
            }
            Question::Startup if success => !entry.started.send_replace(true),
            Question::Startup => !std::mem::replace(&mut entry.startup_failed, true),
        }
    }

    /// Returns true if the readiness probe succeeds.
    pub(crate) fn is_ready(&self, id: &str) -> bool {
        self.entries.lock().get(id).is_some_and(|entry| entry.ready)
    }

    /// Returns true if the startup probe has succeeded.
    pub(crate) fn has_started(&self, id: &str) -> bool {
        self.entries.lock().get(id).is_some_and(|entry| *entry.started.borrow())
    }

    /// Returns true if the startup probe has failed for good.
    pub(crate) fn startup_failed(&self, id: &str) -> bool {
        self.entries.lock().get(id).is_some_and(|entry| entry.startup_failed)
    }

    /// Returns true if the liveness probe has failed for good.
    pub(crate) fn liveness_failed(&self, id: &str) -> bool {
        self.entries.lock().get(id).is_some_and(|entry| entry.liveness_failed)
    }

    /// Takes over what a former kubelet found: a container that was ready stays so until its
    /// probe says otherwise.
    pub(crate) fn adopt(&self, id: &str, started: bool, ready: bool) {
        let mut entries = self.entries.lock();
        entries.entry(id.to_owned()).or_insert_with(|| Entry {
            ready,
            started: watch::Sender::new(started),
            ..Entry::default()
        });
    }

    /// Returns once the startup probe has succeeded.
    pub(super) async fn wait_started(&self, id: &str) {
        let mut started = self.entries.lock().entry(id.to_owned()).or_default().started.subscribe();
        if started.wait_for(|started| *started).await.is_err() {
            // Forgotten: the container is gone, and with it this probe.
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn forget(&self, id: &str) {
        self.entries.lock().remove(id);
    }
}

//! Waking pod workers.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The wake-up calls of all pod workers, by pod uid. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Kicks {
    workers: Arc<Mutex<HashMap<String, Arc<Notify>>>>,
}

impl Kicks {
    /// The call that a worker listens to.
    pub(crate) fn register(&self, uid: &str) -> Arc<Notify> {
        self.workers.lock().entry(uid.to_owned()).or_default().clone()
    }

    pub(crate) fn unregister(&self, uid: &str) {
        self.workers.lock().remove(uid);
    }

    /// Makes the worker of this pod look at the world once more.
    pub(crate) fn kick(&self, uid: &str) {
        if let Some(worker) = self.workers.lock().get(uid) {
            worker.notify_one();
        }
    }

    /// Wakes every worker.
    pub(crate) fn kick_all(&self) {
        for worker in self.workers.lock().values() {
            worker.notify_one();
        }
    }
}

//! Waking pod workers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The wake-up calls of all pod workers, by pod uid. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Kicks {
    workers: Arc<Mutex<HashMap<String, Call>>>,
}

#[derive(Default)]
struct Call {
    wake: Arc<Notify>,
    /// An object that the pod refers to has changed since its worker asked last.
    news: AtomicBool,
}

impl Kicks {
    /// The call that a worker listens to.
    pub(crate) fn register(&self, uid: &str) -> Arc<Notify> {
        self.workers.lock().entry(uid.to_owned()).or_default().wake.clone()
    }

    pub(crate) fn unregister(&self, uid: &str) {
        self.workers.lock().remove(uid);
    }

    /// Makes the worker of this pod look at the world once more.
    pub(crate) fn kick(&self, uid: &str) {
        if let Some(worker) = self.workers.lock().get(uid) {
            worker.wake.notify_one();
        }
    }

    /// The same, because something that the pod refers to has changed: what failed for want of it
    /// may be tried again.
    pub(crate) fn tell(&self, uid: &str) {
        if let Some(worker) = self.workers.lock().get(uid) {
            worker.news.store(true, Ordering::Release);
            worker.wake.notify_one();
        }
    }

    /// Returns true if the worker was told something since it asked last.
    pub(crate) fn take_news(&self, uid: &str) -> bool {
        let workers = self.workers.lock();
        workers.get(uid).is_some_and(|worker| worker.news.swap(false, Ordering::AcqRel))
    }

    /// Wakes every worker.
    pub(crate) fn kick_all(&self) {
        for worker in self.workers.lock().values() {
            worker.wake.notify_one();
        }
    }
}

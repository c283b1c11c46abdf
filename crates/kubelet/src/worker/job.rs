//! A task of a worker, and whether its work is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use telemetry::task;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// A running task. It says that it is done before it wakes the worker: the task itself only ends
/// afterwards, and a worker that looked in between would wait for a wake-up that has been.
pub(super) struct Job {
    task: JoinHandle<()>,
    done: Arc<AtomicBool>,
}

impl Job {
    /// Starts `work`, and notifies `kick` when it has ended, however it did.
    pub(super) fn start(
        name: &'static str,
        kick: Arc<Notify>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let says = done.clone();
        let work = task::caught(task::watched(name, work));
        let task = task::spawn(name, async move {
            let _reported = work.await;
            says.store(true, Ordering::Release);
            kick.notify_one();
        });
        Self { task, done }
    }

    /// Returns true if the work has ended.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    pub(super) fn abort(&self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_a_job_as_well() {
        for panics in [false, true] {
            let kick = Arc::new(Notify::new());
            let job = Job::start("test-job", kick.clone(), async move {
                assert!(!panics, "as it should be reported");
            });
            kick.notified().await;
            assert!(job.is_done());
        }
    }
}

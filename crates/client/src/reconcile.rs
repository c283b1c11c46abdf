//! Workers that take keys from a queue and bring the world to the desired state.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use telemetry::task;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::workqueue::WorkQueue;

/// From this failure in a row on a key's trouble is a warning, though not every time.
const PERSISTENT: u32 = 5;

/// Runs `workers` tasks over `queue` until `cancel`, then lets the work in hand finish. `name` is
/// the controller's, for the log.
///
/// `reconcile` is level-triggered: it looks at the present state of its key. `Ok(None)` ends the
/// matter until the next event, `Ok(Some(delay))` asks to be called again, and an error puts the
/// key back with its backoff.
pub async fn run<K, F, R, E>(
    name: &'static str,
    queue: WorkQueue<K>,
    workers: usize,
    cancel: CancellationToken,
    reconcile: F,
) where
    K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
    F: Fn(K) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<Duration>, E>> + Send + 'static,
    E: Display + 'static,
{
    let reconcile = Arc::new(reconcile);
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (queue, reconcile, cancel) = (queue.clone(), reconcile.clone(), cancel.clone());
        tasks.spawn(task::watched(name, async move {
            while let Some(Some(key)) = cancel.run_until_cancelled(queue.get()).await {
                // One object that nobody thought of must not stop the work on all others.
                let failures = queue.num_requeues(&key);
                let span = tracing::info_span!("reconcile", controller = name, ?key, failures);
                let attempt = task::caught(task::watched(name, reconcile(key.clone())));
                match attempt.instrument(span.clone()).await {
                    Err(task::Panicked) => queue.add_rate_limited(key.clone()),
                    Ok(Ok(again)) => {
                        queue.forget(&key);
                        if let Some(delay) = again {
                            queue.add_after(key.clone(), delay);
                        }
                    }
                    Ok(Err(error)) => {
                        let failures = failures.saturating_add(1);
                        let _entered = span.entered();
                        if failures >= PERSISTENT && failures.is_power_of_two() {
                            tracing::warn!(%error, "reconcile keeps failing");
                        } else {
                            tracing::debug!(%error, "reconcile failed, will retry");
                        }
                        queue.add_rate_limited(key.clone());
                    }
                }
                queue.done(&key);
            }
        }));
    }
    while let Some(result) = tasks.join_next().await {
        if let Err(error) = result
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_retried_and_stops_nobody_else() {
        let queue = WorkQueue::new();
        queue.add("poison");
        queue.add("good");
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let tries = Arc::new(AtomicU32::new(0));
        let seen = tries.clone();
        run("test", queue.clone(), 1, cancel, move |key| {
            let (seen, stop) = (seen.clone(), stop.clone());
            async move {
                assert!(key != "poison" || seen.fetch_add(1, Ordering::SeqCst) > 2, "poison");
                if key == "poison" {
                    stop.cancel();
                }
                Ok::<_, &str>(None)
            }
        })
        .await;
        assert_eq!(tries.load(Ordering::SeqCst), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_retried_and_requests_to_return_are_kept() {
        let queue = WorkQueue::new();
        queue.add("k");
        let calls = Arc::new(AtomicU32::new(0));
        let cancel = CancellationToken::new();
        let (seen, stop) = (calls.clone(), cancel.clone());
        run("test", queue.clone(), 2, cancel, move |_| {
            let call = seen.fetch_add(1, Ordering::SeqCst);
            let stop = stop.clone();
            async move {
                match call {
                    0 => Err("not yet"),
                    1 => Ok(Some(Duration::from_secs(1))),
                    _ => {
                        stop.cancel();
                        Ok(None)
                    }
                }
            }
        })
        .await;
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(queue.num_requeues(&"k"), 0);
    }
}

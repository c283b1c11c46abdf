//! Workers that take keys from a queue and bring the world to the desired state.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::workqueue::WorkQueue;

/// Runs `workers` tasks over `queue` until `cancel`, then lets the work in hand finish.
///
/// `reconcile` is level-triggered: it looks at the present state of its key. `Ok(None)` ends the
/// matter until the next event, `Ok(Some(delay))` asks to be called again, and an error puts the
/// key back with its backoff.
pub async fn run<K, F, R, E>(
    queue: WorkQueue<K>,
    workers: usize,
    cancel: CancellationToken,
    reconcile: F,
) where
    K: Clone + Eq + Hash + Debug + Send + Sync + 'static,
    F: Fn(K) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Option<Duration>, E>> + Send,
    E: Display,
{
    let reconcile = Arc::new(reconcile);
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        let (queue, reconcile, cancel) = (queue.clone(), reconcile.clone(), cancel.clone());
        tasks.spawn(async move {
            while let Some(Some(key)) = cancel.run_until_cancelled(queue.get()).await {
                // One object that nobody thought of must not stop the work on all others.
                let attempt = AssertUnwindSafe(async { reconcile(key.clone()).await });
                match attempt.catch_unwind().await {
                    Err(panic) => {
                        let why = panic.downcast_ref::<String>().map(String::as_str);
                        let why = why.or_else(|| panic.downcast_ref::<&str>().copied());
                        tracing::error!(?key, why, "reconcile panicked, will retry");
                        queue.add_rate_limited(key.clone());
                    }
                    Ok(Ok(again)) => {
                        queue.forget(&key);
                        if let Some(delay) = again {
                            queue.add_after(key.clone(), delay);
                        }
                    }
                    Ok(Err(error)) => {
                        tracing::debug!(?key, %error, "reconcile failed, will retry");
                        queue.add_rate_limited(key.clone());
                    }
                }
                queue.done(&key);
            }
        });
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
        run(queue.clone(), 1, cancel, move |key| {
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
        run(queue.clone(), 2, cancel, move |_| {
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

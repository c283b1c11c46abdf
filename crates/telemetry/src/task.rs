//! Tasks that nobody waits for do not die unseen.
//!
//! Every task has a name. One that panics is logged and counted under it; one that the process
//! needs is started again, or ends the process where it cannot go on without.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Wait before the first restart.
const FIRST_RESTART: Duration = Duration::from_secs(1);
/// Longest wait; who has run for longer is not one that keeps failing.
const LAST_RESTART: Duration = Duration::from_secs(60);
/// Exit code of a process that cannot go on, as of a main thread that panics.
const EXIT_PANICKED: i32 = 101;

static PANICS: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

/// How often tasks have panicked in this process, by name.
#[must_use]
pub fn panics() -> BTreeMap<&'static str, u64> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The text of a panic.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text")
}

/// Logs and counts a panic that was caught.
pub fn report(name: &'static str, panic: &(dyn Any + Send)) {
    *PANICS.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    tracing::error!(task = name, panic = panic_text(panic), "a task has panicked");
}

/// A future whose panic is reported before it goes on to whoever polls it.
#[must_use = "futures do nothing unless polled"]
pub struct Watched<T> {
    name: &'static str,
    future: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Future for Watched<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let future = self.future.as_mut();
        // The state of the future is not used again, since the panic is resumed.
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                report(self.name, &*panic);
                resume_unwind(panic)
            }
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Watches over a future that is spawned by other means: a `JoinSet` or a `TaskTracker`.
///
/// The future is boxed, so that what spawns it is compiled once for all of them.
pub fn watched<T>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Watched<T> {
    Watched { name, future: Box::pin(future) }
}

/// Spawns a task within the present span. A panic in it is reported, and is an error to whoever
/// joins it.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(watched(name, future).in_current_span())
}

/// Spawns a task that the process cannot do without: if it panics the process ends, with
/// everything that was acknowledged on disk, and whoever started it starts it again.
pub fn spawn_vital(
    name: &'static str,
    future: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    spawn(name, async move {
        let mut future = Box::pin(future);
        let poll = |context: &mut Context<'_>| match catch_unwind(AssertUnwindSafe(|| {
            future.as_mut().poll(context)
        })) {
            Ok(poll) => poll,
            Err(panic) => {
                report(name, &*panic);
                tracing::error!(task = name, "the process cannot go on without it, and ends");
                std::process::exit(EXIT_PANICKED);
            }
        };
        std::future::poll_fn(poll).await;
    })
}

/// Runs what `start` makes until it ends after `cancel`, and again, after a wait that doubles, whenever it
/// panics or ends before. Each run has a token of its own, which is cancelled when the run is
/// over, however it ends: what the run spawned ends with it.
pub async fn keep<F>(
    name: &'static str,
    cancel: CancellationToken,
    mut start: impl FnMut(CancellationToken) -> F + Send,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut restarts = Restarts::default();
    while let Some(ended) = restarts.run(name, &cancel, &mut start).await {
        restarts.pause(name, ended.is_err(), &cancel).await;
    }
}

/// As [`keep`], for what does not ask whether it is to end: it is dropped when it is.
pub async fn keep_until_cancelled<F>(
    name: &'static str,
    cancel: CancellationToken,
    mut start: impl FnMut() -> F + Send,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let start = move |run: CancellationToken| {
        let work = start();
        async move {
            run.run_until_cancelled(work).await;
        }
    };
    keep(name, cancel, start).await;
}

/// As [`keep`], for what has an end: only a run that panics is followed by another. `None` if it
/// was cancelled.
pub async fn until_done<T, F>(
    name: &'static str,
    cancel: CancellationToken,
    mut start: impl FnMut(CancellationToken) -> F + Send,
) -> Option<T>
where
    F: Future<Output = T> + Send + 'static,
{
    let mut restarts = Restarts::default();
    loop {
        match restarts.run(name, &cancel, &mut start).await? {
            Ok(done) => return Some(done),
            Err(Panicked) => restarts.pause(name, true, &cancel).await,
        }
    }
}

/// When to start again.
struct Restarts {
    begun: Instant,
    wait: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self { begun: Instant::now(), wait: FIRST_RESTART }
    }
}

impl Restarts {
    /// One run; `None` if it was cancelled.
    async fn run<T, F>(
        &mut self,
        name: &'static str,
        cancel: &CancellationToken,
        start: &mut (impl FnMut(CancellationToken) -> F + Send),
    ) -> Option<Result<T, Panicked>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        if cancel.is_cancelled() {
            return None;
        }
        self.begun = Instant::now();
        let run = cancel.child_token();
        let _ended = run.clone().drop_guard();
        let ended = caught(watched(name, start(run))).await;
        if cancel.is_cancelled() && ended.is_err() { None } else { Some(ended) }
    }

    async fn pause(&mut self, name: &'static str, panicked: bool, cancel: &CancellationToken) {
        if cancel.is_cancelled() {
            return;
        }
        if self.begun.elapsed() > LAST_RESTART {
            self.wait = FIRST_RESTART;
        }
        let wait = self.wait;
        tracing::error!(task = name, panicked, ?wait, "a task has ended, and is started again");
        cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
        self.wait = (wait * 2).min(LAST_RESTART);
    }
}

/// A panic that has been reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a task has panicked")]
pub struct Panicked;

/// Ends at the panic of a watched future, instead of passing it on.
///
/// # Errors
/// The future panicked, which has been reported.
pub async fn caught<T>(mut future: Watched<T>) -> Result<T, Panicked> {
    std::future::poll_fn(move |context| {
        let poll = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut future).poll(context)));
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(_reported) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_panic_is_counted_and_reaches_who_joins() {
        let task = spawn("test-join", async {
            tokio::task::yield_now().await;
            panic!("of course");
        });
        let error = task.await.unwrap_err();
        assert!(error.is_panic());
        assert_eq!(panic_text(&*error.into_panic()), "of course");
        assert_eq!(panics().get("test-join"), Some(&1));
    }

    #[tokio::test]
    async fn a_caught_panic_stops_nobody() {
        let failed = caught(watched("test-caught", async { panic!("{}", "formatted") }));
        assert_eq!(failed.await.map(|()| 0), Err(Panicked));
        assert_eq!(caught(watched("test-caught", async { 7 })).await, Ok(7));
        assert_eq!(panics().get("test-caught"), Some(&1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_started_again_later_and_later() {
        let cancel = CancellationToken::new();
        let runs = Arc::new(AtomicU32::new(0));
        let (seen, stop) = (runs.clone(), cancel.clone());
        let begun = Instant::now();
        let left_behind = Arc::new(Mutex::new(Vec::new()));
        let tokens = left_behind.clone();
        keep("test-keep", cancel, move |run| {
            tokens.lock().unwrap().push(run);
            let (seen, stop) = (seen.clone(), stop.clone());
            async move {
                match seen.fetch_add(1, Ordering::SeqCst) {
                    0 => panic!("first"),
                    1 => {}
                    _ => stop.cancel(),
                }
            }
        })
        .await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert_eq!(begun.elapsed(), Duration::from_secs(1 + 2));
        assert!(left_behind.lock().unwrap().iter().all(CancellationToken::is_cancelled));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_ends_with_its_token() {
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let work = |run: CancellationToken| async move { run.cancelled().await };
        let kept = spawn("test-ends", keep("test-ends", cancel, work));
        stop.cancel();
        kept.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_ask_is_dropped_at_its_end() {
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let held = Arc::new(());
        let work = {
            let held = held.clone();
            move || {
                let held = held.clone();
                async move {
                    let _held = held;
                    std::future::pending().await
                }
            }
        };
        let kept = spawn("test-dropped", keep_until_cancelled("test-dropped", cancel, work));
        tokio::task::yield_now().await;
        stop.cancel();
        kept.await.unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_an_end_is_started_again_only_when_it_panics() {
        let mut runs = 0;
        let work = |_| {
            runs += 1;
            let first = runs == 1;
            async move {
                assert!(!first, "first");
                7
            }
        };
        assert_eq!(until_done("test-done", CancellationToken::new(), work).await, Some(7));
        assert_eq!(runs, 2);
        let cancelled = CancellationToken::new();
        cancelled.cancel();
        assert_eq!(until_done("test-done", cancelled, |_| async { 7 }).await, None);
    }
}

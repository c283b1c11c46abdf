//! Runs expensive requests off the reactor, so that a few of them never block the others.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;

use parking_lot::Mutex;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Above this size, decoding, patching and checking take milliseconds.
const LONG: usize = 64 << 10;

/// Returns true if a request whose body or object has so many bytes takes long.
pub(crate) const fn is_long(bytes: usize) -> bool {
    bytes >= LONG
}

/// Runs long work on a bounded number of threads, with users taking turns.
pub(crate) struct Work {
    threads: Semaphore,
    /// One place per user in the queue for `threads`, so that the requests of one user do not queue
    /// ahead of another's.
    users: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A client left before its request began.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

impl Default for Work {
    /// Half of the processors.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with((processors / 2).max(1))
    }
}

impl Work {
    fn with(threads: usize) -> Self {
        Self { threads: Semaphore::new(threads), users: Mutex::default() }
    }

    /// The place of a user in the queue.
    fn place(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock();
        if let Some(place) = users.get(user).and_then(Weak::upgrade) {
            return place;
        }
        users.retain(|_, place| place.strong_count() > 0);
        let place = Arc::new(Semaphore::new(1));
        users.insert(user.to_owned(), Arc::downgrade(&place));
        place
    }

    /// Runs a request: a short one in place, a long one on a thread that serves no other request
    /// meanwhile.
    ///
    /// Only computation takes a turn. A request that waits, for a commit or a quota, blocks no
    /// other.
    ///
    /// # Errors
    /// `gone` was cancelled before the request's first turn: nothing has been done.
    pub(crate) async fn run<T>(
        &self,
        user: &str,
        long: bool,
        gone: &CancellationToken,
        request: impl Future<Output = T>,
    ) -> Result<T, Abandoned> {
        let runtime = Handle::current();
        if !long || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return Ok(request.await);
        }
        let place = self.place(user);
        // The semaphores are never closed.
        let turn = async || (place.acquire().await, self.threads.acquire().await);
        let mut first = Some(gone.run_until_cancelled(turn()).await.ok_or(Abandoned)?);
        let mut request = pin!(request);
        loop {
            let turn = match first.take() {
                Some(turn) => turn,
                None => turn().await,
            };
            let step = poll_fn(|cx| {
                Poll::Ready(tokio::task::block_in_place(|| request.as_mut().poll(cx)))
            });
            let step = step.await;
            drop(turn);
            match step {
                Poll::Ready(answer) => return Ok(answer),
                Poll::Pending => woken().await,
            }
        }
    }
}

/// Waits until this task is woken by any source that it was last polled for.
async fn woken() {
    let mut waited = false;
    poll_fn(|_| match std::mem::replace(&mut waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn long_requests_leave_room_for_short_ones() {
        let work = Arc::new(Work::with(1));
        let (gates, long): (Vec<_>, Vec<_>) = (0..4)
            .map(|_| {
                let (gate, closed) = channel::<()>();
                let work = work.clone();
                let request = tokio::spawn(async move {
                    let stays = CancellationToken::new();
                    // It blocks its thread until the short requests are done.
                    let blocks = async move { closed.recv_timeout(Duration::from_secs(20)) };
                    work.run("u", true, &stays, blocks).await.unwrap()
                });
                (gate, request)
            })
            .unzip();
        tokio::task::yield_now().await;
        // Without their own threads the four would block both workers.
        for _ in 0..10 {
            tokio::spawn(async move { work_of_a_short_request().await }).await.unwrap();
        }
        drop(gates);
        for request in long {
            let waited = request.await.unwrap();
            assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "short requests came last");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_holds_nobody_back() {
        let work = Arc::new(Work::with(1));
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let waiting = work.clone();
        let stays = CancellationToken::new();
        let token = stays.clone();
        let waits =
            tokio::spawn(async move { waiting.run("u", true, &token, gate).await.unwrap() });
        tokio::task::yield_now().await;
        // The only turn is free while the other request waits.
        assert_eq!(work.run("u", true, &stays, async { 7 }).await, Ok(7));
        open.send(()).unwrap();
        waits.await.unwrap().unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn one_user_does_not_stand_before_another_and_who_left_is_not_served() {
        let work = Arc::new(Work::with(1));
        let stays = CancellationToken::new();
        let turn = work.threads.acquire().await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for user in ["flood", "flood", "flood", "other"] {
            let (work, stays, order) = (work.clone(), stays.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let done = async { order.lock().push(user) };
                work.run(user, true, &stays, done).await.unwrap();
            }));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (gone, queue) = (CancellationToken::new(), work.clone());
        let token = gone.clone();
        let left = tokio::spawn(async move {
            queue.run("flood", true, &token, async { unreachable!() }).await
        });
        gone.cancel();
        assert_eq!(left.await.unwrap(), Err(Abandoned));
        drop(turn);
        for request in waiting {
            request.await.unwrap();
        }
        assert!(order.lock()[..2].contains(&"other"), "{:?}", order.lock());
    }

    async fn work_of_a_short_request() {
        tokio::task::yield_now().await;
    }
}

//! Long work leaves the reactor: a few requests that take much CPU never stop the others.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

/// From here on, decoding, patching and checking take milliseconds.
const LONG: usize = 64 << 10;

/// Where long work is done, a bounded number at once.
pub(crate) struct Work {
    threads: Semaphore,
}

impl Default for Work {
    /// Half of the processors.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { threads: Semaphore::new((processors / 2).max(1)) }
    }
}

impl Work {
    /// Runs a request whose body, or whose object, has `bytes`: short ones where they are, long
    /// ones on a thread that answers nobody else meanwhile.
    ///
    /// Only what a request computes takes turns with the others. While it waits, for a commit or a
    /// quota, it holds nothing back.
    pub(crate) async fn run<T>(&self, bytes: usize, request: impl Future<Output = T>) -> T {
        let runtime = Handle::current();
        if bytes < LONG || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return request.await;
        }
        let mut request = pin!(request);
        loop {
            // The semaphore is never closed.
            let turn = self.threads.acquire().await;
            let step = poll_fn(|cx| {
                Poll::Ready(tokio::task::block_in_place(|| request.as_mut().poll(cx)))
            });
            let step = step.await;
            drop(turn);
            match step {
                Poll::Ready(answer) => return answer,
                Poll::Pending => woken().await,
            }
        }
    }
}

/// Waits until this task is woken, by whatever it was last polled for.
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
    use std::time::{Duration, Instant};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn long_requests_leave_room_for_short_ones() {
        let work = std::sync::Arc::new(Work { threads: Semaphore::new(1) });
        let busy = Duration::from_millis(150);
        let long: Vec<_> = (0..4)
            .map(|_| {
                let work = work.clone();
                tokio::spawn(async move {
                    work.run(1 << 20, async move { compute(busy) }).await;
                })
            })
            .collect();
        tokio::task::yield_now().await;
        // Without a thread of their own the four would hold both workers.
        let begun = Instant::now();
        for _ in 0..10 {
            tokio::spawn(async move { work_of_a_short_request().await }).await.unwrap();
        }
        assert!(begun.elapsed() < 2 * busy, "{:?}", begun.elapsed());
        for request in long {
            request.await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waits_holds_nobody_back() {
        let work = std::sync::Arc::new(Work { threads: Semaphore::new(1) });
        let (open, gate) = tokio::sync::oneshot::channel::<()>();
        let waiting = work.clone();
        let waits = tokio::spawn(async move { waiting.run(1 << 20, gate).await });
        tokio::task::yield_now().await;
        // The only turn is free while the other waits.
        assert_eq!(work.run(1 << 20, async { 7 }).await, 7);
        open.send(()).unwrap();
        waits.await.unwrap().unwrap();
    }

    /// Takes a processor for some time.
    fn compute(time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::hint::spin_loop();
        }
    }

    async fn work_of_a_short_request() {
        tokio::task::yield_now().await;
    }
}

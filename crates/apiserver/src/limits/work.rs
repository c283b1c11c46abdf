//! Long work leaves the reactor: a few requests that take much CPU never stop the others.

use std::future::Future;

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
    /// ones one after another on a thread that answers nobody else meanwhile.
    pub(crate) async fn run<T>(&self, bytes: usize, request: impl Future<Output = T>) -> T {
        let runtime = Handle::current();
        if bytes < LONG || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return request.await;
        }
        // The semaphore is never closed.
        let _permit = self.threads.acquire().await;
        tokio::task::block_in_place(|| runtime.block_on(request))
    }
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
                    work.run(1 << 20, async move { std::thread::sleep(busy) }).await;
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

    async fn work_of_a_short_request() {
        tokio::task::yield_now().await;
    }
}

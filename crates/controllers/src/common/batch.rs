//! Slow start: try a little, and more only if it went well.

use futures::future::join_all;

/// Calls `make` up to `count` times in parallel batches of 1, 2, 4 and so on, and stops after the
/// first batch with a failure. So a quota that refuses everything is asked once, not a thousand
/// times. Gives the number of successes and the first error.
pub(crate) async fn slow_start<F, R, E>(count: usize, make: F) -> (usize, Option<E>)
where
    F: Fn(usize) -> R,
    R: Future<Output = Result<(), E>>,
{
    let mut done = 0;
    let mut batch = 1;
    while done < count {
        let size = batch.min(count - done);
        let results = join_all((done..done + size).map(&make)).await;
        let mut error = None;
        for result in results {
            match result {
                Ok(()) => done += 1,
                Err(e) => error = error.or(Some(e)),
            }
        }
        if error.is_some() {
            return (done, error);
        }
        batch *= 2;
    }
    (done, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn a_failure_ends_after_its_batch() {
        for (count, fails_from, tried, succeeded) in
            [(10, 100, 10, 10), (100, 0, 1, 0), (100, 5, 7, 5), (0, 0, 0, 0)]
        {
            let calls = AtomicUsize::new(0);
            let (done, error) = slow_start(count, |i| {
                calls.fetch_add(1, Ordering::Relaxed);
                async move { if i < fails_from { Ok(()) } else { Err(i) } }
            })
            .await;
            assert_eq!((calls.into_inner(), done), (tried, succeeded));
            assert_eq!(error.is_some(), succeeded < count);
        }
    }
}

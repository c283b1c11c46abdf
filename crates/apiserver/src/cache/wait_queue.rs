//! Wakes the readers of a log, a few at a time, those that have waited longest first.
//!
//! Waking a thousand readers at once would make everything else of the process wait for all of
//! them. Woken in groups, with whatever else is ready running in between, a reader whose turn comes
//! later finds more changes and sends them as one piece, so a busy log costs its readers fewer
//! turns; a quiet log's readers are woken without delay.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// The readers of a log that wait until it has grown.
#[derive(Default)]
pub(crate) struct WaitQueue(Mutex<State>);

#[derive(Default)]
struct State {
    published: u64,
    /// Readers by when they began to wait.
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

struct Waiting {
    /// What had been published when the reader began to wait. Later waiters have no lower number.
    seen: u64,
    waker: Waker,
}

/// One reader's relation to the queue.
#[derive(Default)]
pub(crate) struct Waiter {
    seen: u64,
    ticket: Option<u64>,
}

impl WaitQueue {
    /// From now on every reader that observed earlier has something to read. Wakes nobody.
    pub(crate) fn publish(&self) {
        self.0.lock().published += 1;
    }

    /// Wakes at most `max` readers that wait since before the last publication; true if more are left.
    pub(crate) fn wake(&self, max: usize) -> bool {
        let mut wakers = Vec::new();
        let more = {
            let mut state = self.0.lock();
            let published = state.published;
            loop {
                match state.waiting.first_entry() {
                    Some(first) if first.get().seen < published => {
                        if wakers.len() == max {
                            break true;
                        }
                        wakers.push(first.remove().waker);
                    }
                    _ => break false,
                }
            }
        };
        wakers.into_iter().for_each(Waker::wake);
        more
    }

    /// Says that `waiter` is about to read everything there is.
    pub(crate) fn observe(&self, waiter: &mut Waiter) {
        waiter.seen = self.0.lock().published;
    }

    /// Ready when the log has grown since `waiter` observed it.
    pub(crate) fn poll(&self, waiter: &mut Waiter, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.published == waiter.seen
            && let Some(waiting) = waiter.ticket.and_then(|ticket| state.waiting.get_mut(&ticket))
            && waiting.seen == waiter.seen
        {
            waiting.waker.clone_from(context.waker());
            return Poll::Pending;
        }
        // A reader that has observed again goes to the end of the queue: `seen` must grow along it.
        if let Some(ticket) = waiter.ticket.take() {
            state.waiting.remove(&ticket);
        }
        if state.published != waiter.seen {
            waiter.seen = state.published;
            return Poll::Ready(());
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let waiting = Waiting { seen: waiter.seen, waker: context.waker().clone() };
        state.waiting.insert(ticket, waiting);
        waiter.ticket = Some(ticket);
        Poll::Pending
    }

    /// Forgets a reader.
    pub(crate) fn leave(&self, waiter: &Waiter) {
        if let Some(ticket) = waiter.ticket {
            self.0.lock().waiting.remove(&ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Reader {
        waiter: Waiter,
        count: Arc<Count>,
    }

    impl Reader {
        fn wait(&mut self, queue: &WaitQueue) -> Poll<()> {
            let waker = Waker::from(self.count.clone());
            queue.poll(&mut self.waiter, &Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.count.0.load(Ordering::SeqCst)
        }
    }

    fn readers<const N: usize>(queue: &WaitQueue) -> [Reader; N] {
        std::array::from_fn(|_| {
            let mut reader = Reader { waiter: Waiter::default(), count: Arc::default() };
            queue.observe(&mut reader.waiter);
            assert!(reader.wait(queue).is_pending());
            reader
        })
    }

    #[test]
    fn those_who_wait_longest_are_woken_first_and_once_for_many_publications() {
        let queue = WaitQueue::default();
        let mut readers = readers::<3>(&queue);
        assert!(!queue.wake(9), "nothing has been published");
        queue.publish();
        assert!(queue.wake(2));
        assert_eq!(readers.each_ref().map(Reader::woken), [1, 1, 0]);
        assert!(readers[0].wait(&queue).is_ready());
        assert!(readers[0].wait(&queue).is_pending());
        queue.publish();
        assert!(!queue.wake(2));
        assert_eq!(readers.each_ref().map(Reader::woken), [2, 1, 1]);
        assert!(readers.iter_mut().all(|r| r.wait(&queue).is_ready()));
        assert!(readers.iter_mut().all(|r| r.wait(&queue).is_pending()));
        assert!(!queue.wake(9));
    }

    #[test]
    fn who_observes_again_without_being_woken_holds_up_nobody() {
        let queue = WaitQueue::default();
        let mut readers = readers::<2>(&queue);
        queue.publish();
        queue.observe(&mut readers[0].waiter);
        assert!(readers[0].wait(&queue).is_pending());
        assert!(!queue.wake(9));
        assert_eq!(readers.each_ref().map(Reader::woken), [0, 1]);
        queue.publish();
        assert!(!queue.wake(9));
        assert_eq!(readers.each_ref().map(Reader::woken), [1, 1]);
    }

    #[test]
    fn who_left_is_forgotten() {
        let queue = WaitQueue::default();
        let readers = readers::<2>(&queue);
        queue.leave(&readers[0].waiter);
        queue.publish();
        assert!(!queue.wake(1));
        assert_eq!(readers.each_ref().map(Reader::woken), [0, 1]);
        assert!(queue.0.lock().waiting.is_empty());
    }
}

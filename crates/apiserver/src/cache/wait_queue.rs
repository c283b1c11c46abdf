//! Wakes the readers of a log a few at a time, the longest waiting first.
//!
//! Waking a thousand readers at once would delay everything else in the process. When they are
//! woken in groups, with other ready tasks running in between, later readers find more changes and
//! send them as one piece, so a busy log costs its readers fewer turns; a quiet log's readers are
//! woken without delay.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// The readers that wait for a log to grow.
#[derive(Default)]
pub(crate) struct WaitQueue(Mutex<State>);

#[derive(Default)]
struct State {
    published: u64,
    /// Readers in the order in which they began to wait.
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

struct Waiting {
    /// Publications before the reader began to wait. Later waiters have no lower number.
    seen: u64,
    waker: Waker,
}

/// The state of one reader in the queue.
#[derive(Default)]
pub(crate) struct Waiter {
    seen: u64,
    ticket: Option<u64>,
}

impl WaitQueue {
    /// Readers that wait.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().waiting.len()
    }

    /// Marks every reader that observed earlier as having something to read. Wakes none of them.
    pub(crate) fn publish(&self) {
        self.0.lock().published += 1;
    }

    /// Wakes at most `max` readers waiting since before the last publication; true if more remain.
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

    /// Notes that `waiter` is about to read all current changes.
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
        // A reader that observed again moves to the end of the queue, where `seen` must not fall.
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

    /// Removes a reader.
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

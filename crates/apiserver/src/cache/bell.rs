//! What wakes the readers of a log: a few at a time, those that have waited longest first.
//!
//! Waking a thousand readers at once would make everything else of the process wait for all of
//! them. Woken in groups, with whatever else is ready running in between, a reader whose turn comes
//! later finds more changes and sends them as one piece, so a busy log costs its readers fewer
//! turns; a quiet log's readers are woken without delay.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Rung when the log has grown.
#[derive(Default)]
pub(crate) struct Bell(Mutex<State>);

#[derive(Default)]
struct State {
    rings: u64,
    /// Readers by when they began to wait.
    waiting: BTreeMap<u64, Waiting>,
    next_ticket: u64,
}

struct Waiting {
    /// Rings when the reader began to wait. Later waiters have no lower number.
    heard: u64,
    waker: Waker,
}

/// One reader's relation to the bell.
#[derive(Default)]
pub(crate) struct Ear {
    heard: u64,
    ticket: Option<u64>,
}

impl Bell {
    /// From now on everybody who listened earlier has something to read. Wakes nobody.
    pub(crate) fn ring(&self) {
        self.0.lock().rings += 1;
    }

    /// Wakes at most `max` readers that wait since before the last ring. Whether more are left.
    pub(crate) fn wake(&self, max: usize) -> bool {
        let mut wakers = Vec::new();
        let more = {
            let mut state = self.0.lock();
            let rings = state.rings;
            loop {
                match state.waiting.first_entry() {
                    Some(first) if first.get().heard < rings => {
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

    /// Says that `ear` is about to read everything there is.
    pub(crate) fn listen(&self, ear: &mut Ear) {
        ear.heard = self.0.lock().rings;
    }

    /// Ready when the bell has rung since `ear` listened.
    pub(crate) fn poll(&self, ear: &mut Ear, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.rings == ear.heard
            && let Some(waiting) = ear.ticket.and_then(|ticket| state.waiting.get_mut(&ticket))
            && waiting.heard == ear.heard
        {
            waiting.waker.clone_from(context.waker());
            return Poll::Pending;
        }
        // Who has listened again goes to the end of the queue: `heard` must grow along it.
        if let Some(ticket) = ear.ticket.take() {
            state.waiting.remove(&ticket);
        }
        if state.rings != ear.heard {
            ear.heard = state.rings;
            return Poll::Ready(());
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let waiting = Waiting { heard: ear.heard, waker: context.waker().clone() };
        state.waiting.insert(ticket, waiting);
        ear.ticket = Some(ticket);
        Poll::Pending
    }

    /// Forgets a reader.
    pub(crate) fn leave(&self, ear: &Ear) {
        if let Some(ticket) = ear.ticket {
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
        ear: Ear,
        count: Arc<Count>,
    }

    impl Reader {
        fn wait(&mut self, bell: &Bell) -> Poll<()> {
            let waker = Waker::from(self.count.clone());
            bell.poll(&mut self.ear, &Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.count.0.load(Ordering::SeqCst)
        }
    }

    fn readers<const N: usize>(bell: &Bell) -> [Reader; N] {
        std::array::from_fn(|_| {
            let mut reader = Reader { ear: Ear::default(), count: Arc::default() };
            bell.listen(&mut reader.ear);
            assert!(reader.wait(bell).is_pending());
            reader
        })
    }

    #[test]
    fn those_who_wait_longest_are_woken_first_and_once_for_many_rings() {
        let bell = Bell::default();
        let mut readers = readers::<3>(&bell);
        assert!(!bell.wake(9), "nothing has been rung");
        bell.ring();
        assert!(bell.wake(2));
        assert_eq!(readers.each_ref().map(Reader::woken), [1, 1, 0]);
        assert!(readers[0].wait(&bell).is_ready());
        assert!(readers[0].wait(&bell).is_pending());
        bell.ring();
        assert!(!bell.wake(2));
        assert_eq!(readers.each_ref().map(Reader::woken), [2, 1, 1]);
        assert!(readers.iter_mut().all(|r| r.wait(&bell).is_ready()));
        assert!(readers.iter_mut().all(|r| r.wait(&bell).is_pending()));
        assert!(!bell.wake(9));
    }

    #[test]
    fn who_listens_again_without_being_woken_holds_up_nobody() {
        let bell = Bell::default();
        let mut readers = readers::<2>(&bell);
        bell.ring();
        bell.listen(&mut readers[0].ear);
        assert!(readers[0].wait(&bell).is_pending());
        assert!(!bell.wake(9));
        assert_eq!(readers.each_ref().map(Reader::woken), [0, 1]);
        bell.ring();
        assert!(!bell.wake(9));
        assert_eq!(readers.each_ref().map(Reader::woken), [1, 1]);
    }

    #[test]
    fn who_left_is_forgotten() {
        let bell = Bell::default();
        let readers = readers::<2>(&bell);
        bell.leave(&readers[0].ear);
        bell.ring();
        assert!(!bell.wake(1));
        assert_eq!(readers.each_ref().map(Reader::woken), [0, 1]);
        assert!(bell.0.lock().waiting.is_empty());
    }
}

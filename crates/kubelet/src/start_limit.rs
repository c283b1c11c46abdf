//! How many pods of a burst are started at once.
//!
//! Making namespaces, mounts and processes costs processor time and next to no waiting. Started all
//! at once, the pods of a burst share the processors and are ready together, at its end. Started a
//! few at a time, and those first that have got furthest, they end just as soon and are ready one
//! after the other, in half the time on average.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Steps at once for each processor: the kernel makes some of them wait.
const STEPS_PER_CPU: usize = 2;
/// A step that takes longer waits for something, and makes room: else a few pods whose start hangs
/// would keep all others of the node from starting.
const PATIENCE: Duration = Duration::from_millis(250);

/// A step of a pod's start. Later ones go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Sandbox,
    Create,
    Start,
}

/// Lets a bounded number of steps through at once.
pub(crate) struct StartLimit {
    state: Mutex<State>,
}

struct State {
    free: usize,
    /// Those that wait, by step, the first come first.
    waiting: [VecDeque<oneshot::Sender<()>>; 3],
}

/// A step that is let through, until it is dropped.
struct Permit<'a>(&'a StartLimit);

impl StartLimit {
    pub(crate) fn new(cpus: usize) -> Self {
        let free = cpus.max(1) * STEPS_PER_CPU;
        Self { state: Mutex::new(State { free, waiting: Default::default() }) }
    }

    /// Carries out a step when there is room for it.
    pub(crate) async fn run<T>(&self, step: Step, work: impl Future<Output = T>) -> T {
        let permit = self.permit(step).await;
        let mut work = std::pin::pin!(work);
        match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(done) => done,
            Err(_) => {
                drop(permit);
                work.await
            }
        }
    }

    async fn permit(&self, step: Step) -> Permit<'_> {
        let turn = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return Permit(self);
            }
            let (sender, turn) = oneshot::channel();
            state.waiting[step as usize].push_back(sender);
            Turn { limit: self, turn, taken: false }
        };
        turn.wait().await
    }

    /// Passes a permit on, or keeps it for whoever comes next.
    fn release(&self) {
        let mut state = self.state.lock();
        loop {
            let Some(next) = state.waiting.iter_mut().rev().find_map(VecDeque::pop_front) else {
                state.free += 1;
                return;
            };
            // Else it waits no more.
            if next.send(()).is_ok() {
                return;
            }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Somebody who waits, and may be given a permit just when it stops to.
struct Turn<'a> {
    limit: &'a StartLimit,
    turn: oneshot::Receiver<()>,
    taken: bool,
}

impl<'a> Turn<'a> {
    async fn wait(mut self) -> Permit<'a> {
        // The sender is dropped only after it has sent.
        (&mut self.turn).await.ok();
        self.taken = true;
        Permit(self.limit)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turn.close();
        if !self.taken && self.turn.try_recv().is_ok() {
            self.limit.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn later_steps_go_first_and_hung_ones_make_room() {
        let limit = Arc::new(StartLimit::new(1));
        let order = Arc::new(Mutex::new(Vec::new()));
        let start = |name: &'static str, step, takes: u64| {
            let (limit, order) = (limit.clone(), order.clone());
            let work = async move {
                let takes = Duration::from_millis(takes);
                limit.run(step, tokio::time::sleep(takes)).await;
                order.lock().push(name);
            };
            tokio::spawn(work)
        };
        // Both places are taken by steps that hang, until those have had their time.
        let hung = [start("", Step::Sandbox, 600_000), start("", Step::Start, 600_000)];
        let leaves = start("left", Step::Create, 1);
        let tasks = [
            start("sandbox", Step::Sandbox, 20),
            start("create", Step::Create, 10),
            start("start", Step::Start, 10),
        ];
        leaves.abort();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock(), ["start", "create", "sandbox"]);
        assert_eq!(limit.state.lock().free, 2);
        for task in hung {
            task.abort();
        }
    }
}

//! Fair queuing of one priority level's requests (KEP-1040).
//!
//! The requests of a flow are dealt into the shortest of a few queues that its name chooses, so that
//! a busy flow fills its own and a quiet one nearly always finds an empty one. Queues are served as
//! if all of them were at once, each with an equal part of the seats: the meter `progress` says how
//! many seconds of one seat each busy queue should have had by now, and the queue whose next request
//! would be done first by that measure is the next to be served.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::demand::{Demand, Observed};
use super::estimate::Estimate;

/// Time that a request is expected to take, in seconds; the meter is corrected when it is known.
const EXPECTED: f64 = 0.003;

/// The fate of requests that find no free seats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// They are executed all the same.
    Exempt,
    /// They are refused.
    Reject,
    Queue {
        queues: usize,
        /// Queues that one flow may use.
        hand: usize,
        /// Requests that one queue takes.
        length: usize,
    },
}

/// The decision on a request that has arrived.
pub(super) enum Arrival {
    Runs(Ticket),
    /// It is executed once the channel says when it began.
    Waits(Ticket, oneshot::Receiver<Instant>),
    /// Upstream's word for why it is refused.
    Refused(&'static str),
}

/// A request that waits or runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    id: u64,
    queue: Option<usize>,
    estimate: Estimate,
}

impl Ticket {
    pub(super) fn seats(&self) -> usize {
        self.estimate.most()
    }
}

/// The requests of one priority level.
pub(super) struct Queues {
    policy: Policy,
    /// Seats for requests that are executed at once.
    limit: usize,
    /// Those in use, by number: there may be millions, of which nearly all are empty.
    queues: BTreeMap<usize, Queue>,
    /// The queue that was served last.
    served: usize,
    /// How far each busy queue should be, in seconds of one seat, and when that was.
    progress: f64,
    at: Instant,
    counts: Counts,
    totals: Totals,
    demand: Demand,
    next_id: u64,
}

/// Numbers of requests and seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) waiting: usize,
    pub(super) executing: usize,
    pub(super) seats_waiting: usize,
    pub(super) seats_in_use: usize,
    busy_queues: usize,
}

/// Requests since the level was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) dispatched: u64,
    pub(super) rejected: u64,
    pub(super) cancelled: u64,
}

/// A queue in use.
pub(super) struct InUse {
    pub(super) index: usize,
    pub(super) waiting: usize,
    pub(super) executing: usize,
    pub(super) seats: usize,
    /// The meter's reading at which its next request begins.
    pub(super) next: f64,
}

#[derive(Default)]
struct Queue {
    /// The meter's reading at which its next request begins.
    next: f64,
    waiting: VecDeque<Waiting>,
    executing: usize,
    /// Also those that are still used after the answer.
    seats: usize,
}

struct Waiting {
    ticket: Ticket,
    arrived: f64,
    turn: oneshot::Sender<Instant>,
}

impl Queue {
    fn is_busy(&self) -> bool {
        !self.waiting.is_empty() || self.executing > 0
    }

    /// A queue that does not use its part saves nothing for later: no request begins before it came.
    fn bound(&mut self) {
        if let Some(first) = self.waiting.front() {
            self.next = self.next.max(first.arrived);
        }
    }

    fn work(&self) -> f64 {
        self.waiting.iter().map(|waiting| work(&waiting.ticket)).sum()
    }
}

fn work(ticket: &Ticket) -> f64 {
    ticket.estimate.initial as f64 * EXPECTED + ticket.estimate.last_work()
}

impl Queues {
    pub(super) fn new(policy: Policy, limit: usize, at: Instant) -> Self {
        Self {
            policy,
            limit,
            queues: BTreeMap::new(),
            served: 0,
            progress: 0.0,
            at,
            counts: Counts::default(),
            totals: Totals::default(),
            demand: Demand::new(at),
            next_id: 0,
        }
    }

    /// The queues in use.
    pub(super) fn each(&self) -> impl Iterator<Item = InUse> {
        self.queues.iter().map(|(index, queue)| InUse {
            index: *index,
            waiting: queue.waiting.len(),
            executing: queue.executing,
            seats: queue.seats,
            next: queue.next,
        })
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn observe(&mut self, at: Instant) -> Observed {
        self.demand.observe(at)
    }

    pub(super) fn set_policy(&mut self, at: Instant, policy: Policy) {
        self.pass(at);
        self.policy = policy;
    }

    pub(super) fn set_limit(&mut self, at: Instant, limit: usize) {
        self.pass(at);
        self.limit = limit;
        self.dispatch(at);
    }

    /// Advances the meter.
    fn pass(&mut self, at: Instant) {
        let passed = at.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(at);
        if self.counts.busy_queues > 0 {
            let wanted = self.counts.seats_in_use + self.counts.seats_waiting;
            let rate = wanted.min(self.limit) as f64 / self.counts.busy_queues as f64;
            self.progress += rate * passed;
        }
    }

    fn fits(&self, seats: usize) -> bool {
        match self.policy {
            Policy::Exempt => true,
            // One that needs more seats than there are waits until it is alone.
            _ if seats > self.limit => self.counts.executing == 0,
            _ => self.counts.seats_in_use + seats <= self.limit,
        }
    }

    /// Takes a request of the flow with this hash.
    pub(super) fn arrive(
        &mut self,
        at: Instant,
        hash: impl FnOnce() -> u64,
        estimate: Estimate,
    ) -> Arrival {
        self.pass(at);
        self.next_id += 1;
        let mut ticket = Ticket { id: self.next_id, queue: None, estimate };
        let Policy::Queue { queues, hand, length } = self.policy else {
            if !self.fits(ticket.seats()) {
                self.totals.rejected += 1;
                return Arrival::Refused("concurrency-limit");
            }
            self.begin(at, &mut ticket);
            return Arrival::Runs(ticket);
        };
        let chosen = self.choose(hash(), queues, hand);
        ticket.queue = Some(chosen);
        let queue = self.queues.get(&chosen);
        let waiting = queue.map_or(0, |queue| queue.waiting.len());
        if self.counts.seats_in_use >= self.limit && waiting >= length {
            self.totals.rejected += 1;
            return Arrival::Refused("queue-full");
        }
        if queue.is_none_or(|queue| !queue.is_busy()) {
            self.queues.entry(chosen).or_default().next = self.progress;
        }
        if self.counts.waiting == 0 && self.fits(ticket.seats()) {
            self.begin(at, &mut ticket);
            return Arrival::Runs(ticket);
        }
        let (turn, turned) = oneshot::channel();
        let arrived = self.progress;
        self.change(chosen, |queue| queue.waiting.push_back(Waiting { ticket, arrived, turn }));
        self.counts.waiting += 1;
        self.counts.seats_waiting += ticket.seats();
        self.note_demand(at);
        self.dispatch(at);
        Arrival::Waits(ticket, turned)
    }

    /// The queue with the least work of those in the flow's hand.
    fn choose(&self, flow: u64, queues: usize, hand: usize) -> usize {
        let hand = deal(flow, queues, hand);
        // Not always the first of equals.
        let first = self.next_id as usize % hand.len().max(1);
        let (before, from) = hand.split_at(first);
        let candidates = from.iter().chain(before).copied();
        let work = |index: &usize| self.queues.get(index).map_or(0.0, Queue::work);
        candidates.min_by(|a, b| work(a).total_cmp(&work(b))).unwrap_or(0)
    }

    /// Changes a queue, keeps count of the busy ones, and forgets one that is empty.
    fn change<T>(&mut self, index: usize, change: impl FnOnce(&mut Queue) -> T) -> T {
        let queue = self.queues.entry(index).or_default();
        let was = queue.is_busy();
        let changed = change(queue);
        queue.bound();
        let (is, seats) = (queue.is_busy(), queue.seats);
        match (was, is) {
            (false, true) => self.counts.busy_queues += 1,
            (true, false) => self.counts.busy_queues -= 1,
            _ => {}
        }
        if !is && seats == 0 {
            self.queues.remove(&index);
        }
        changed
    }

    fn note_demand(&mut self, at: Instant) {
        self.demand.set(at, self.counts.seats_in_use + self.counts.seats_waiting);
    }

    /// Gives a request its seats.
    fn begin(&mut self, at: Instant, ticket: &mut Ticket) {
        let seats = ticket.seats();
        self.totals.dispatched += 1;
        self.counts.executing += 1;
        self.counts.seats_in_use += seats;
        if let Some(index) = ticket.queue {
            self.change(index, |queue| {
                queue.executing += 1;
                queue.seats += seats;
                queue.next += work(ticket);
            });
        }
        self.note_demand(at);
    }

    /// Lets requests in while there are seats for the next.
    fn dispatch(&mut self, at: Instant) {
        while self.counts.waiting > 0 {
            let Some((index, seats)) = self.next_queue() else { return };
            if !self.fits(seats) {
                // Nobody overtakes it, or it might never find enough.
                return;
            }
            self.served = index;
            let Some(Waiting { mut ticket, turn, .. }) = self.take(index, 0) else { return };
            self.begin(at, &mut ticket);
            if turn.send(at).is_err() {
                // It has gone, and will not come to say so.
                self.leave(&ticket);
                self.release(at, &ticket);
            }
        }
    }

    /// Takes a waiting request out of its queue.
    fn take(&mut self, index: usize, place: usize) -> Option<Waiting> {
        let taken = self.change(index, |queue| queue.waiting.remove(place))?;
        self.counts.waiting -= 1;
        self.counts.seats_waiting -= taken.ticket.seats();
        Some(taken)
    }

    /// The queue whose next request would be done first, and the seats of that; of equals, the one
    /// after that served last.
    fn next_queue(&self) -> Option<(usize, usize)> {
        let after = self.queues.range(self.served + 1..);
        let rotated = after.chain(self.queues.range(..=self.served));
        let next = rotated.filter_map(|(index, queue)| {
            let first = queue.waiting.front()?;
            Some((*index, first.ticket.seats(), queue.next + work(&first.ticket)))
        });
        let first = next.min_by(|(.., a), (.., b)| a.total_cmp(b));
        first.map(|(index, seats, _)| (index, seats))
    }

    /// Takes a waiting request out; `false` if it waits no more.
    pub(super) fn give_up(&mut self, at: Instant, ticket: &Ticket) -> bool {
        self.pass(at);
        let Some(index) = ticket.queue else { return false };
        let Some(queue) = self.queues.get(&index) else { return false };
        let is_it = |waiting: &Waiting| waiting.ticket.id == ticket.id;
        let Some(place) = queue.waiting.iter().position(is_it) else { return false };
        self.take(index, place);
        self.totals.rejected += 1;
        self.totals.cancelled += 1;
        self.note_demand(at);
        self.dispatch(at);
        true
    }

    /// Ends a request that began then. Its seats are to be released after the time that is returned.
    pub(super) fn end(&mut self, at: Instant, ticket: &Ticket, began: Instant) -> Duration {
        self.pass(at);
        let took = at.saturating_duration_since(began).as_secs_f64();
        let correction = ticket.estimate.initial as f64 * (EXPECTED - took);
        if let Some(index) = ticket.queue {
            self.change(index, |queue| queue.next -= correction);
        }
        self.leave(ticket);
        let lasting = ticket.estimate.lasting;
        if lasting.is_zero() {
            self.release(at, ticket);
            self.dispatch(at);
        }
        lasting
    }

    fn leave(&mut self, ticket: &Ticket) {
        self.counts.executing -= 1;
        if let Some(index) = ticket.queue {
            self.change(index, |queue| queue.executing -= 1);
        }
    }

    fn release(&mut self, at: Instant, ticket: &Ticket) {
        self.counts.seats_in_use -= ticket.seats();
        if let Some(index) = ticket.queue {
            self.change(index, |queue| queue.seats -= ticket.seats());
        }
        self.note_demand(at);
    }

    /// Frees the seats of a request that has ended some time ago.
    pub(super) fn release_late(&mut self, at: Instant, ticket: &Ticket) {
        self.pass(at);
        self.release(at, ticket);
        self.dispatch(at);
    }
}

/// A hand of different queues, as the hash deals it.
fn deal(mut hash: u64, queues: usize, hand: usize) -> Vec<usize> {
    let mut dealt: Vec<usize> = Vec::with_capacity(hand);
    let mut sorted: Vec<usize> = Vec::with_capacity(hand);
    for left in (0..queues).rev().take(hand.min(queues)) {
        let choices = left as u64 + 1;
        let mut card = (hash % choices) as usize;
        hash /= choices;
        // The number of a queue among those that are left.
        for taken in &sorted {
            if card >= *taken {
                card += 1;
            }
        }
        let place = sorted.partition_point(|taken| *taken < card);
        sorted.insert(place, card);
        dealt.push(card);
    }
    dealt
}

#[cfg(test)]
mod tests;

//! API Priority and Fairness (KEP-1040): who is served when there are more requests than the server
//! takes at once.
//!
//! ```text
//! request ──▶ flow schema ──▶ priority level ──▶ queue of its flow ──▶ seats ──▶ executed
//!             (who, what)     (part of seats)    (fair among flows)    (width)
//! ```

mod allocation;
mod demand;
mod dump;
mod estimate;
mod levels;
mod queues;
mod refusals;
mod schemas;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apimachinery::{Object, ObjectExt};
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use telemetry::task;
use tokio::sync::{Notify, oneshot};

use crate::bootstrap::flow_control::mandatory;
use crate::cache::Collection;
use crate::metrics;
use crate::request::{Query, RequestInfo};
use crate::user::User;
use levels::{Level, Levels, Settings};
use queues::{Arrival, Ticket};
use refusals::Refusals;
use schemas::Schema;

pub(crate) use dump::Dump;

/// Seats of the server: upstream's `--max-requests-inflight` and `--max-mutating-requests-inflight`.
const SEATS: usize = 400 + 200;
/// Schema and level that take what no other does.
const CATCH_ALL: &str = "catch-all";
/// Time after which seats are lent anew, while there are requests.
const LENDING: Duration = Duration::from_secs(10);

/// The server's flow control.
pub(crate) struct FlowControl {
    levels: Mutex<Levels>,
    /// Schemas in the order in which they are tried.
    schemas: ArcSwap<Vec<Arc<Entry>>>,
    refusals: Refusals,
    begun: Instant,
    /// A request came since seats were lent last.
    used: AtomicBool,
    lend: Notify,
    metrics: metrics::FlowControl,
}

/// A schema with its level.
struct Entry {
    schema: Schema,
    level: Arc<Level>,
    matched: Matched,
    metrics: metrics::SchemaMetrics,
}

/// The response headers that tell which objects a request matched, without their names.
#[derive(Clone)]
pub(crate) struct Matched {
    pub(crate) schema: HeaderValue,
    pub(crate) level: HeaderValue,
}

/// The decision on a request.
pub(crate) enum Admitted {
    Now(Seats),
    Later(Waits),
    /// Refused; the client may try again after so many seconds.
    Refused(u64),
}

impl FlowControl {
    pub(crate) fn new(metrics: metrics::FlowControl) -> Self {
        let new = Self {
            levels: Mutex::new(Levels::new(SEATS)),
            schemas: ArcSwap::default(),
            refusals: Refusals::default(),
            begun: Instant::now(),
            used: AtomicBool::new(false),
            lend: Notify::new(),
            metrics,
        };
        new.configure(&[], &[]);
        new
    }

    /// Takes the present schemas and levels. The mandatory ones are there also when somebody has
    /// removed their objects.
    pub(crate) fn configure(&self, schemas: &[Object], levels: &[Object]) {
        let mut settings: BTreeMap<String, Settings> = BTreeMap::new();
        let mut read: Vec<Schema> = Vec::new();
        let mandatory: Vec<Object> = mandatory().collect();
        // Those that are there come later, and win.
        for object in mandatory.iter().filter(|o| o["kind"] != "FlowSchema").chain(levels) {
            match Settings::read(object) {
                Ok(one) => drop(settings.insert(object.name().to_owned(), one)),
                Err(error) => {
                    tracing::error!(level = object.name(), %error, "not a priority level")
                }
            }
        }
        let missing = mandatory.iter().filter(|own| {
            own["kind"] == "FlowSchema" && schemas.iter().all(|one| one.name() != own.name())
        });
        for object in schemas.iter().chain(missing) {
            match Schema::read(object) {
                Ok(one) => read.push(one),
                Err(error) => tracing::error!(schema = object.name(), %error, "not a flow schema"),
            }
        }
        read.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut levels = self.levels.lock();
        levels.configure(Instant::now(), settings, &|name| self.metrics.of_level(name));
        let entry = |schema: Schema| {
            // A schema whose level is missing is not used.
            let (level, settings) = levels.get(&schema.level)?;
            let header = |uid: &str| HeaderValue::from_str(uid).ok();
            let empty = HeaderValue::from_static("");
            Some(Arc::new(Entry {
                level: level.clone(),
                matched: Matched {
                    schema: header(&schema.uid).unwrap_or(empty.clone()),
                    level: header(&settings.uid).unwrap_or(empty),
                },
                metrics: self.metrics.of_schema(&level.name, &schema.name),
                schema,
            }))
        };
        let entries: Vec<_> = read.into_iter().filter_map(entry).collect();
        self.refusals.keep(|level| levels.get(level).is_some());
        drop(levels);
        self.schemas.store(Arc::new(entries));
    }

    fn classify(&self, user: &User, info: &RequestInfo) -> Option<Arc<Entry>> {
        let schemas = self.schemas.load();
        let found = schemas.iter().find(|entry| entry.schema.matches(user, info));
        // Every user is in one of the groups of the last schema, unless an authenticator errs.
        let last = || schemas.iter().find(|entry| entry.schema.name == CATCH_ALL);
        found.or_else(last).cloned()
    }

    /// Asks for the seats of a request on the objects of `collection`.
    pub(crate) fn admit(
        self: &Arc<Self>,
        user: &User,
        info: &RequestInfo,
        query: &Query,
        collection: impl FnOnce() -> Option<Arc<Collection>>,
    ) -> (Option<Matched>, Admitted) {
        let Some(entry) = self.classify(user, info) else { return (None, Admitted::Refused(1)) };
        let estimate = estimate::estimate(info, query, collection, entry.level.most_seats());
        entry.metrics.used().estimated.observe(estimate.most() as f64);
        let hash = || entry.schema.hash(entry.schema.distinguish(user, info));
        let now = Instant::now();
        let arrival = entry.level.queues.lock().arrive(now, hash, estimate);
        if !self.used.swap(true, Ordering::AcqRel) {
            self.lend.notify_one();
        }
        let matched = Some(entry.matched.clone());
        let watch = info.verb == "watch";
        let admitted = match arrival {
            Arrival::Runs(ticket) => {
                if !entry.level.exempt {
                    entry.metrics.waited(0.0, true);
                }
                Admitted::Now(Seats::begin(entry, ticket, now, watch))
            }
            Arrival::Waits(ticket, turn) => {
                entry.metrics.waiting().inc();
                let control = self.clone();
                Admitted::Later(Waits {
                    control,
                    entry,
                    ticket,
                    turn,
                    since: now,
                    watch,
                    ended: false,
                })
            }
            Arrival::Refused(reason) => {
                entry.metrics.rejected(reason);
                Admitted::Refused(self.refuse(&entry.level.name))
            }
        };
        (matched, admitted)
    }

    fn refuse(&self, level: &str) -> u64 {
        self.refusals.note(level, self.begun.elapsed().as_secs())
    }

    /// Lends seats from time to time while there are requests.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.lend.notified().await;
            while self.used.swap(false, Ordering::AcqRel) {
                tokio::time::sleep(LENDING).await;
                self.levels.lock().lend(Instant::now());
            }
        }
    }
}

/// A request that waits for its seats.
pub(crate) struct Waits {
    control: Arc<FlowControl>,
    entry: Arc<Entry>,
    ticket: Ticket,
    turn: oneshot::Receiver<Instant>,
    since: Instant,
    watch: bool,
    ended: bool,
}

impl Waits {
    /// Waits until the request may be executed; an error after the time given, or once `gone`
    /// says that nobody waits for the answer: the seconds after which a client may try again.
    pub(crate) async fn turn(
        mut self,
        until: Instant,
        gone: impl Future<Output = ()>,
    ) -> Result<Seats, u64> {
        let began = tokio::select! {
            began = &mut self.turn => began.ok(),
            () = tokio::time::sleep_until(until.into()) => None,
            () = gone => None,
        };
        self.end(began).ok_or_else(|| {
            self.entry.metrics.rejected("time-out");
            self.control.refuse(&self.entry.level.name)
        })
    }

    /// Ends the waiting, with the seats if there are any by now.
    fn end(&mut self, began: Option<Instant>) -> Option<Seats> {
        self.ended = true;
        self.entry.metrics.waiting().dec();
        let waited = self.since.elapsed().as_secs_f64();
        let began = began.or_else(|| {
            let gave_up = self.entry.level.queues.lock().give_up(Instant::now(), &self.ticket);
            // It came in between.
            if gave_up { None } else { self.turn.try_recv().ok() }
        });
        self.entry.metrics.waited(waited, began.is_some());
        began.map(|began| Seats::begin(self.entry.clone(), self.ticket, began, self.watch))
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        if !self.ended {
            drop(self.end(None));
        }
    }
}

/// The seats of a request that is executed, given back when they are dropped.
pub(crate) struct Seats {
    entry: Arc<Entry>,
    ticket: Ticket,
    began: Instant,
    watch: bool,
}

impl Seats {
    fn begin(entry: Arc<Entry>, ticket: Ticket, began: Instant, watch: bool) -> Self {
        let used = entry.metrics.used();
        used.dispatched.inc();
        used.executing.inc();
        used.seats.add(ticket.seats() as f64);
        Self { entry, ticket, began, watch }
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let (now, metrics) = (Instant::now(), self.entry.metrics.used());
        metrics.executing.dec();
        metrics.took(now.saturating_duration_since(self.began).as_secs_f64(), self.watch);
        let lasting = self.entry.level.queues.lock().end(now, &self.ticket, self.began);
        if lasting.is_zero() {
            metrics.seats.add(-(self.ticket.seats() as f64));
            return;
        }
        let (entry, ticket) = (self.entry.clone(), self.ticket);
        task::spawn("seats-for-events", async move {
            tokio::time::sleep(lasting).await;
            entry.level.queues.lock().release_late(Instant::now(), &ticket);
            entry.metrics.used().seats.add(-(ticket.seats() as f64));
        });
    }
}

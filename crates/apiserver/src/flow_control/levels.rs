//! Priority levels: how many requests of each are executed at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use apimachinery::{Object, ObjectExt};
use parking_lot::Mutex;
use serde::Deserialize;

use super::allocation::{Class, allocate};
use super::queues::{Policy, Queues};
use crate::metrics::LevelMetrics;

/// Part of a level's seats that one request may take.
const MOST_OF_LEVEL: f64 = 0.15;

/// A priority level with its requests.
pub(super) struct Level {
    pub(super) name: String,
    /// Its requests never wait.
    pub(super) exempt: bool,
    pub(super) queues: Mutex<Queues>,
    /// Most seats of one request; 0 if the level sets no limit.
    most_seats: AtomicUsize,
    pub(super) metrics: LevelMetrics,
}

impl Level {
    pub(super) fn most_seats(&self) -> usize {
        self.most_seats.load(Ordering::Relaxed)
    }
}

/// The settings of a level.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) uid: String,
    policy: Policy,
    shares: f64,
    /// Percents of its seats.
    lendable: f64,
    /// `None` for as many as there are.
    borrowing: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    r#type: String,
    limited: Limited,
    exempt: Limited,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Limited {
    nominal_concurrency_shares: Option<u32>,
    lendable_percent: u32,
    borrowing_limit_percent: Option<u32>,
    limit_response: Response,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    r#type: String,
    queuing: Option<Queuing>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Queuing {
    queues: usize,
    hand_size: usize,
    queue_length_limit: usize,
}

impl Settings {
    /// Reads a PriorityLevelConfiguration object.
    ///
    /// # Errors
    /// It is not one; the API has let none in.
    pub(super) fn read(object: &Object) -> Result<Self, serde_json::Error> {
        let spec = Spec::deserialize(&object["spec"])?;
        let exempt = spec.r#type == "Exempt";
        let own = if exempt { spec.exempt } else { spec.limited };
        let policy = match (exempt, own.limit_response.queuing) {
            (true, _) => Policy::Exempt,
            (false, Some(queuing)) if own.limit_response.r#type == "Queue" => Policy::Queue {
                // Validated, but a panic here would end every request.
                queues: queuing.queues.clamp(1, 10_000_000),
                hand: queuing.hand_size.clamp(1, queuing.queues.max(1)),
                length: queuing.queue_length_limit,
            },
            (false, _) => Policy::Reject,
        };
        Ok(Self {
            uid: object.uid().to_owned(),
            policy,
            shares: own.nominal_concurrency_shares.unwrap_or(if exempt { 0 } else { 30 }).into(),
            lendable: own.lendable_percent.into(),
            borrowing: own.borrowing_limit_percent.map(f64::from).filter(|_| !exempt),
        })
    }
}

/// Seats of a level: those by its shares, the least that it keeps when it lends, the most that it
/// has when it borrows, and those it has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seats {
    nominal: usize,
    least: usize,
    most: usize,
    now: usize,
}

/// All levels.
pub(super) struct Levels {
    /// Seats of the server.
    limit: usize,
    by_name: BTreeMap<String, (Arc<Level>, Settings, Seats)>,
}

impl Levels {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, by_name: BTreeMap::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<(&Arc<Level>, &Settings)> {
        self.by_name.get(name).map(|(level, settings, _)| (level, settings))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Level>> {
        self.by_name.values().map(|(level, ..)| level)
    }

    /// Takes new settings. Levels keep their requests; those of a level that is no more are still
    /// executed, by its last limit.
    pub(super) fn configure(
        &mut self,
        at: Instant,
        wanted: BTreeMap<String, Settings>,
        metrics: &dyn Fn(&str) -> LevelMetrics,
    ) {
        let shares: f64 = wanted.values().map(|settings| settings.shares).sum();
        let mut former = std::mem::take(&mut self.by_name);
        for (name, settings) in wanted {
            let seats = self.seats(&settings, shares);
            let (level, seats) = match former.remove(&name) {
                Some((level, was, had)) => {
                    let same = (had.nominal, had.least, had.most)
                        == (seats.nominal, seats.least, seats.most);
                    let mut queues = level.queues.lock();
                    if was.policy != settings.policy {
                        queues.set_policy(at, settings.policy);
                    }
                    let seats = if same { had } else { seats };
                    queues.set_limit(at, seats.now);
                    drop(queues);
                    (level, seats)
                }
                None => {
                    let level = Level {
                        queues: Mutex::new(Queues::new(settings.policy, seats.now, at)),
                        most_seats: AtomicUsize::new(0),
                        metrics: metrics(&name),
                        name: name.clone(),
                        exempt: settings.policy == Policy::Exempt,
                    };
                    (Arc::new(level), seats)
                }
            };
            let most = match settings.policy {
                Policy::Queue { hand, .. } => {
                    let part = (seats.nominal as f64 * MOST_OF_LEVEL).ceil() as usize;
                    part.min(seats.nominal / hand).max(1)
                }
                _ => 0,
            };
            level.most_seats.store(most, Ordering::Relaxed);
            level.metrics.limits(seats.nominal, seats.least, seats.most, seats.now);
            self.by_name.insert(name, (level, settings, seats));
        }
    }

    fn seats(&self, settings: &Settings, shares: f64) -> Seats {
        let part = self.limit as f64 * settings.shares / shares.max(1.0);
        let nominal = part.ceil();
        let lendable = (nominal * settings.lendable / 100.0).round();
        let borrowing = settings
            .borrowing
            .map_or(self.limit as f64, |percent| (nominal * percent / 100.0).round());
        Seats {
            nominal: nominal as usize,
            least: (nominal - lendable) as usize,
            most: (nominal + borrowing) as usize,
            now: (nominal - (lendable / 2.0).floor()) as usize,
        }
    }

    /// Lends seats of levels that need fewer to those that need more, by the demand since it was
    /// done last.
    pub(super) fn lend(&mut self, at: Instant) {
        let total: usize = self.by_name.values().map(|(.., seats)| seats.nominal).sum();
        let mut left = total;
        let (mut least, mut needed) = (0, 0);
        let mut limited = Vec::new();
        for (level, settings, seats) in self.by_name.values_mut() {
            let observed = level.queues.lock().observe(at);
            if settings.policy == Policy::Exempt {
                seats.now = seats.least.max(observed.most);
                left = left.saturating_sub(seats.now);
                continue;
            }
            let need = seats.least.max(seats.nominal.min(observed.most));
            least += seats.least;
            needed += need;
            let target = observed.smoothed.max(need as f64);
            limited.push((need, target, seats));
        }
        if left <= least {
            limited.iter_mut().for_each(|(.., seats)| seats.now = seats.least);
        } else if left <= needed {
            let part = (left - least) as f64 / (needed - least) as f64;
            for (need, _, seats) in &mut limited {
                let more = (*need - seats.least) as f64 * part;
                seats.now = seats.least + more.round() as usize;
            }
        } else {
            let class = |(need, target, seats): &(usize, f64, &mut Seats)| Class {
                least: *need as f64,
                most: seats.most as f64,
                target: *target,
            };
            let classes: Vec<Class> = limited.iter().map(class).collect();
            if let Some(given) = allocate(total as f64, &classes) {
                for ((.., seats), given) in limited.iter_mut().zip(given) {
                    seats.now = given.round() as usize;
                }
            }
        }
        for (level, _, seats) in self.by_name.values() {
            level.queues.lock().set_limit(at, seats.now);
            level.metrics.limits(seats.nominal, seats.least, seats.most, seats.now);
        }
    }
}

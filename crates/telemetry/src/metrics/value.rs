//! Counters and gauges.

use std::fmt::Error;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric, counter, gauge};

use super::encode::At;

/// A number of events. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Counter {
    value: counter::Counter<u64, AtomicU64>,
    /// The library writes counters as `NAME_total` only; this is one of upstream's that are named
    /// otherwise.
    bare: bool,
}

impl Counter {
    pub(super) fn named(name: &str) -> Self {
        Self { bare: is_bare(name), ..Self::default() }
    }

    /// One more.
    pub fn inc(&self) {
        self.value.inc();
    }

    /// Some more.
    pub fn inc_by(&self, count: u64) {
        self.value.inc_by(count);
    }

    /// How many there were.
    pub fn get(&self) -> u64 {
        self.value.get()
    }
}

/// Returns true if a counter of this name lacks the usual suffix.
pub(super) fn is_bare(name: &str) -> bool {
    !name.ends_with("_total")
}

impl TypedMetric for Counter {
    const TYPE: MetricType = MetricType::Counter;
}

impl EncodeMetric for Counter {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        match self.bare {
            true => encoder.encode_gauge(&self.get()),
            false => encoder.encode_counter::<NoLabelSet, _, f64>(&self.get(), None),
        }
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// A value that goes up and down. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Gauge(gauge::Gauge<f64, AtomicU64>);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.set(value);
    }

    /// One more.
    pub fn inc(&self) {
        self.0.inc();
    }

    /// One less.
    pub fn dec(&self) {
        self.0.dec();
    }

    /// So many more, or fewer where negative.
    pub fn add(&self, change: f64) {
        self.0.inc_by(change);
    }

    /// The value.
    pub fn get(&self) -> f64 {
        self.0.get()
    }

    /// One more until the guard is dropped.
    pub fn held(&self) -> Held {
        self.inc();
        Held(self.clone())
    }
}

impl TypedMetric for Gauge {
    const TYPE: MetricType = MetricType::Gauge;
}

impl EncodeMetric for Gauge {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        encoder.encode_gauge(&At { value: self.get(), millis: None })
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// One unit of a gauge, which is counted until this is dropped.
#[derive(Debug)]
pub struct Held(Gauge);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

//! All metrics of an endpoint.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt::{Debug, Error, Formatter};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Metric;

use super::encode::{At, Labels};
use super::stable::Described;
use super::value::is_bare;
use super::{Counter, Desc, Exposition, Family, Format, Gauge, Histogram, exposition};

/// Metrics by name. Cloning shares it.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    entries: Arc<Entries>,
    encoder: prometheus_client::registry::Registry,
    /// Metrics that several users in the process have together.
    shared: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    registered: Option<Family<Counter, 2>>,
    unexpected: Counter,
}

#[derive(Debug, Default)]
struct Entries(RwLock<BTreeMap<&'static str, Entry>>);

#[derive(Debug)]
struct Entry {
    desc: Desc,
    labels: Vec<&'static str>,
    metric: Box<dyn Metric>,
}

impl Entry {
    fn is_bare_counter(&self) -> bool {
        matches!(self.metric.metric_type(), MetricType::Counter) && is_bare(self.desc.name)
    }
}

impl Collector for Entries {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        for (name, entry) in self.0.read().iter().filter(|(_, entry)| !entry.metric.is_empty()) {
            let (name, kind) = match entry.metric.metric_type() {
                MetricType::Counter => match name.strip_suffix("_total") {
                    Some(name) => (name, MetricType::Counter),
                    None => (*name, MetricType::Unknown),
                },
                kind => (*name, kind),
            };
            let metric = encoder.encode_descriptor(name, &entry.desc.help(), None, kind)?;
            entry.metric.encode(metric)?;
        }
        Ok(())
    }
}

impl Debug for Registry {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Registry").field(&self.0.entries.0.read().keys()).finish()
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry that has the metrics about itself, as upstream's main one.
    pub fn new() -> Self {
        let unexpected = Counter::default();
        let names = ["deprecated_version", "stability_level"];
        let registered = Family::new(names, unexpected.clone(), Counter::default);
        let new = Self::with(Some(registered.clone()), unexpected.clone());
        new.add(
            Desc::beta(
                "registered_metrics_total",
                "The count of registered metrics broken by stability level and deprecation version.",
            ),
            &names,
            registered,
        );
        let none = |name, help| new.counter(Desc::beta(name, help));
        none("disabled_metrics_total", "The count of disabled metrics.");
        none("hidden_metrics_total", "The count of hidden metrics.");
        new.add(
            Desc::alpha(
                "cardinality_enforcement_unexpected_categorizations_total",
                "The count of unexpected categorizations during cardinality enforcement.",
            ),
            &[],
            unexpected,
        );
        new
    }

    /// A registry without metrics about itself, for an endpoint beside the main one.
    pub fn bare() -> Self {
        Self::with(None, Counter::default())
    }

    fn with(registered: Option<Family<Counter, 2>>, unexpected: Counter) -> Self {
        let entries = Arc::new(Entries::default());
        let mut encoder = prometheus_client::registry::Registry::default();
        encoder.register_collector(Box::new(entries.clone()));
        let shared = Mutex::default();
        Self(Arc::new(Inner { entries, encoder, shared, registered, unexpected }))
    }

    /// A value that all users of this registry share, made by the first of them; `make` itself must
    /// not ask for what is shared.
    pub fn shared<T: Send + Sync + 'static>(&self, make: impl FnOnce(&Self) -> T) -> Arc<T> {
        let mut shared = self.0.shared.lock();
        let known = shared.get(&TypeId::of::<T>()).cloned();
        if let Some(known) = known.and_then(|any| any.downcast::<T>().ok()) {
            return known;
        }
        let made = Arc::new(make(self));
        shared.insert(TypeId::of::<T>(), made.clone());
        made
    }

    fn add<M: Metric + Clone>(&self, desc: Desc, labels: &[&'static str], metric: M) -> M {
        if let Some(registered) = &self.0.registered {
            registered.with([desc.deprecated, desc.stability.name()]).inc();
        }
        let mut labels = labels.to_vec();
        labels.sort_unstable();
        let entry = Entry { desc, labels, metric: Box::new(metric.clone()) };
        if self.0.entries.0.write().insert(desc.name, entry).is_some() {
            debug_assert!(false, "{} is registered twice", desc.name);
            tracing::error!(metric = desc.name, "a metric is registered twice");
        }
        metric
    }

    /// A counter.
    pub fn counter(&self, desc: Desc) -> Counter {
        self.add(desc, &[], Counter::named(desc.name))
    }

    /// A gauge.
    pub fn gauge(&self, desc: Desc) -> Gauge {
        self.add(desc, &[], Gauge::default())
    }

    /// A histogram with these upper bounds.
    pub fn histogram(&self, desc: Desc, bounds: &[f64]) -> Histogram {
        self.add(desc, &[], Histogram::new(bounds.iter().copied()))
    }

    /// Counters by labels.
    pub fn counters<const N: usize>(
        &self,
        desc: Desc,
        labels: [&'static str; N],
    ) -> Family<Counter, N> {
        let make = move || Counter::named(desc.name);
        self.add(desc, &labels, Family::new(labels, self.0.unexpected.clone(), make))
    }

    /// Gauges by labels.
    pub fn gauges<const N: usize>(
        &self,
        desc: Desc,
        labels: [&'static str; N],
    ) -> Family<Gauge, N> {
        self.add(desc, &labels, Family::new(labels, self.0.unexpected.clone(), Gauge::default))
    }

    /// Histograms by labels.
    pub fn histograms<const N: usize>(
        &self,
        desc: Desc,
        labels: [&'static str; N],
        bounds: &[f64],
    ) -> Family<Histogram, N> {
        let bounds: Box<[f64]> = bounds.into();
        let make = move || Histogram::new(bounds.iter().copied());
        self.add(desc, &labels, Family::new(labels, self.0.unexpected.clone(), make))
    }

    /// A metric whose samples are taken when it is read. `collect` must not block.
    pub fn collect<const N: usize>(
        &self,
        desc: Desc,
        kind: Kind,
        labels: [&'static str; N],
        collect: impl Fn(&mut Samples<N>) + Send + Sync + 'static,
    ) {
        let (collect, taken) = (Arc::new(collect), Arc::default());
        self.add(desc, &labels, Collected { kind, labels, collect, taken });
    }

    /// All metrics of the registry, also those without series.
    pub fn describe(&self) -> Vec<Described> {
        let entries = self.0.entries.0.read();
        let described = |entry: &Entry| Described {
            name: entry.desc.name,
            kind: match entry.metric.metric_type() {
                MetricType::Counter => "counter",
                MetricType::Histogram => "histogram",
                _ => "gauge",
            },
            stability: entry.desc.stability,
            labels: entry.labels.clone(),
        };
        entries.values().map(described).collect()
    }

    /// All metrics in `format`.
    pub fn encode(&self, format: Format) -> String {
        let mut text = String::new();
        // Writing to a string fails only if a metric's own encoding does.
        let written = match format {
            Format::Text => {
                prometheus_client::encoding::prometheus_text::encode(&mut text, &self.0.encoder)
            }
            Format::OpenMetrics => {
                prometheus_client::encoding::text::encode(&mut text, &self.0.encoder)
            }
        };
        if let Err(error) = written {
            tracing::error!(%error, "metrics cannot be written");
        }
        if format == Format::Text {
            // OpenMetrics calls such a counter `unknown`, and so does upstream's library there.
            for entry in self.0.entries.0.read().values().filter(|entry| entry.is_bare_counter()) {
                let line = format!("# TYPE {} untyped\n", entry.desc.name);
                if let Some(at) = text.find(&line) {
                    let end = at + line.len() - 1;
                    text.replace_range(end - "untyped".len()..end, "counter");
                }
            }
        }
        text
    }

    /// The answer to a scrape with this `Accept` header.
    pub fn scrape(&self, accept: Option<&str>) -> Exposition {
        let (format, content_type) = exposition::negotiate(accept);
        Exposition { content_type, body: self.encode(format) }
    }

    /// The answer to a scrape of samples with timestamps: always the text format.
    pub fn scrape_text(&self, accept: Option<&str>) -> Exposition {
        let content_type = exposition::text_type(accept);
        Exposition { content_type, body: self.encode(Format::Text) }
    }
}

/// The type of a metric that is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

type Collect<const N: usize> = Arc<dyn Fn(&mut Samples<N>) + Send + Sync>;

#[derive(Clone)]
struct Collected<const N: usize> {
    kind: Kind,
    labels: [&'static str; N],
    collect: Collect<N>,
    /// Taken to see whether there are any, and not written yet.
    taken: Arc<Mutex<Option<Samples<N>>>>,
}

/// Samples of a metric that is collected.
#[derive(Debug)]
pub struct Samples<const N: usize>(Vec<([Box<str>; N], At)>);

impl<const N: usize> Samples<N> {
    /// The value now.
    pub fn add(&mut self, labels: [&str; N], value: f64) {
        self.0.push((labels.map(Box::from), At { value, millis: None }));
    }

    /// The value at a time in milliseconds of Unix time.
    pub fn add_at(&mut self, labels: [&str; N], value: f64, millis: i64) {
        self.0.push((labels.map(Box::from), At { value, millis: Some(millis) }));
    }
}

impl<const N: usize> Debug for Collected<N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Collected").field(&self.labels).finish()
    }
}

impl<const N: usize> Collected<N> {
    fn samples(&self) -> Samples<N> {
        let mut samples = Samples(Vec::new());
        (self.collect)(&mut samples);
        samples
    }

    fn write(&self, encoder: &mut MetricEncoder, value: At) -> Result<(), Error> {
        match self.kind {
            Kind::Counter => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
            Kind::Gauge => encoder.encode_gauge(&value),
        }
    }
}

impl<const N: usize> EncodeMetric for Collected<N> {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        let taken = self.taken.lock().take();
        let mut samples = taken.unwrap_or_else(|| self.samples());
        let order = super::family::sorted(&self.labels);
        samples.0.sort_by(|(a, _), (b, _)| {
            let ours = order.iter().map(|i| &a[*i]);
            ours.cmp(order.iter().map(|i| &b[*i]))
        });
        for (values, at) in &samples.0 {
            if N == 0 {
                self.write(&mut encoder, *at)?;
                continue;
            }
            let values = std::array::from_fn(|i| &*values[i]);
            let labels = Labels::new(&self.labels, &values);
            self.write(&mut encoder.encode_family(&labels)?, *at)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
        }
    }

    fn is_empty(&self) -> bool {
        let samples = self.samples();
        let empty = samples.0.is_empty();
        *self.taken.lock() = Some(samples);
        empty
    }
}

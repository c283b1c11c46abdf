//! Metrics of one name that differ in their labels.

use std::hash::Hash;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

use super::Counter;
use super::encode::Labels;

/// Most series of one family. Labels are values that this program or the administrator knows, not
/// whatever a client sends; where that rule fails, a client must still not fill the memory.
pub const MAX_SERIES: usize = 10_000;

/// The value of every label of the one series that takes what is over the bound: upstream's for
/// values that are not on a list.
const UNEXPECTED: &str = "unexpected";

/// Values of labels in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Values<const N: usize>(pub(super) [Box<str>; N]);

/// The same, borrowed: looking up a series copies nothing.
#[derive(Hash)]
struct Borrowed<'a, const N: usize>([&'a str; N]);

impl<const N: usize> Equivalent<Values<N>> for Borrowed<'_, N> {
    fn equivalent(&self, key: &Values<N>) -> bool {
        self.0.iter().zip(&key.0).all(|(ours, theirs)| **ours == **theirs)
    }
}

/// Metrics of one name with `N` labels. Cloning shares it.
pub struct Family<M, const N: usize>(Arc<Inner<M, N>>);

struct Inner<M, const N: usize> {
    names: [&'static str; N],
    make: Box<dyn Fn() -> M + Send + Sync>,
    series: RwLock<HashMap<Values<N>, M>>,
    unexpected: Counter,
}

impl<M, const N: usize> Clone for Family<M, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M, const N: usize> std::fmt::Debug for Family<M, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Family").field(&self.0.names).finish()
    }
}

impl<M: Clone, const N: usize> Family<M, N> {
    pub(super) fn new(
        names: [&'static str; N],
        unexpected: Counter,
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        let series = RwLock::default();
        Self(Arc::new(Inner { names, make: Box::new(make), series, unexpected }))
    }

    /// The series with these values, in the order in which the labels were named. Keep it where it
    /// is used often.
    pub fn with(&self, values: [&str; N]) -> M {
        let values = Borrowed(values);
        if let Some(metric) = self.0.series.read().get(&values) {
            return metric.clone();
        }
        let mut series = self.0.series.write();
        let key = match series.len() < MAX_SERIES || series.contains_key(&values) {
            true => Values(values.0.map(Box::from)),
            false => {
                self.0.unexpected.inc();
                Values(values.0.map(|_| Box::from(UNEXPECTED)))
            }
        };
        series.entry(key).or_insert_with(|| (self.0.make)()).clone()
    }

    /// Ends a series.
    pub fn remove(&self, values: [&str; N]) {
        self.0.series.write().remove(&Borrowed(values));
    }

    /// Ends all series but those whose values `keep` wants.
    pub fn retain(&self, keep: impl Fn([&str; N]) -> bool) {
        self.0.series.write().retain(|key, _| keep(std::array::from_fn(|i| &*key.0[i])));
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.0.series.read().len()
    }

    /// Returns true if there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<M, const N: usize> EncodeMetric for Family<M, N>
where
    M: EncodeMetric + TypedMetric + Clone,
{
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let mut all: Vec<(Values<N>, M)> = self
            .0
            .series
            .read()
            .iter()
            .map(|(key, metric)| (key.clone(), metric.clone()))
            .collect();
        let order = sorted(&self.0.names);
        all.sort_by(|(a, _), (b, _)| {
            let ours = order.iter().map(|i| &a.0[*i]);
            ours.cmp(order.iter().map(|i| &b.0[*i]))
        });
        for (values, metric) in &all {
            let values = std::array::from_fn(|i| &*values.0[i]);
            metric.encode(encoder.encode_family(&Labels::new(&self.0.names, &values))?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.0.series.read().is_empty()
    }
}

/// Positions of names in the order in which labels are served.
pub(super) fn sorted<const N: usize>(names: &[&'static str; N]) -> [usize; N] {
    let mut order = std::array::from_fn(|i| i);
    order.sort_by_key(|i| names[*i]);
    order
}

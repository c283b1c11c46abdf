//! Indexes of a collection: its objects by the value of a label or a field. An index is made when a
//! list of a large collection could use it, and follows every change from then on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use imbl::{OrdMap, OrdSet};

use super::Entry;

/// Smaller collections are searched as quickly as an index is.
pub(super) const LARGE: usize = 256;
/// Number of labels that are indexed in one collection: clients choose them. Fields are few.
const MOST: usize = 8;
/// An index that nobody has used for this long makes room for another, in seconds.
const IDLE: u64 = 60;

/// The name of a value that objects are selected by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Label(Box<str>),
    Field(Box<str>),
}

impl By {
    fn value<'e>(&self, entry: &'e Entry) -> Option<&'e str> {
        match self {
            Self::Label(key) => entry.label(key),
            Self::Field(name) => entry.field(name),
        }
    }
}

/// A value that every selected object has; it is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    pub(crate) by: By,
    pub(crate) value: Arc<str>,
}

/// The paths of the objects that have a value, by value and path.
#[derive(Clone)]
pub(super) struct Index {
    by: By,
    paths: OrdSet<(Arc<str>, Arc<str>)>,
    /// Seconds from the beginning of the process to the last use.
    used: Arc<AtomicU64>,
}

impl Index {
    pub(super) fn of(by: By, entries: &OrdMap<Arc<str>, Arc<Entry>>) -> Self {
        let keys = entries.values().filter_map(|entry| Self::key(&by, entry)).collect();
        Self { paths: keys, by, used: Arc::new(AtomicU64::new(now())) }
    }

    fn key(by: &By, entry: &Entry) -> Option<(Arc<str>, Arc<str>)> {
        let value = by.value(entry).filter(|value| !value.is_empty())?;
        Some((value.into(), entry.path().clone()))
    }

    /// The paths with a value and a beginning, from `from` on.
    fn found<'i>(
        &'i self,
        value: &Arc<str>,
        prefix: &str,
        from: &Arc<str>,
    ) -> impl Iterator<Item = &'i Arc<str>> + use<'i> {
        let found = self.paths.range((value.clone(), from.clone())..);
        let (value, prefix) = (value.clone(), prefix.to_owned());
        let within =
            move |(of, path): &&'i (Arc<str>, Arc<str>)| *of == value && path.starts_with(&prefix);
        found.take_while(within).map(|(_, path)| path)
    }

    /// Follows the change of one object.
    pub(super) fn change(&mut self, before: Option<&Entry>, after: Option<&Entry>) {
        let was = before.and_then(|entry| self.by.value(entry));
        if was == after.and_then(|entry| self.by.value(entry)) {
            return;
        }
        if let Some(key) = before.and_then(|entry| Self::key(&self.by, entry)) {
            self.paths.remove(&key);
        }
        if let Some(key) = after.and_then(|entry| Self::key(&self.by, entry)) {
            self.paths.insert(key);
        }
    }
}

fn now() -> u64 {
    static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGUN.elapsed().as_secs()
}

/// The indexes of a collection in one state of it.
#[derive(Clone, Default)]
pub(super) struct Indexes(Arc<Vec<Index>>);

impl Indexes {
    /// Follows the change of one object.
    pub(super) fn change(&mut self, before: Option<&Entry>, after: Option<&Entry>) {
        if !self.0.is_empty() {
            Arc::make_mut(&mut self.0).iter_mut().for_each(|index| index.change(before, after));
        }
    }

    fn find(&self, by: &By) -> Option<&Index> {
        self.0.iter().find(|index| index.by == *by)
    }

    /// The first demand without an index, if there may be one more.
    pub(super) fn missing<'d>(&self, demands: &'d [Demand]) -> Option<&'d By> {
        let by = &demands.iter().find(|demand| self.find(&demand.by).is_none())?.by;
        (matches!(by, By::Field(_)) || self.place().is_some()).then_some(by)
    }

    /// The place for the index of a label: that of one which is not used any more, or a new one.
    fn place(&self) -> Option<usize> {
        let now = now();
        let labels = || {
            let all = self.0.iter().enumerate();
            all.filter(|(_, index)| matches!(index.by, By::Label(_)))
        };
        if labels().count() < MOST {
            return Some(self.0.len());
        }
        let idle = |index: &Index| now.saturating_sub(index.used.load(Ordering::Relaxed)) > IDLE;
        labels().find(|(_, index)| idle(index)).map(|(at, _)| at)
    }

    /// Adds an index, unless there is one for the same or there are too many.
    pub(super) fn add(&mut self, made: Index) {
        let label = matches!(made.by, By::Label(_));
        let at = if label { self.place() } else { Some(self.0.len()) };
        let Some(at) = at.filter(|_| self.find(&made.by).is_none()) else { return };
        let all = Arc::make_mut(&mut self.0);
        match all.get_mut(at) {
            Some(idle) => *idle = made,
            None => all.push(made),
        }
    }

    /// The paths of a namespace (or all) from `from` on that meet the demand with the fewest; `None`
    /// if there is no index for any, or if none has clearly fewer than the `all` there are.
    pub(super) fn paths<'i>(
        &'i self,
        demands: &[Demand],
        prefix: &str,
        from: &Arc<str>,
        all: usize,
    ) -> Option<impl Iterator<Item = &'i Arc<str>> + use<'i>> {
        // Each path is looked up; beyond this a search through all is as quick.
        let mut fewest = all / 16 + 1;
        let mut best = None;
        for demand in demands {
            let Some(index) = self.find(&demand.by) else { continue };
            index.used.store(now(), Ordering::Relaxed);
            let count = index.found(&demand.value, prefix, from).take(fewest).count();
            if count < fewest {
                (fewest, best) = (count, Some((index, demand)));
            }
        }
        best.map(|(index, demand)| index.found(&demand.value, prefix, from))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use store::{Event, Record};

    use super::super::{Collection, REVISION_KEY};
    use super::*;

    fn event(revision: u64, labels: Option<&str>) -> Event {
        let record = labels.map(|labels| {
            let text = format!(r#"{{{REVISION_KEY}{revision}","labels":{labels}}}}}"#);
            let revision_at = REVISION_KEY.len() + 1;
            Record { bytes: Bytes::from(text), revision_at, created: 1, modified: revision }
        });
        Event { revision, key: "".into(), record }
    }

    fn demand(by: By, value: &str) -> [Demand; 1] {
        [Demand { by, value: value.into() }]
    }

    #[test]
    fn an_index_finds_what_a_search_finds_after_every_change() {
        let collection = Collection::new(&[], 0);
        let mut random = 7_u64;
        let mut next = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % below
        };
        for revision in 1..=3000 {
            let path = format!("ns{}/{:03}", next(3), next(300));
            let labels = ["{}", r#"{"a":""}"#, r#"{"a":"x"}"#, r#"{"a":"y","b":"x"}"#];
            let labels = labels.get(next(5) as usize).copied();
            collection.apply(&path, &event(revision, labels)).unwrap();
            if revision < 2000 || revision % 50 > 0 {
                continue;
            }
            for (key, value) in [("a", "x"), ("a", "y"), ("b", "x"), ("b", "none"), ("c", "x")] {
                let demands = demand(By::Label(key.into()), value);
                let snapshot = collection.indexed(&demands);
                assert!(snapshot.entries.len() > LARGE, "large enough to be indexed");
                for (namespace, start) in [("", ""), ("ns1", ""), ("ns1", "ns1/150"), ("no", "")] {
                    let meets = |entry: &&Arc<Entry>| entry.label(key) == Some(value);
                    let searched = snapshot.range(namespace, start).filter(meets);
                    let searched: Vec<_> = searched.map(|entry| entry.path()).collect();
                    let found = snapshot.candidates(namespace, start, &demands).filter(meets);
                    let found: Vec<_> = found.map(|entry| entry.path()).collect();
                    assert_eq!(searched, found, "{key}={value} {namespace} {start}");
                }
            }
            // An earlier state has no index, and is searched.
            let then = collection.snapshot_at(revision - 10).unwrap();
            let demands = demand(By::Label("a".into()), "x");
            assert_eq!(then.candidates("", "", &demands).count(), then.entries.len());
        }
    }

    #[test]
    fn the_demand_that_selects_most_is_used() {
        let collection = Collection::new(&[], 0);
        for revision in 1..=1000 {
            let of = event(revision, Some(r#"{"all":"x"}"#));
            collection.apply(&format!("ns{}/{revision}", revision % 200), &of).unwrap();
        }
        let by_label = demand(By::Label("all".into()), "x");
        let [of_namespace] = demand(By::Field("metadata.namespace".into()), "ns7");
        let both = [by_label[0].clone(), of_namespace];
        for _ in 0..2 {
            collection.indexed(&both);
        }
        let snapshot = collection.snapshot();
        assert_eq!(snapshot.candidates("", "", &both).count(), 5);
        // All have the label: they are searched.
        assert_eq!(snapshot.candidates("", "", &by_label).count(), 1000);
    }

    #[test]
    fn clients_cannot_make_any_number_of_indexes() {
        let collection = Collection::new(&[], 0);
        for revision in 1..=LARGE as u64 {
            let of = event(revision, Some("{}"));
            collection.apply(&format!("ns/{revision}"), &of).unwrap();
        }
        let found = |by: By| {
            let demands = demand(by, "x");
            collection.indexed(&demands).candidates("", "", &demands).count()
        };
        for key in 0..2 * MOST {
            let count = found(By::Label(key.to_string().into()));
            assert_eq!(count, if key < MOST { 0 } else { LARGE }, "{key}");
        }
        // Labels take no field's place.
        assert_eq!(found(By::Field("metadata.namespace".into())), 0);
    }
}

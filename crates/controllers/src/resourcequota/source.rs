//! A kind whose objects are counted.

use client::Store;
use client::informer::Kind;
use k8s_openapi::jiff::Timestamp;
use rules::quota::{self, Counted};
use rules::resources::Amounts;
use serde::Serialize;
use serde_json::Value;

use super::to_value;
use crate::common::namespaced;

type Sum = dyn Fn(&Counted, &Value, Timestamp) -> Amounts + Send + Sync;

/// A kind, and how to sum up its objects.
pub(super) struct Source {
    pub(super) counted: Counted,
    sum: Box<Sum>,
}

fn namespace(quota: &Value) -> &str {
    apimachinery::ObjectExt::namespace(quota)
}

impl Source {
    /// A kind whose objects are looked at, each by itself.
    pub(super) fn measured<K: Kind + Serialize>(counted: Counted, store: Store<K>) -> Self {
        namespaced::index(&store);
        let sum = move |counted: &Counted, quota: &Value, now| {
            let mut sum = Amounts::default();
            for object in namespaced::list(&store, namespace(quota)) {
                let object = to_value(&object);
                if counted.covers(quota, &object) {
                    sum.add(&counted.usage(&object, now));
                }
            }
            sum
        };
        Self { counted, sum: Box::new(sum) }
    }

    /// A kind of which only the number matters.
    pub(super) fn numbered<K: Kind>(counted: Counted, store: Store<K>) -> Self {
        let sum = move |counted: &Counted, quota: &Value, now| {
            // Most kinds are in no quota: they need no index.
            namespaced::index(&store);
            let mut sum = Amounts::default();
            if counted.covers(quota, &Value::Null) {
                let number = namespaced::list(&store, namespace(quota)).len();
                for name in counted.usage(&Value::Null, now).names() {
                    sum.count(name, number);
                }
            }
            sum
        };
        Self { counted, sum: Box::new(sum) }
    }

    /// Returns true if a quota limits a resource of this source.
    pub(super) fn is_limited_by(&self, quota: &Value) -> bool {
        quota::hard(quota, "spec").names().any(|name| self.counted.tracks(name))
    }

    /// The usage of all objects that a quota covers.
    pub(super) fn sum(&self, quota: &Value, now: Timestamp) -> Amounts {
        (self.sum)(&self.counted, quota, now)
    }

    /// The usage of one object under a quota.
    pub(super) fn weight(&self, quota: &Value, object: &Value, now: Timestamp) -> Option<Amounts> {
        self.counted.covers(quota, object).then(|| self.counted.usage(object, now))
    }
}

//! Typed label selectors.

use std::collections::BTreeMap;

use apimachinery::selector::LabelSelector as Parsed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;

/// A label selector ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector(Parsed);

impl Selector {
    /// Reads an API selector; a malformed one, which validation does not let in, selects nothing.
    pub(crate) fn new(selector: &LabelSelector) -> Self {
        let value = serde_json::to_value(selector).unwrap_or_default();
        Self(Parsed::from_value(&value).unwrap_or(Parsed { nothing: true, ..Parsed::default() }))
    }

    /// As [`new`](Self::new); none selects nothing.
    pub(crate) fn optional(selector: Option<&LabelSelector>) -> Self {
        match selector {
            Some(selector) => Self::new(selector),
            None => Self(Parsed { nothing: true, ..Parsed::default() }),
        }
    }

    /// A selector of exact values, as Services have; an empty one selects nothing.
    pub(crate) fn exact(labels: Option<&BTreeMap<String, String>>) -> Self {
        match labels {
            Some(labels) if !labels.is_empty() => {
                let pairs = labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
                Self(Parsed::from_map(pairs))
            }
            _ => Self::optional(None),
        }
    }

    /// Whether it selects everything.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these labels are selected.
    pub(crate) fn matches_labels(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        self.0.matches(|key| labels?.get(key).map(String::as_str))
    }

    /// Whether an object is selected by its labels.
    pub(crate) fn matches(&self, object: &impl Resource) -> bool {
        self.matches_labels(object.meta().labels.as_ref())
    }
}

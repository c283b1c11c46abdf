//! Label selectors of API objects, ready to be matched.

use std::collections::BTreeMap;

use apimachinery::selector::LabelSelector as Parsed;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels of an object, if it has any.
pub(crate) type Labels = BTreeMap<String, String>;

/// A label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector(Parsed);

impl Selector {
    /// Selects nothing.
    pub(crate) fn nothing() -> Self {
        Self(Parsed { nothing: true, ..Parsed::default() })
    }

    /// Selects what has exactly these values among its labels.
    pub(crate) fn exact(labels: &Labels) -> Self {
        Self(Parsed::from_map(labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
    }

    /// Reads an API selector. None selects nothing, and so does a malformed one, which validation
    /// does not let in.
    pub(crate) fn new(selector: Option<&LabelSelector>) -> Self {
        let Some(selector) = selector else { return Self::nothing() };
        let value = serde_json::to_value(selector).unwrap_or_default();
        Parsed::from_value(&value).map_or_else(|_| Self::nothing(), Self)
    }

    /// What both select.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.nothing |= other.0.nothing;
        self.0.requirements.extend(other.0.requirements);
        self
    }

    /// Whether it selects everything.
    pub(crate) fn is_everything(&self) -> bool {
        !self.0.nothing && self.0.requirements.is_empty()
    }

    /// Whether it can select nothing at all.
    pub(crate) fn is_nothing(&self) -> bool {
        self.0.nothing
    }

    pub(crate) fn matches(&self, labels: Option<&Labels>) -> bool {
        self.0.matches(|key| labels?.get(key).map(String::as_str))
    }
}

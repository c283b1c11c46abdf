//! Label selectors of API objects, ready to be matched.

use std::collections::BTreeMap;

use apimachinery::selector::LabelSelector as Parsed;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// A label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Parsed);

impl Selector {
    /// Selects nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self(Parsed { nothing: true, ..Parsed::default() })
    }

    /// Reads an API selector. None selects nothing, and so does a malformed one, which validation
    /// does not let in.
    #[must_use]
    pub fn new<'s>(selector: impl Into<Option<&'s LabelSelector>>) -> Self {
        let Some(selector) = selector.into() else { return Self::nothing() };
        let value = serde_json::to_value(selector).unwrap_or_default();
        Parsed::from_value(&value).map_or_else(|_| Self::nothing(), Self)
    }

    /// Selects what has all of these values among its labels.
    #[must_use]
    pub fn exact(labels: &Labels) -> Self {
        Self(Parsed::from_map(labels.iter().map(|(k, v)| (k.as_str(), v.as_str()))))
    }

    /// The selector of a Service or ReplicationController: exact values, and nothing where there
    /// are none.
    #[must_use]
    pub fn of_map(labels: Option<&Labels>) -> Self {
        labels.filter(|labels| !labels.is_empty()).map_or_else(Self::nothing, Self::exact)
    }

    /// A selector of the objects that both select.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.0.nothing |= other.0.nothing;
        self.0.requirements.extend(other.0.requirements);
        self
    }

    /// It selects everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// It can select nothing at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.0.nothing
    }

    /// These labels are selected.
    #[must_use]
    pub fn matches_labels(&self, labels: Option<&Labels>) -> bool {
        self.0.matches(|key| labels?.get(key).map(String::as_str))
    }

    /// An object is selected by its labels.
    #[must_use]
    pub fn matches(&self, object: &impl Metadata<Ty = ObjectMeta>) -> bool {
        self.matches_labels(object.metadata().labels.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn none_and_empty_differ() {
        let one = labels(&[("a", "1")]);
        let everything = LabelSelector::default();
        assert!(Selector::new(&everything).is_everything());
        assert!(Selector::new(&everything).matches_labels(None));
        assert!(!Selector::nothing().matches_labels(Some(&one)));
        assert!(Selector::of_map(Some(&Labels::new())).is_nothing());
        assert!(Selector::exact(&Labels::new()).is_everything());
    }

    #[test]
    fn a_malformed_selector_selects_nothing() {
        let bad = json!({"matchExpressions": [{"key": "a", "operator": "Like", "values": ["1"]}]});
        let bad: LabelSelector = serde_json::from_value(bad).unwrap();
        assert!(Selector::new(&bad).is_nothing());
    }

    #[test]
    fn both_must_select() {
        let both =
            Selector::exact(&labels(&[("a", "1")])).and(Selector::exact(&labels(&[("b", "2")])));
        assert!(both.matches_labels(Some(&labels(&[("a", "1"), ("b", "2")]))));
        assert!(!both.matches_labels(Some(&labels(&[("a", "1")]))));
        assert!(both.and(Selector::nothing()).is_nothing());
    }
}

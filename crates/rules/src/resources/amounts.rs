//! Amounts by name.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use apimachinery::quantity::{Format, Quantity};

/// Amounts of resources by name: a `ResourceList`.
///
/// Two are equal when they have the same names with the same amounts, however those are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts(BTreeMap<String, Quantity>);

impl Amounts {
    /// Reads a resource list. What is no quantity, which the API server does not admit, is zero.
    #[must_use]
    pub fn read(list: &Value) -> Self {
        let entries = list.as_object().into_iter().flatten();
        entries
            .map(|(name, amount)| (name.clone(), Quantity::from_value(amount).unwrap_or_default()))
            .collect()
    }

    /// The amount of one resource, if it is named.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Quantity> {
        self.0.get(name).copied()
    }

    /// Sets the amount of one resource.
    pub fn set(&mut self, name: impl Into<String>, amount: Quantity) {
        self.0.insert(name.into(), amount);
    }

    /// Sets a number of things.
    pub fn count(&mut self, name: impl Into<String>, number: usize) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        self.set(name, Quantity::from_units(number, Format::DecimalSi));
    }

    /// Adds to the amount of one resource.
    pub fn add_to(&mut self, name: &str, more: Quantity) {
        match self.0.get_mut(name) {
            Some(amount) => *amount += more,
            None => self.set(name, more),
        }
    }

    /// Adds all of `more`.
    pub fn add(&mut self, more: &Self) {
        for (name, amount) in more.iter() {
            self.add_to(name, amount);
        }
    }

    /// Raises every amount that is less than, or absent beside, that of `other`.
    pub fn raise_to(&mut self, other: &Self) {
        for (name, amount) in other.iter() {
            if self.get(name).is_none_or(|own| own < amount) {
                self.set(name, amount);
            }
        }
    }

    /// The part of these amounts that exceeds `other`; every amount in it is positive.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Self {
        let rest = |(name, amount): (&str, Quantity)| {
            let rest = amount - other.get(name).unwrap_or_default();
            (rest.sign() > 0).then(|| (name.to_owned(), rest))
        };
        self.iter().filter_map(rest).collect()
    }

    /// Keeps the resources whose name is wanted.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| wanted(name));
    }

    /// The amounts by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns true if there are no amounts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As API objects have it.
    #[must_use]
    pub fn to_value(&self) -> Value {
        Value::Object(self.iter().map(|(name, amount)| (name.to_owned(), amount.into())).collect())
    }
}

impl FromIterator<(String, Quantity)> for Amounts {
    fn from_iter<I: IntoIterator<Item = (String, Quantity)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// `cpu=1,pods=3`, as messages about quotas have it.
impl fmt::Display for Amounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, amount)) in self.iter().enumerate() {
            write!(f, "{}{name}={amount}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(list: Value) -> Amounts {
        Amounts::read(&list)
    }

    #[test]
    fn amounts_compare_by_worth_and_read_back() {
        assert_eq!(of(json!({"cpu": "1000m", "bad": {}})), of(json!({"cpu": 1, "bad": "0"})));
        let list = json!({"cpu": "1500m", "memory": "1Gi"});
        assert_eq!(of(list.clone()).to_value(), list);
        assert_eq!(of(list).to_string(), "cpu=1500m,memory=1Gi");
    }

    #[test]
    fn arithmetic_goes_name_by_name() {
        let mut sum = of(json!({"cpu": "1", "pods": "2"}));
        sum.add(&of(json!({"cpu": "500m", "memory": "1Gi"})));
        assert_eq!(sum.to_string(), "cpu=1500m,memory=1Gi,pods=2");
        let base = of(json!({"cpu": "1", "pods": "3"}));
        assert_eq!(sum.beyond(&base).to_string(), "cpu=500m,memory=1Gi");
        let mut peak = base;
        peak.raise_to(&sum);
        assert_eq!(peak.to_string(), "cpu=1500m,memory=1Gi,pods=3");
    }
}

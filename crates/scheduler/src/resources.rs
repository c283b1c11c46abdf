//! Amounts of what pods ask for and nodes have.

use std::collections::BTreeMap;

use apimachinery::quantity::{Format, Quantity};
use rules::resources::PodResources;

/// Assumed for scoring when a container asks for nothing (upstream's non-zero defaults).
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

/// Amounts by resource name: milli-units of `cpu`, whole units of everything else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) BTreeMap<String, i64>);

impl Amounts {
    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.change(other, 1);
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        self.change(other, -1);
    }

    fn change(&mut self, other: &Self, sign: i64) {
        for (name, amount) in &other.0 {
            match self.0.get_mut(name) {
                Some(own) => *own = own.saturating_add(sign * amount),
                None => {
                    self.0.insert(name.clone(), sign * amount);
                }
            }
        }
    }
}

impl From<&rules::resources::Amounts> for Amounts {
    fn from(amounts: &rules::resources::Amounts) -> Self {
        let whole = |(name, amount): (&str, Quantity)| {
            let amount = if name == "cpu" { amount.milli_value() } else { amount.value() };
            (name.to_owned(), amount)
        };
        Self(amounts.iter().map(whole).collect())
    }
}

/// CPU (milli) and memory (bytes) for scoring, where no container asks for nothing.
pub(crate) fn for_scoring(resources: &PodResources) -> (i64, i64) {
    let mut assumed = rules::resources::Amounts::default();
    assumed.set("cpu", Quantity::from_millis(DEFAULT_MILLI_CPU));
    assumed.set("memory", Quantity::from_units(DEFAULT_MEMORY, Format::BinarySi));
    let amounts = Amounts::from(&resources.requests_assuming(&assumed));
    (amounts.get("cpu"), amounts.get("memory"))
}

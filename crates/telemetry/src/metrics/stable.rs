//! Upstream's list of metrics that may be relied on, against which components are tested.

use super::{Registry, Stability};

const TABLE: &str = include_str!("stable.txt");

/// A metric of a registry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// Its name.
    pub name: &'static str,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// How much it may be relied on.
    pub stability: Stability,
    /// Its labels, sorted.
    pub labels: Vec<&'static str>,
}

impl std::fmt::Display for Described {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let labels = match self.labels.join(",") {
            labels if labels.is_empty() => "-".to_owned(),
            labels => labels,
        };
        write!(f, "{} {} {} {labels}", self.name, self.kind, self.stability.name())
    }
}

/// Rows of the table, as far as `wanted` wants their component.
fn rows(wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| line.split_once(' '))
        .filter_map(move |(component, row)| wanted(component).then_some(row))
}

/// How the metrics of `registry` that may be relied on differ from those that upstream's list has
/// for `components`: nothing, if all is well.
pub fn differences(registry: &Registry, components: &[&str]) -> Vec<String> {
    let served: Vec<String> = registry.describe().iter().map(Described::to_string).collect();
    let wanted: Vec<&str> = rows(|component| components.contains(&component)).collect();
    let promised = |row: &str| row.contains(" STABLE ") || row.contains(" BETA ");
    let missing = wanted.iter().filter(|row| !served.iter().any(|s| s == *row));
    let extra = served.iter().filter(|row| promised(row) && !wanted.contains(&row.as_str()));
    missing.map(|row| format!("- {row}")).chain(extra.map(|row| format!("+ {row}"))).collect()
}

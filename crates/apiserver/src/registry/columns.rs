//! Column definitions of tables, by resource.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::Kind;

static DEFINITIONS: LazyLock<HashMap<&str, Vec<Value>>> = LazyLock::new(|| {
    let mut found: HashMap<&str, Vec<Value>> = HashMap::new();
    let mut resource = "";
    for line in include_str!("columns.facts").lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix(' ') {
            None => resource = line,
            Some(column) => found.entry(resource).or_default().extend(definition(column)),
        }
    }
    found
});

fn definition(line: &str) -> Option<Value> {
    let [name, of, format, priority, description] = line.split('\t').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(json!({
        "name": name, "type": of, "format": format,
        "priority": priority.parse::<u8>().ok()?,
        "description": description.replace("\\n", "\n"),
    }))
}

/// The definitions of a kind's columns.
pub(crate) fn column_definitions(kind: &Kind) -> Vec<Value> {
    if let Some(custom) = &kind.custom {
        return custom.column_definitions();
    }
    let key = format!("{} {}", kind.api_version(), kind.resource);
    DEFINITIONS.get(key.as_str()).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::{Access, kinds};
    use super::*;

    #[test]
    fn every_row_has_the_columns_that_its_tables_declare() {
        for kind in kinds().filter(|kind| kind.access == Access::Stored) {
            let declared = column_definitions(kind);
            let declared: Vec<&str> = declared.iter().filter_map(|d| d["name"].as_str()).collect();
            let own: Vec<&str> = kind.columns.iter().map(|column| column.name).collect();
            assert!(
                own.starts_with(&declared),
                "{own:?} {declared:?}: {} {}",
                kind.api_version(),
                kind.resource
            );
            assert!(!declared.is_empty(), "{} {}", kind.api_version(), kind.resource);
        }
    }
}

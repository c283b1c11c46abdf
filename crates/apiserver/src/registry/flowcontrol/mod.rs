//! The flowcontrol.apiserver.k8s.io group.

mod level;
mod schema;

use std::collections::HashSet;

use level::limited;

use super::Sub;
use super::check::Field;
use super::column::{AGE, Column, NAME};
use super::kind::Kind;

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("flowcontrol.apiserver.k8s.io", "v1", kind, resource, singular)
        .subs(&[Sub::Status])
        .generation()
}

pub(super) static KINDS: &[Kind] = &[
    row("FlowSchema", "flowschemas", "flowschema")
        .rechecks(1, 0)
        .strategy(&schema::FlowSchema)
        .columns(&[
            NAME,
            Column::text_or("PriorityLevel", &["spec", "priorityLevelConfiguration", "name"], ""),
            Column::number("MatchingPrecedence", &["spec", "matchingPrecedence"]),
            Column::text("DistinguisherMethod", &["spec", "distinguisherMethod", "type"]),
            AGE,
            Column::make("MissingPL", |o| {
                let conditions = o["status"]["conditions"].as_array().into_iter().flatten();
                let mut dangling =
                    conditions.filter(|c| c["type"] == "Dangling").map(|c| c["status"].clone());
                dangling.next_back().unwrap_or_else(|| "?".into())
            }),
        ])
        // In matching order.
        .rows_by(|o| o["spec"]["matchingPrecedence"].as_i64().unwrap_or_default()),
    row("PriorityLevelConfiguration", "prioritylevelconfigurations", "prioritylevelconfiguration")
        .rechecks(1, 0)
        .strategy(&level::Level)
        .columns(&[
            NAME,
            Column::text_or("Type", &["spec", "type"], ""),
            Column::make("NominalConcurrencyShares", |o| limited(o, &["nominalConcurrencyShares"])),
            Column::make("Queues", |o| limited(o, &["limitResponse", "queuing", "queues"])),
            Column::make("HandSize", |o| limited(o, &["limitResponse", "queuing", "handSize"])),
            Column::make("QueueLengthLimit", |o| {
                limited(o, &["limitResponse", "queuing", "queueLengthLimit"])
            }),
            AGE,
        ]),
];

/// Conditions must have a type, each a different one.
fn check_conditions(object: &Field<'_>) {
    let mut seen = HashSet::new();
    for condition in object.at("status").items("conditions") {
        if !seen.insert(condition.str("type")) {
            condition.at("type").duplicate();
        }
        condition.needs("type");
    }
}

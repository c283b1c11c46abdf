//! The discovery.k8s.io group.

use super::column::{AGE, Column, NAME, join};
use super::kind::Kind;
use serde_json::Value;

/// At most three, then how many more.
fn shortened(items: Vec<String>, none: &str) -> Value {
    let more = items.len().saturating_sub(3);
    let shown = items.iter().take(3).cloned();
    match (items.is_empty(), more) {
        (true, _) => none.into(),
        (_, 0) => join(shown),
        _ => format!("{} + {more} more...", shown.collect::<Vec<_>>().join(",")).into(),
    }
}

fn ports(object: &Value) -> Value {
    let ports = object["ports"].as_array().into_iter().flatten();
    shortened(
        ports.map(|p| p["port"].as_i64().map_or("*".into(), |n| n.to_string())).collect(),
        "<unset>",
    )
}

fn endpoints(object: &Value) -> Value {
    let endpoints = object["endpoints"].as_array().into_iter().flatten();
    let addresses = endpoints.flat_map(|e| e["addresses"].as_array().into_iter().flatten());
    shortened(addresses.filter_map(|a| a.as_str().map(str::to_owned)).collect(), "<unset>")
}

pub(super) static KINDS: &[Kind] =
    &[Kind::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice")
        .namespaced()
        .generation()
        .columns(&[
            NAME,
            Column::text_or("AddressType", &["addressType"], ""),
            Column::make("Ports", ports),
            Column::make("Endpoints", endpoints),
            AGE,
        ])];

//! Resources that nobody uses without a quota for them (`limitedResources` of the configuration).

use std::collections::BTreeSet;

use apimachinery::{Object, Status};
use serde::Deserialize;
use serde_json::Value;

use super::super::Request;
use super::super::configuration::{Document, Invalid};
use super::charge::Bill;
use crate::admission::pod_node_selector::plain;

const GROUP: &str = "resourcequota.admission.k8s.io";

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Configuration {
    limited_resources: Vec<Limited>,
}

/// A resource that is limited by default.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Limited {
    api_group: String,
    resource: String,
    /// Parts of the names of amounts that a quota must cover.
    match_contains: Vec<String>,
    /// Scopes whose objects a quota must be about.
    match_scopes: Vec<Value>,
}

/// Reads the configuration.
pub(super) fn read(document: Option<&Document>) -> Result<Vec<Limited>, Invalid> {
    let versions = ["v1", "v1beta1", "v1alpha1"];
    // The newest version has another group.
    let read = document.map(|document| {
        let now = document.read("apiserver.config.k8s.io", &["v1"], "ResourceQuotaConfiguration");
        now.or_else(|_| document.read::<Configuration>(GROUP, &versions, "Configuration"))
    });
    let limited = read.transpose()?.unwrap_or_default().limited_resources;
    let nameless = limited.iter().position(|limited| limited.resource.is_empty());
    match nameless {
        Some(at) => {
            Err(Invalid::Document(format!("limitedResources[{at}].resource: Required value")))
        }
        None => Ok(limited),
    }
}

/// Refuses an object that uses what is limited, and no quota limits.
pub(super) fn check(
    limited: &[Limited],
    request: &Request<'_>,
    bill: &Bill<'_>,
    quotas: &[Object],
    covered: &BTreeSet<String>,
) -> Result<(), Status> {
    let (object, counted) = (bill.object, bill.counted);
    if limited.is_empty() || bill.growth().is_empty() {
        return Ok(());
    }
    let usage = counted.usage(object, bill.now);
    let own = |limited: &&Limited| request.is(&limited.api_group, &limited.resource);
    let parts: Vec<&String> = limited.iter().filter(own).flat_map(|l| &l.match_contains).collect();
    let uncovered: BTreeSet<&str> = usage
        .iter()
        .filter(|(name, amount)| {
            amount.sign() > 0 && parts.iter().any(|part| name.contains(part.as_str()))
        })
        .map(|(name, _)| name)
        .filter(|name| !covered.contains(*name))
        .collect();
    if !uncovered.is_empty() {
        let names: Vec<&str> = uncovered.into_iter().collect();
        let why = format!("insufficient quota to consume: {}", names.join(","));
        return Err(request.forbidden(why));
    }
    let known: BTreeSet<&str> =
        quotas.iter().flat_map(|quota| counted.scopes_of(quota, object)).collect();
    let missing: Vec<String> = limited
        .iter()
        .flat_map(|limited| &limited.match_scopes)
        .filter(|scope| counted.meets(scope, object))
        .filter(|scope| !known.contains(text(&scope["scopeName"])))
        .map(shown)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(plain(format!("insufficient quota to match these scopes: [{}]", missing.join(" "))))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A requirement as Go shows it.
fn shown(scope: &Value) -> String {
    let values = scope["values"].as_array().into_iter().flatten().map(text);
    let values: Vec<&str> = values.collect();
    let (name, operator) = (text(&scope["scopeName"]), text(&scope["operator"]));
    format!("{{{name} {operator} [{}]}}", values.join(" "))
}

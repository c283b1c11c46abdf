//! The discovery.k8s.io group.

use std::collections::HashSet;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::Value;

use super::Sub;
use super::check::{Field, Names, check, check_labels};
use super::column::{AGE, Column, NAME, join};
use super::core::PROTOCOLS;
use super::kind::Kind;
use super::strategy::{Context, Strategy, differs_in_wish, items_mut, set_default};

/// At most three items, then the number of the others.
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
        .rechecks(1, 0)
        .namespaced()
        .strategy(&Slice)
        .generation()
        .columns(&[
            NAME,
            Column::text_or("AddressType", &["addressType"], ""),
            Column::make("Ports", ports),
            Column::make("Endpoints", endpoints),
            AGE,
        ])];

struct Slice;

impl Strategy for Slice {
    fn default(&self, object: &mut Object) {
        for port in items_mut(object, "ports") {
            set_default(port, "name", "");
            set_default(port, "protocol", "TCP");
        }
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        drop_topology(object, None);
        ErrorList::new()
    }

    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        drop_topology(object, Some(old));
        ErrorList::new()
    }

    /// Clients that select by labels depend on them too.
    fn raises_generation(&self, object: &Object, old: &Object) -> bool {
        let labels = |o: &Object| o.get_path(&["metadata", "labels"]).cloned();
        differs_in_wish(object, old) || labels(object) != labels(old)
    }

    fn raises_generation_early(&self) -> bool {
        true
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_slice(object, None))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            check_slice(object, Some(old));
            object.immutable_text("addressType", old);
        })
    }
}

/// Drops the older topology map from endpoints that change; a host that it named before becomes the
/// node name.
fn drop_topology(slice: &mut Object, old: Option<&Object>) {
    const HOST: &str = "kubernetes.io/hostname";
    if old.is_some_and(|old| old["endpoints"] == slice["endpoints"]) {
        return;
    }
    let of_old = old.and_then(|old| old["endpoints"].as_array()).into_iter().flatten();
    let known: HashSet<&str> =
        of_old.filter_map(|e| e["deprecatedTopology"][HOST].as_str()).collect();
    for endpoint in items_mut(slice, "endpoints") {
        let Some(topology) = endpoint.remove_path(&["deprecatedTopology"]) else { continue };
        let host = topology[HOST].as_str().filter(|host| known.contains(host));
        if let (Some(host), true) = (host, endpoint["nodeName"].is_null())
            && names::dns1123_subdomain(host).is_empty()
        {
            endpoint["nodeName"] = host.into();
        }
    }
}

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_TOPOLOGY: usize = 16;
const MAX_HINTS: usize = 8;

fn check_slice(slice: &Field<'_>, old: Option<&Object>) {
    slice.needs_one_of("addressType", &["FQDN", "IPv4", "IPv6"]);
    check_ports(slice);
    // Endpoints that were accepted before are kept.
    if old.is_some_and(|old| &old["endpoints"] == slice.get("endpoints")) {
        return;
    }
    if slice.len("endpoints") > MAX_ENDPOINTS {
        return slice.at("endpoints").too_many(slice.len("endpoints"), MAX_ENDPOINTS);
    }
    for endpoint in slice.items("endpoints") {
        check_endpoint(&endpoint, slice.str("addressType"));
    }
}

fn check_ports(slice: &Field<'_>) {
    if slice.len("ports") > MAX_PORTS {
        return slice.at("ports").too_many(slice.len("ports"), MAX_PORTS);
    }
    let mut seen = HashSet::new();
    for port in slice.items("ports") {
        port.maybe_valid("name", names::dns1123_label);
        if !seen.insert(port.str("name")) {
            port.at("name").duplicate();
        }
        port.one_of("protocol", PROTOCOLS);
        if port.has("appProtocol") {
            port.valid("appProtocol", names::qualified_name);
        }
    }
}

fn check_endpoint(endpoint: &Field<'_>, of: &str) {
    let list = endpoint.at("addresses");
    match endpoint.len("addresses") {
        0 => list.required("must contain at least 1 address"),
        n if n > MAX_ADDRESSES => list.too_many(n, MAX_ADDRESSES),
        _ => {}
    }
    for address in endpoint.items("addresses") {
        let before = address.count();
        match of {
            "IPv4" => address.ip(),
            "IPv6" => address.canonical_ip(),
            "FQDN" => address.domain_name(),
            _ => {}
        }
        if address.count() > before || !of.starts_with("IPv") {
            continue;
        }
        if address.text().contains(':') != (of == "IPv6") {
            list.invalid_value(address.text(), format!("must be an {of} address"));
        }
        address.endpoint_ip();
    }
    if endpoint.has("nodeName") {
        endpoint.valid("nodeName", names::dns1123_subdomain);
    }
    let topology = endpoint.at("deprecatedTopology");
    if endpoint.len("deprecatedTopology") > MAX_TOPOLOGY {
        topology.too_many(endpoint.len("deprecatedTopology"), MAX_TOPOLOGY);
    }
    check_labels(&topology);
    if endpoint.has("hostname") {
        endpoint.valid("hostname", names::dns1123_label);
    }
    let rules: [(&str, Names); 2] =
        [("forZones", names::label_value), ("forNodes", names::dns1123_subdomain)];
    for (field, rule) in rules {
        let hints = endpoint.at("hints");
        if hints.len(field) > MAX_HINTS {
            return hints.at(field).too_many(hints.len(field), MAX_HINTS);
        }
        let mut seen = HashSet::new();
        for hint in hints.items(field) {
            if !seen.insert(hint.str("name")) {
                hint.at("name").duplicate();
            }
            hint.valid("name", rule);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::subject;
    use serde_json::json;

    #[test]
    fn the_old_topology_is_dropped_from_what_changes() {
        let endpoint = |address: &str| json!({"addresses": [address], "deprecatedTopology": {"kubernetes.io/hostname": "n"}});
        let old = json!({"endpoints": [endpoint("10.0.0.1")]});
        let mut same = old.clone();
        super::drop_topology(&mut same, Some(&old));
        assert_eq!(same, old);
        let mut other = json!({"endpoints": [endpoint("10.0.0.2")]});
        super::drop_topology(&mut other, Some(&old));
        let node = json!({"endpoints": [{"addresses": ["10.0.0.2"], "nodeName": "n"}]});
        assert_eq!(other, node);
        let mut new = old.clone();
        super::drop_topology(&mut new, None);
        assert_eq!(new, json!({"endpoints": [{"addresses": ["10.0.0.1"]}]}));
    }

    #[test]
    fn slices() {
        let base = json!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}]});
        let slice = subject("discovery.k8s.io", "v1", "EndpointSlice", base);
        slice.creates(&[
            (json!({}), &[]),
            (
                json!({"addressType": "Smoke", "ports": [{"name": "A"}, {"name": "b", "protocol": "x"}, {"name": "b"}]}),
                &[
                    "addressType: Unsupported value: \"Smoke\": supported values: \"FQDN\", \"IPv4\", \"IPv6\"",
                    "ports[0].name: Invalid value: \"A\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                    "ports[1].protocol: Unsupported value: \"x\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
                    "ports[2].name: Duplicate value: \"b\"",
                ],
            ),
            (
                json!({"endpoints": [{"addresses": []}, {"addresses": ["::1", "127.0.0.1", "x"]}, {"addresses": ["1.2.3.4"], "hints": {"forZones": [{"name": "z"}, {"name": "z"}]}}]}),
                &[
                    "endpoints[0].addresses: Required value: must contain at least 1 address",
                    "endpoints[1].addresses: Invalid value: \"::1\": must be an IPv4 address",
                    "endpoints[1].addresses[0]: Invalid value: \"::1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                    "endpoints[1].addresses[1]: Invalid value: \"127.0.0.1\": may not be in the loopback range (127.0.0.0/8, ::1/128)",
                    "endpoints[1].addresses[2]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                    "endpoints[2].hints.forZones[1].name: Duplicate value: \"z\"",
                ],
            ),
            (
                json!({"addressType": "FQDN", "endpoints": [{"addresses": ["example", "Example.com"]}]}),
                &[
                    "endpoints[0].addresses[0]: Invalid value: \"example\": should be a domain with at least two segments separated by dots",
                    "endpoints[0].addresses[1]: Invalid value: \"Example.com\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
                ],
            ),
        ]);
        slice.updates(&[(
            json!({}),
            json!({"addressType": "IPv6"}),
            &["addressType: Invalid value: \"IPv6\": field is immutable"],
        )]);
    }
}

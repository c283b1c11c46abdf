//! NetworkPolicy.

use apimachinery::Object;
use apimachinery::field::ErrorList;
use apimachinery::names;
use ipnet::IpNet;
use serde_json::{Value, json};

use crate::registry::Sub;
use crate::registry::check::{Field, check, check_label_selector};
use crate::registry::strategy::{Strategy, ensure, items_mut, set_default};

pub(super) struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn default(&self, object: &mut Object) {
        let spec = ensure(object, &["spec"]);
        if spec["policyTypes"].as_array().is_none_or(Vec::is_empty) {
            let mut types = vec!["Ingress"];
            if spec["egress"].as_array().is_some_and(|e| !e.is_empty()) {
                types.push("Egress");
            }
            spec["policyTypes"] = json!(types);
        }
        for direction in ["ingress", "egress"] {
            for rule in items_mut(spec, direction) {
                for port in items_mut(rule, "ports") {
                    set_default(port, "protocol", "TCP");
                }
            }
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec"), &[]))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let known = ranges(&old["spec"]);
        check(object, |object| {
            check_spec(&object.at("spec"), &[]);
            check_spec(&object.at("spec"), &known);
        })
    }
}

/// All address ranges of a policy.
fn ranges(spec: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec[direction].as_array().into_iter().flatten() {
            for peer in rule[peers].as_array().into_iter().flatten() {
                found.extend(peer["ipBlock"]["cidr"].as_str());
                let except = peer["ipBlock"]["except"].as_array().into_iter().flatten();
                found.extend(except.filter_map(Value::as_str));
            }
        }
    }
    found
}

fn check_spec(spec: &Field<'_>, known: &[&str]) {
    check_label_selector(&spec.at("podSelector"));
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for rule in spec.items(direction) {
            rule.items("ports").for_each(|port| check_port(&port));
            rule.items(peers).for_each(|peer| check_peer(&peer, known));
        }
    }
    const TYPES: &[&str] = &["Ingress", "Egress"];
    if spec.len("policyTypes") > TYPES.len() {
        return spec.at("policyTypes").invalid("may not specify more than two policyTypes");
    }
    for of in spec.items("policyTypes").filter(|of| !TYPES.contains(&of.text())) {
        of.not_supported(TYPES);
    }
}

fn check_port(port: &Field<'_>) {
    port.maybe_one_of("protocol", &["TCP", "UDP", "SCTP"]);
    let (number, end) = (port.get("port"), port.at("endPort"));
    let last = end.value().as_i64();
    match number {
        Value::Null => {
            if last.is_some() {
                end.invalid("may not be specified when `port` is not specified");
            }
        }
        Value::String(_) => {
            if last.is_some() {
                end.invalid("may not be specified when `port` is non-numeric");
            }
            port.valid("port", names::port_name);
        }
        number => {
            let first = number.as_i64().unwrap_or(0);
            port.at("port").invalid_all(names::port_number(first));
            if let Some(last) = last {
                if last < first {
                    end.invalid("must be greater than or equal to `port`");
                }
                end.invalid_all(names::port_number(last));
            }
        }
    }
}

fn check_peer(peer: &Field<'_>, known: &[&str]) {
    let mut given = 0;
    for selector in ["podSelector", "namespaceSelector"].iter().filter_map(|name| peer.opt(name)) {
        given += 1;
        check_label_selector(&selector);
    }
    match peer.opt("ipBlock") {
        Some(block) => {
            check_block(&block, known);
            if given > 0 {
                peer.forbidden("may not specify both ipBlock and another peer");
            }
        }
        None if given == 0 => peer.required("must specify a peer"),
        None => {}
    }
}

fn check_block(block: &Field<'_>, known: &[&str]) {
    if !block.needs("cidr") {
        return;
    }
    let range = |field: &Field<'_>| {
        if !known.contains(&field.text()) {
            field.cidr();
        }
        field.text().parse::<IpNet>().ok()
    };
    let Some(whole) = range(&block.at("cidr")) else { return };
    for except in block.items("except") {
        let Some(part) = range(&except) else { continue };
        if !whole.contains(&part.network()) || whole.prefix_len() >= part.prefix_len() {
            except.invalid("must be a strict subset of `cidr`");
        }
    }
}

//! Rules of services (upstream's `validateService`).

use std::collections::HashSet;

use apimachinery::field::FieldError;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use super::super::pod::PROTOCOLS;
use super::{is_external, is_headless, needs_health_check};
use crate::registry::check::{Field, check_labels, internal};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
/// A day.
const MAX_AFFINITY: i64 = 86_400;

pub(super) fn check_service(object: &Field<'_>, old: Option<&Object>) {
    let annotations = object.at("metadata").at("annotations");
    let spec = object.at("spec");
    let of = spec.str("type");
    if let (Some(mode), Some(hints)) =
        (annotations.get(MODE).as_str(), annotations.get(HINTS).as_str())
        && mode != hints
    {
        annotations
            .key(MODE)
            .invalid(format!("must match annotations[{HINTS}] when both are specified"));
    }
    let headless = is_headless(spec.value());
    if spec.len("ports") == 0 && !headless && of != "ExternalName" {
        spec.at("ports").required("");
    }
    match of {
        "LoadBalancer" | "NodePort" if headless => spec
            .at("clusterIPs")
            .index(0)
            .invalid(format!("may not be set to 'None' for {of} services")),
        "ExternalName" => check_external_name(&spec),
        _ => {}
    }
    let mut seen = HashSet::new();
    for port in spec.items("ports") {
        check_port(&port, spec.len("ports") > 1, &mut seen);
    }
    check_labels(&spec.at("selector"));
    spec.needs_one_of("sessionAffinity", &["ClientIP", "None"]);
    check_affinity(&spec);
    check_addresses(&spec, old);
    for ip in spec.items("externalIPs") {
        let known = old.is_some_and(|old| contains(&old["spec"]["externalIPs"], ip.value()));
        let before = ip.count();
        if !known {
            ip.ip();
        }
        if ip.count() == before {
            ip.endpoint_ip();
        }
    }
    spec.needs_one_of("type", TYPES);
    check_unique_ports(&spec, of);
    check_load_balancer(&spec, &annotations, old);
    check_traffic(&spec, of);
}

fn contains(list: &Value, item: &Value) -> bool {
    list.as_array().is_some_and(|list| list.contains(item))
}

fn check_external_name(spec: &Field<'_>) {
    for field in ["clusterIPs", "ipFamilies"] {
        if spec.len(field) > 0 {
            spec.at(field).forbidden("may not be set for ExternalName services");
        }
    }
    if spec.has("ipFamilyPolicy") {
        spec.at("ipFamilyPolicy").forbidden("may not be set for ExternalName services");
    }
    let name = spec.at("externalName");
    match name.text().strip_suffix('.').unwrap_or(name.text()) {
        "" => name.required(""),
        text => {
            for message in names::dns1123_subdomain(text) {
                name.invalid_value(text, message);
            }
        }
    }
}

fn check_port<'a>(port: &Field<'a>, needs_name: bool, seen: &mut HashSet<&'a str>) {
    let name = port.str("name");
    if !name.is_empty() {
        port.valid("name", names::dns1123_label);
        if !seen.insert(name) {
            port.at("name").duplicate();
        }
    } else if needs_name {
        port.at("name").required("");
    }
    let number = port.int("port").unwrap_or(0);
    for message in names::port_number(number) {
        port.at("port").invalid_value(number, message);
    }
    port.needs_one_of("protocol", PROTOCOLS);
    port.port_or_name("targetPort");
    if port.has("appProtocol") {
        port.valid("appProtocol", names::qualified_name);
    }
}

fn check_affinity(spec: &Field<'_>) {
    let config = spec.at("sessionAffinityConfig");
    match spec.str("sessionAffinity") {
        "ClientIP" => {
            const WHEN: &str = "when session affinity type is ClientIP";
            let (client, timeout) =
                (config.at("clientIP"), config.at("clientIP").at("timeoutSeconds"));
            for field in [&config, &client, &timeout] {
                if field.value().is_null() {
                    return field.required(WHEN);
                }
            }
            let seconds = timeout.value().as_i64().unwrap_or(0);
            if !(1..=MAX_AFFINITY).contains(&seconds) {
                timeout.invalid(format!("must be greater than 0 and less than {MAX_AFFINITY}"));
            }
        }
        "None" if spec.has("sessionAffinityConfig") => {
            config.forbidden("must not be set when session affinity is None");
        }
        _ => {}
    }
}

const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const FAMILY_POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Checks cluster addresses, their families and the policy.
pub(super) fn check_addresses(spec: &Field<'_>, old: Option<&Object>) {
    if spec.str("type") == "ExternalName" {
        return;
    }
    let (ips, first) = (spec.at("clusterIPs"), spec.str("clusterIP"));
    let all: Vec<&str> = spec.strings("clusterIPs").collect();
    match (first.is_empty(), all.first()) {
        (false, None) => ips.required(""),
        (false, Some(one)) if *one != first => ips.invalid("first value must match `clusterIP`"),
        (true, Some(_)) => ips.invalid("must be empty when `clusterIP` is not specified"),
        _ => {}
    }
    let mut seen = HashSet::new();
    for family in spec.items("ipFamilies") {
        if !FAMILIES.contains(&family.text()) {
            family.not_supported(FAMILIES);
        }
        if !seen.insert(family.text()) {
            family.duplicate();
        }
    }
    spec.maybe_one_of("ipFamilyPolicy", FAMILY_POLICIES);
    let before = ips.count();
    for (i, ip) in spec.items("clusterIPs").enumerate() {
        if i == 0 && ip.text() == "None" {
            if all.len() > 1 {
                ips.invalid("'None' must be the first and only value");
            }
        } else if !old.is_some_and(|old| contains(&old["spec"]["clusterIPs"], ip.value())) {
            ip.ip();
        }
    }
    let wrong = ips.count() > before;
    if all.len() > 2 {
        ips.invalid("may only hold up to 2 values");
    }
    if wrong {
        return;
    }
    let six = |ip: &str| ip.contains(':');
    let dual = all.iter().any(|ip| six(ip)) && all.iter().any(|ip| !six(ip));
    if all.len() > 1 && !dual {
        ips.invalid("may specify no more than one IP for each IP family");
    }
    if is_headless(spec.value()) {
        return;
    }
    for (i, (ip, family)) in all.iter().zip(spec.strings("ipFamilies")).enumerate() {
        if FAMILIES.contains(&family) && six(ip) != (family == "IPv6") {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            ips.index(i).invalid(detail);
        }
    }
}

fn check_unique_ports(spec: &Field<'_>, of: &str) {
    let node_port = |port: &Field<'_>| port.int("nodePort").filter(|n| *n != 0);
    if of == "ClusterIP" {
        for port in spec.items("ports").filter(|p| node_port(p).is_some()) {
            port.at("nodePort").forbidden("may not be used when `type` is 'ClusterIP'");
        }
    }
    let mut seen = HashSet::new();
    for port in spec.items("ports") {
        if let Some(number) = node_port(&port)
            && !seen.insert((port.str("protocol"), number))
        {
            port.at("nodePort").duplicate();
        }
    }
    let mut seen = HashSet::new();
    for port in spec.items("ports") {
        if !seen.insert((port.str("protocol"), port.int("port"))) {
            let key = json!({"protocol": port.get("protocol"), "port": port.get("port")});
            let error = FieldError::duplicate(port.path(), "");
            port.push(error.showing(internal(&key, "ServicePort")));
        }
    }
}

const ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

fn check_load_balancer(spec: &Field<'_>, annotations: &Field<'_>, old: Option<&Object>) {
    let balanced = spec.str("type") == "LoadBalancer";
    if spec.len("loadBalancerSourceRanges") > 0 {
        let place = spec.at_as("loadBalancerSourceRanges", "LoadBalancerSourceRanges");
        if !balanced {
            place.forbidden(ONLY);
        }
        for (i, range) in spec.items("loadBalancerSourceRanges").enumerate() {
            let was = old.map(|old| &old["spec"]["loadBalancerSourceRanges"]);
            if !was.is_some_and(|was| contains(was, range.value())) {
                place.index(i).instead(&range.text().trim().into()).cidr();
            }
        }
    } else if let Some(text) = annotations.get(SOURCE_RANGES).as_str() {
        let place = annotations.key(SOURCE_RANGES);
        if !balanced {
            place.forbidden(ONLY);
        }
        if old.and_then(|old| old.annotation(SOURCE_RANGES)) != Some(text) {
            for range in text.trim().split(',').filter(|_| !text.trim().is_empty()) {
                place.instead(&range.trim().into()).cidr();
            }
        }
    }
    if spec.has("allocateLoadBalancerNodePorts") && !balanced {
        spec.at("allocateLoadBalancerNodePorts").forbidden(ONLY);
    }
    check_balancer_class(spec);
}

pub(super) fn check_balancer_class(spec: &Field<'_>) {
    if spec.has("loadBalancerClass") {
        if spec.str("type") == "LoadBalancer" {
            spec.valid("loadBalancerClass", names::qualified_name);
        } else {
            spec.at("loadBalancerClass").forbidden(ONLY);
        }
    }
}

fn check_traffic(spec: &Field<'_>, of: &str) {
    let policy = spec.at("externalTrafficPolicy");
    if is_external(spec.value()) {
        spec.needs_one_of("externalTrafficPolicy", &["Cluster", "Local"]);
    } else if !policy.text().is_empty() {
        policy.invalid("may only be set for externally-accessible services");
    }
    let health = spec.int("healthCheckNodePort").unwrap_or(0);
    if !needs_health_check(spec.value()) {
        if health != 0 {
            spec.at("healthCheckNodePort").invalid(
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is \
                 'Local'",
            );
        }
    } else if health != 0 {
        spec.at("healthCheckNodePort").invalid_all(names::port_number(health));
    }
    if !spec.has("internalTrafficPolicy") {
        if matches!(of, "NodePort" | "LoadBalancer" | "ClusterIP") {
            spec.at("internalTrafficPolicy").required("");
        }
    } else {
        spec.one_of("internalTrafficPolicy", &["Cluster", "Local"]);
    }
    spec.maybe_one_of("trafficDistribution", &["PreferClose", "PreferSameZone", "PreferSameNode"]);
}

/// Checks the status that a load balancer reports.
pub(super) fn check_status(object: &Field<'_>, old: &Object) {
    let balancer = object.at("status").at("loadBalancer");
    if object.at("spec").str("type") != "LoadBalancer" && balancer.len("ingress") > 0 {
        balancer.at("ingress").forbidden("may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    let was = old["status"]["loadBalancer"]["ingress"].as_array();
    for ingress in balancer.items("ingress") {
        let (ip, mode) = (ingress.str("ip"), ingress.at("ipMode"));
        let known = was.is_some_and(|was| was.iter().any(|old| old["ip"] == ip));
        if !ip.is_empty() && !known {
            ingress.at("ip").ip();
        }
        match (ingress.has("ipMode"), ip.is_empty()) {
            (false, false) => mode.required("must be specified when `ip` is set"),
            (false, true) => {}
            (true, true) => mode.forbidden("may not be specified when `ip` is not set"),
            (true, false) => ingress.one_of("ipMode", &["Proxy", "VIP"]),
        }
        let hostname = ingress.at("hostname");
        if !hostname.text().is_empty() {
            hostname.invalid_all(names::dns1123_subdomain(hostname.text()));
            if hostname.text().parse::<std::net::IpAddr>().is_ok() {
                hostname.invalid("must be a DNS name, not an IP address");
            }
        }
    }
}

//! Fields that an update of a service keeps, drops or must not change.

use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::allocate::{keep_node_ports, node_ports, uses_cluster_ip, uses_node_ports};
use super::rules::check_balancer_class;
use super::{is_external, is_headless, needs_health_check};
use crate::registry::check::Field;
use crate::registry::strategy::items_mut;

const ADDRESSES: &[&str] = &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"];
const ONCE: &str = "may not change once set";

/// Drops fields of the previous type, unless the client changed them.
pub(super) fn drop_what_the_type_had(object: &mut Object, old: &Object) {
    let (spec, was) = (&object["spec"], &old["spec"]);
    let mut drop: Vec<&str> = Vec::new();
    if uses_cluster_ip(old) && !uses_cluster_ip(object) {
        drop.extend(ADDRESSES);
    }
    if needs_health_check(was) && !needs_health_check(spec) {
        drop.push("healthCheckNodePort");
    }
    if was["type"] == "LoadBalancer" && spec["type"] != "LoadBalancer" {
        drop.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if is_external(was) && !is_external(spec) {
        drop.push("externalTrafficPolicy");
    }
    for field in drop {
        if object["spec"][field] == was[field] {
            object.remove_path(&["spec", field]);
        }
    }
    let has_node_ports =
        |o: &Object| matches!(o.str_at(&["spec", "type"]), "NodePort" | "LoadBalancer");
    if has_node_ports(old) && !has_node_ports(object) {
        let before = node_ports(old);
        let given = |port: &Value| before.iter().any(|(_, n)| port["nodePort"] == *n);
        for port in items_mut(&mut object["spec"], "ports").filter(|p| given(p)) {
            port.remove_path(&["nodePort"]);
        }
    }
}

/// An update that omits allocated values keeps them.
pub(super) fn keep_what_was_given(object: &mut Object, old: &Object) {
    if uses_cluster_ip(object) && uses_cluster_ip(old) {
        // A client that only knows the first address refers to all of them.
        let (ip, was) = (object["spec"]["clusterIP"].clone(), &old["spec"]);
        if !ip.is_null()
            && ip != was["clusterIP"]
            && object["spec"]["clusterIPs"] == was["clusterIPs"]
        {
            object.set_path(&["spec", "clusterIPs"], json!([ip]));
        }
        // Families and their policy follow from these.
        for field in ["clusterIP", "clusterIPs"] {
            if object.get_path(&["spec", field]).is_none()
                && let Some(value) = old.get_path(&["spec", field])
            {
                object.set_path(&["spec", field], value.clone());
            }
        }
    }
    let given = object["spec"]["clusterIP"].clone();
    if old["spec"]["clusterIP"].is_null()
        && object["spec"]["clusterIPs"].is_null()
        && !given.is_null()
    {
        object.set_path(&["spec", "clusterIPs"], json!([given]));
    }
    // External names have no internal traffic policy.
    if object["spec"]["type"] == "ExternalName" {
        object.remove_path(&["spec", "internalTrafficPolicy"]);
    }
    if uses_node_ports(object) {
        keep_node_ports(object, old);
    }
    let health = "healthCheckNodePort";
    if needs_health_check(&object["spec"])
        && object["spec"][health].as_i64().unwrap_or(0) == 0
        && let Some(port) = old.get_path(&["spec", health])
    {
        object.set_path(&["spec", health], port.clone());
    }
}

/// Checks a change of the spec.
pub(super) fn check_update(spec: &Field<'_>, old: &Value) {
    if spec.get("type") != "ExternalName" && old["type"] != "ExternalName" {
        check_addresses(spec, old);
        check_families(spec, old);
    }
    let class = spec.at("loadBalancerClass");
    let balanced = |spec: &Value| spec["type"] == "LoadBalancer";
    if balanced(old) && balanced(spec.value()) && class.value() != &old["loadBalancerClass"] {
        class.invalid_value(class.value().clone(), ONCE);
    }
    check_balancer_class(spec);
    let health = spec.at("healthCheckNodePort");
    if needs_health_check(old)
        && needs_health_check(spec.value())
        && health.value() != &old["healthCheckNodePort"]
    {
        health.forbidden("field is immutable");
    }
}

fn list<'a>(spec: &'a Value, field: &str) -> &'a [Value] {
    spec[field].as_array().map_or(&[], Vec::as_slice)
}

/// The second family may only be removed if the policy permits it.
fn check_release(spec: &Field<'_>, what: &str) {
    if spec.str("ipFamilyPolicy") != "SingleStack" {
        let policy = spec.at("ipFamilyPolicy");
        policy.invalid_value(
            policy.value().clone(),
            format!("must be set to 'SingleStack' when releasing the secondary {what}"),
        );
    }
}

fn check_addresses(spec: &Field<'_>, old: &Value) {
    if is_headless(spec.value()) && is_headless(old) {
        return;
    }
    let (now, was) = (list(spec.value(), "clusterIPs"), list(old, "clusterIPs"));
    let ips = spec.at("clusterIPs");
    let refuse = |i: usize, detail: &str| {
        ips.index(i).invalid_value(ips.value().clone(), detail);
    };
    if now.len() == was.len() {
        for i in (0..now.len()).filter(|i| now[*i] != was[*i]) {
            refuse(i, ONCE);
        }
        return;
    }
    if now.is_empty() {
        refuse(0, "primary clusterIP can not be unset");
    } else if !was.is_empty() && now[0] != was[0] {
        refuse(0, ONCE);
    }
    if was.len() > now.len() && now.len() == 1 {
        check_release(spec, "clusterIP");
    }
}

fn check_families(spec: &Field<'_>, old: &Value) {
    if is_headless(spec.value()) || is_headless(old) {
        return;
    }
    let (now, was) = (list(spec.value(), "ipFamilies"), list(old, "ipFamilies"));
    let first = spec.at("ipFamilies").index(0);
    let refuse = |shown: &str, detail: &str| first.invalid_value(spec.get(shown).clone(), detail);
    if now.len() == was.len() {
        for _ in (0..now.len()).filter(|i| now[*i] != was[*i]) {
            refuse("ipFamilies", ONCE);
        }
        return;
    }
    if now.len() < was.len() && spec.len("clusterIPs") == 0 {
        refuse("ipFamilies", "primary ipFamily can not be unset");
    }
    // Upstream shows the addresses here.
    if let (Some(now), Some(was)) = (now.first(), was.first())
        && now != was
    {
        refuse("clusterIPs", ONCE);
    }
    if now.len() < was.len() && now.len() == 1 {
        check_release(spec, "ipFamily");
    }
}

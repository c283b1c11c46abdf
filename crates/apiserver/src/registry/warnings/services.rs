//! Services, endpoints, network policies and ingresses.

use apimachinery::field::Path;
use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::addresses::{warn_cidr, warn_ip};
use super::items;

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

fn warn_ips(path: &Path, object: &Value, at: &[&str], found: &mut Vec<String>) {
    for (i, ip) in items(object, at).enumerate() {
        warn_ip(&path.index(i), ip.as_str().unwrap_or_default(), found);
    }
}

pub(super) fn warn_service(object: &Object, found: &mut Vec<String>) {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let (spec, path) = (&object["spec"], Path::new("spec"));
    let text = |field: &str| spec.str_at(&[field]);
    let some = |field: &str| spec[field].as_array().is_some_and(|list| !list.is_empty());
    if object.annotation(HINTS).is_some() {
        found.push(format!(
            "annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode \
             instead"
        ));
    }
    let headless = text("type") == "ClusterIP" && text("clusterIP") == "None";
    if !matches!(text("clusterIP"), "" | "None") {
        warn_ips(&path.child("clusterIPs"), spec, &["clusterIPs"], found);
    }
    if headless {
        if !text("loadBalancerIP").is_empty() {
            found.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if some("externalIPs") {
            found.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if text("sessionAffinity") != "None" {
            found.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    warn_ips(&path.child("externalIPs"), spec, &["externalIPs"], found);
    if some("externalIPs") && !headless && text("type") != "ExternalName" {
        let said =
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters";
        found.push(said.to_owned());
    }
    if !text("loadBalancerIP").is_empty() {
        warn_ip(&path.child("loadBalancerIP"), text("loadBalancerIP"), found);
    }
    for (i, range) in items(spec, &["loadBalancerSourceRanges"]).enumerate() {
        let path = path.child("loadBalancerSourceRanges").index(i);
        warn_cidr(&path, range.as_str().unwrap_or_default(), found);
    }
    let external = text("type") == "ExternalName";
    if external && some("externalIPs") {
        found.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !external && !text("externalName").is_empty() {
        let what = "spec.externalName is ignored when spec.type is not \"ExternalName\"";
        found.push(what.to_owned());
    }
    if text("trafficDistribution") == "PreferClose" {
        let what =
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"";
        found.push(what.to_owned());
    }
}

pub(super) fn warn_endpoints(object: &Object, found: &mut Vec<String>) {
    // The controller only writes canonical addresses.
    if object.label("endpoints.kubernetes.io/managed-by") == Some("endpoint-controller") {
        return;
    }
    for (i, subset) in items(object, &["subsets"]).enumerate() {
        for list in ["addresses", "notReadyAddresses"] {
            for (j, address) in items(subset, &[list]).enumerate() {
                let path = Path::new("subsets").index(i).child(list).index(j).child("ip");
                warn_ip(&path, address.str_at(&["ip"]), found);
            }
        }
    }
}

pub(super) fn warn_slice(object: &Object, found: &mut Vec<String>) {
    if object["addressType"] == "FQDN" {
        found.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
    }
    let ours = ["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
    if object.label(MANAGED_BY).is_some_and(|manager| ours.contains(&manager)) {
        return;
    }
    for (i, endpoint) in items(object, &["endpoints"]).enumerate() {
        let path = Path::new("endpoints").index(i).child("addresses");
        warn_ips(&path, endpoint, &["addresses"], found);
    }
}

pub(super) fn warn_policy(object: &Object, found: &mut Vec<String>) {
    for (direction, side) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in items(object, &["spec", direction]).enumerate() {
            for (j, peer) in items(rule, &[side]).enumerate() {
                let path = Path::new("spec").child(direction).index(i).child(side).index(j);
                let path = path.child("ipBlock");
                warn_cidr(&path.child("cidr"), peer.str_at(&["ipBlock", "cidr"]), found);
                for (k, except) in items(peer, &["ipBlock", "except"]).enumerate() {
                    let path = path.child("except").index(k);
                    warn_cidr(&path, except.as_str().unwrap_or_default(), found);
                }
            }
        }
    }
}

pub(super) fn warn_ingress(object: &Object, found: &mut Vec<String>) {
    const CLASS: &str = "kubernetes.io/ingress.class";
    if object.annotation(CLASS).is_some() {
        found.push(format!(
            "annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead"
        ));
    }
}

//! Service: columns, defaults and strategy; the columns of Endpoints.

mod allocate;
mod families;
mod rules;
#[cfg(test)]
mod tests;
mod update;

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use crate::registry::Sub;
use crate::registry::check::check;
use crate::registry::column::{AGE, Column, NAME, join, label_map};
use crate::registry::strategy::{Context, Strategy, ensure, items_mut, set_default};
use allocate::{allocate, release};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::text_or("Type", &["spec", "type"], ""),
    Column::make("Cluster-IP", cluster_ip),
    Column::make("External-IP", external_ip),
    Column::make("Port(s)", ports),
    AGE,
    Column::make("Selector", |o| label_map(o.get_path(&["spec", "selector"]))),
];

fn list<'a>(object: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> + use<'a> {
    object.get_path(path).and_then(Value::as_array).into_iter().flatten()
}

fn cluster_ip(object: &Value) -> Value {
    match object.str_at(&["spec", "clusterIP"]) {
        "" => "<none>".into(),
        ip => ip.into(),
    }
}

fn external_ip(object: &Value) -> Value {
    let external =
        || list(object, &["spec", "externalIPs"]).filter_map(|v| v.as_str().map(str::to_owned));
    match object.str_at(&["spec", "type"]) {
        "ExternalName" => object.str_at(&["spec", "externalName"]).into(),
        "LoadBalancer" => {
            let ingress = list(object, &["status", "loadBalancer", "ingress"]).map(|i| {
                i["ip"].as_str().or(i["hostname"].as_str()).unwrap_or_default().to_owned()
            });
            let text = join(ingress.chain(external()));
            if text == "<none>" { "<pending>".into() } else { text }
        }
        _ => join(external()),
    }
}

fn ports(object: &Value) -> Value {
    join(list(object, &["spec", "ports"]).map(|port| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64().filter(|p| *p > 0) {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    }))
}

/// The first three addresses of an Endpoints object.
pub(super) fn endpoints(object: &Value) -> Value {
    let mut all = Vec::new();
    for subset in list(object, &["subsets"]) {
        let addresses = || list(subset, &["addresses"]).map(|a| a.str_at(&["ip"]));
        let ports: Vec<&Value> = list(subset, &["ports"]).collect();
        if ports.is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            all.extend(addresses().map(|ip| format!("{ip}:{}", port["port"])));
        }
    }
    let more = all.len().saturating_sub(3);
    all.truncate(3);
    match (all.is_empty(), more) {
        (true, _) => "<none>".into(),
        (_, 0) => all.join(",").into(),
        _ => format!("{} + {more} more...", all.join(",")).into(),
    }
}

pub(super) struct Service;

/// Returns true if clients outside the cluster can reach the service.
fn is_external(spec: &Value) -> bool {
    match spec.str_at(&["type"]) {
        "NodePort" | "LoadBalancer" => true,
        "ClusterIP" => spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

/// Returns true if a load balancer checks nodes for local endpoints.
fn needs_health_check(spec: &Value) -> bool {
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// Returns true if the cluster address is `None`.
fn is_headless(spec: &Value) -> bool {
    spec["clusterIPs"].as_array().is_some_and(|ips| ips.len() == 1 && ips[0] == "None")
}

impl Strategy for Service {
    fn create_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        if object["spec"]["type"] == "LoadBalancer"
            && let Some(balancer) = object.get_mut("status").and_then(|s| s.get_mut("loadBalancer"))
        {
            for ingress in items_mut(balancer, "ingress").filter(|i| i["ip"].is_string()) {
                set_default(ingress, "ipMode", "VIP");
            }
        }
        let spec = ensure(object, &["spec"]);
        set_default(spec, "sessionAffinity", "None");
        set_default(spec, "type", "ClusterIP");
        if spec["sessionAffinity"] == "ClientIP"
            && spec.get_path(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).is_none()
        {
            spec.set_path(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"], 10_800.into());
        }
        if spec["sessionAffinity"] == "None" {
            spec.remove_path(&["sessionAffinityConfig"]);
        }
        if is_external(spec) {
            set_default(spec, "externalTrafficPolicy", "Cluster");
        }
        if spec["type"] == "LoadBalancer" {
            set_default(spec, "allocateLoadBalancerNodePorts", true);
        }
        if spec["type"] != "ExternalName" {
            set_default(spec, "internalTrafficPolicy", "Cluster");
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            set_default(port, "protocol", "TCP");
            let target = port["port"].clone();
            if port["targetPort"] == 0 || port["targetPort"] == "" {
                port["targetPort"] = Value::Null;
            }
            set_default(port, "targetPort", target);
        }
    }

    fn prepare_for_create(&self, ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        object["status"] = json!({"loadBalancer": {}});
        if object.get_path(&["spec", "clusterIPs"]).is_none()
            && let Some(ip) = object.get_path(&["spec", "clusterIP"]).cloned()
        {
            object.set_path(&["spec", "clusterIPs"], json!([ip]));
        }
        allocate(ctx, object, &Value::Null)
    }

    fn prepare_for_update(
        &self,
        ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        update::drop_what_the_type_had(object, old);
        update::keep_what_was_given(object, old);
        // Addresses that cannot be allocated are the only errors to report.
        let mut errors =
            check(object, |object| rules::check_addresses(&object.at("spec"), Some(old)));
        if errors.is_empty() && allocate::uses_cluster_ip(object) {
            errors = families::complete(object, old);
        }
        if !errors.is_empty() {
            return errors;
        }
        // An update that will be refused allocates nothing.
        if !self.validate_change(None, object, old).is_empty() {
            return ErrorList::new();
        }
        allocate(ctx, object, old)
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| rules::check_service(object, None))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            update::check_update(&object.at("spec"), &old["spec"]);
            rules::check_service(object, Some(old));
        })
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| rules::check_status(object, old))
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_label(name)
    }

    fn after_update(&self, ctx: &Context<'_>, kept: &Object, dropped: &Object) {
        release(ctx, dropped, kept);
    }

    fn after_delete(&self, ctx: &Context<'_>, object: &Object) {
        release(ctx, object, &Value::Null);
    }
}

//! Addresses and ports that the server allocates to services.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use super::rules::check_addresses;
use super::{families, list, needs_health_check};
use crate::registry::check::check;
use crate::registry::strategy::{Context, items_mut};

pub(super) fn uses_cluster_ip(object: &Object) -> bool {
    object.str_at(&["spec", "type"]) != "ExternalName"
}

pub(super) fn uses_node_ports(object: &Object) -> bool {
    match object.str_at(&["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            object.get_path(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false))
        }
        _ => false,
    }
}

/// Node ports are allocated per protocol; the health check's is TCP.
pub(super) fn node_ports(object: &Object) -> Vec<(String, u16)> {
    let health = object.get_path(&["spec", "healthCheckNodePort"]).and_then(Value::as_u64);
    let health = health.and_then(|n| u16::try_from(n).ok());
    list(object, &["spec", "ports"])
        .filter_map(|p| {
            let number = u16::try_from(p["nodePort"].as_u64()?).ok().filter(|n| *n > 0)?;
            Some((p.str_at(&["protocol"]).to_owned(), number))
        })
        .chain(health.filter(|n| *n > 0).map(|n| ("TCP".to_owned(), n)))
        .collect()
}

/// Ports keep their node port if the update omits it.
pub(super) fn keep_node_ports(object: &mut Object, old: &Object) {
    let before: Vec<Value> = list(old, &["spec", "ports"]).cloned().collect();
    for port in items_mut(&mut object["spec"], "ports") {
        if port["nodePort"].as_i64().unwrap_or(0) == 0
            && let Some(same) = before
                .iter()
                .find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"])
            && same["nodePort"].as_i64().unwrap_or(0) > 0
        {
            port["nodePort"] = same["nodePort"].clone();
        }
    }
}

/// Addresses and ports allocated to a service so far.
#[derive(Default)]
struct Taken {
    address: Option<String>,
    node_ports: Vec<(String, u16)>,
}

impl Taken {
    fn port(&mut self, protocol: &str, number: u16) {
        self.node_ports.push((protocol.to_owned(), number));
    }

    fn give_back(self, ctx: &Context<'_>) {
        if let Some(address) = self.address {
            ctx.settings.addresses.release(&address);
        }
        for (protocol, number) in self.node_ports {
            ctx.settings.node_ports.release(&protocol, number);
        }
    }
}

/// Allocates the address and node ports that the service needs and does not have; allocates nothing
/// if any of them is unavailable.
pub(super) fn allocate(ctx: &Context<'_>, object: &mut Object, old: &Object) -> ErrorList {
    let mut taken = Taken::default();
    let errors = take(ctx, object, old, &mut taken);
    if !errors.is_empty() {
        taken.give_back(ctx);
    }
    errors
}

fn take(ctx: &Context<'_>, object: &mut Object, old: &Object, taken: &mut Taken) -> ErrorList {
    let mut errors = ErrorList::new();
    if uses_cluster_ip(object) {
        let path = Path::new("spec").child("clusterIPs");
        errors = check(object, |object| check_addresses(&object.at("spec"), None));
        if errors.is_empty() {
            errors = families::complete(object, old);
        }
        if !errors.is_empty() {
            return errors;
        }
        let wanted = object.str_at(&["spec", "clusterIP"]).to_owned();
        let kept = !wanted.is_empty() && wanted == old.str_at(&["spec", "clusterIP"]);
        if wanted != "None" && !kept {
            let addresses = &ctx.settings.addresses;
            let given = match (wanted.as_str(), ctx.dry_run) {
                ("", _) => addresses.allocate().map(|ip| ip.to_string()),
                (wanted, false) => addresses.reserve(wanted).map(|()| wanted.to_owned()),
                (wanted, true) => addresses.could_have(wanted).map(|()| wanted.to_owned()),
            };
            let ip = match given {
                Ok(ip) => ip,
                Err(why) => {
                    errors.0.push(FieldError::invalid(&path, json!([wanted]), why.to_string()));
                    return errors;
                }
            };
            object.set_path(&["spec", "clusterIP"], ip.clone().into());
            if !ctx.dry_run {
                taken.address = Some(ip);
            } else if wanted.is_empty() {
                addresses.release(&ip);
            }
        }
        let ip = object.str_at(&["spec", "clusterIP"]).to_owned();
        if object.get_path(&["spec", "clusterIPs"]).is_none() {
            object.set_path(&["spec", "clusterIPs"], json!([ip]));
        }
    }
    if uses_node_ports(object) {
        let before = node_ports(old);
        for (i, port) in items_mut(&mut object["spec"], "ports").enumerate() {
            let path = Path::new("spec").child("ports").index(i).child("nodePort");
            let protocol = port.str_at(&["protocol"]).to_owned();
            match port["nodePort"].as_i64().unwrap_or(0) {
                0 => match ctx.settings.node_ports.allocate(&protocol) {
                    Ok(number) => {
                        port["nodePort"] = number.into();
                        taken.port(&protocol, number);
                    }
                    Err(why) => errors.0.push(FieldError::internal(&path, why.to_string())),
                },
                number => {
                    let number16 = u16::try_from(number).unwrap_or(0);
                    if !before.contains(&(protocol.clone(), number16)) {
                        match ctx.settings.node_ports.reserve(&protocol, number) {
                            Ok(()) => taken.port(&protocol, number16),
                            Err(why) => {
                                errors.0.push(FieldError::invalid(&path, number, why.to_string()))
                            }
                        }
                    }
                }
            }
        }
    }
    if needs_health_check(&object["spec"]) {
        let path = Path::new("spec").child("healthCheckNodePort");
        let (given, before) =
            (&object["spec"]["healthCheckNodePort"], &old["spec"]["healthCheckNodePort"]);
        match given.as_i64().unwrap_or(0) {
            0 => match ctx.settings.node_ports.allocate("TCP") {
                Ok(number) => {
                    object.set_path(&["spec", "healthCheckNodePort"], number.into());
                    taken.port("TCP", number);
                }
                Err(why) => errors.0.push(FieldError::internal(&path, why.to_string())),
            },
            number if given != before => match ctx.settings.node_ports.reserve("TCP", number) {
                Ok(()) => taken.port("TCP", u16::try_from(number).unwrap_or(0)),
                Err(why) => errors.0.push(FieldError::invalid(&path, number, why.to_string())),
            },
            _ => {}
        }
    }
    errors
}

/// Releases addresses and ports of `old` that `new` does not have. A dry run holds no address, and
/// may show one that belongs to another service.
pub(super) fn release(ctx: &Context<'_>, old: &Object, new: &Object) {
    let ip = old.str_at(&["spec", "clusterIP"]);
    if !ctx.dry_run && ip != new.str_at(&["spec", "clusterIP"]) {
        ctx.settings.addresses.release(ip);
    }
    let kept = node_ports(new);
    for (protocol, number) in node_ports(old) {
        if !kept.contains(&(protocol.clone(), number)) {
            ctx.settings.node_ports.release(&protocol, number);
        }
    }
}

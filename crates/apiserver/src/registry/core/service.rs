//! Service and Endpoints: columns, defaults and allocation of addresses and ports.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, names};
use serde_json::{Value, json};

use crate::registry::column::{AGE, Column, NAME, join, label_map};
use crate::registry::strategy::{Context, Strategy, items_mut, set_default};

pub(super) const COLUMNS: &[Column] = &[
    NAME,
    Column::text_or("Type", &["spec", "type"], ""),
    Column::make("Cluster-IP", cluster_ip),
    Column::make("External-IP", external_ip),
    Column::make("Port(s)", ports),
    AGE,
    Column::make("Selector", |o| label_map(o.get_path(&["spec", "selector"]))).wide(),
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

fn uses_cluster_ip(object: &Object) -> bool {
    object.str_at(&["spec", "type"]) != "ExternalName"
}

fn uses_node_ports(object: &Object) -> bool {
    match object.str_at(&["spec", "type"]) {
        "NodePort" => true,
        "LoadBalancer" => {
            object.get_path(&["spec", "allocateLoadBalancerNodePorts"]) != Some(&Value::Bool(false))
        }
        _ => false,
    }
}

/// Node ports are kept per protocol.
fn node_ports(object: &Object) -> Vec<(String, u16)> {
    list(object, &["spec", "ports"])
        .filter_map(|p| {
            let number = u16::try_from(p["nodePort"].as_u64()?).ok().filter(|n| *n > 0)?;
            Some((p.str_at(&["protocol"]).to_owned(), number))
        })
        .collect()
}

impl Strategy for Service {
    fn default(&self, object: &mut Object) {
        let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
        set_default(spec, "sessionAffinity", "None");
        set_default(spec, "type", "ClusterIP");
        if spec["sessionAffinity"] == "ClientIP"
            && spec.get_path(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"]).is_none()
        {
            spec.set_path(&["sessionAffinityConfig", "clientIP", "timeoutSeconds"], 10_800.into());
        }
        let external = matches!(spec.str_at(&["type"]), "NodePort" | "LoadBalancer");
        if external {
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
        allocate(ctx, object, &Value::Null)
    }

    fn prepare_for_update(
        &self,
        ctx: &Context<'_>,
        object: &mut Object,
        old: &Object,
    ) -> ErrorList {
        // An update that leaves the address out keeps it, unless the type no longer has one.
        if uses_cluster_ip(object) && uses_cluster_ip(old) {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                if object.get_path(&["spec", field]).is_none()
                    && let Some(value) = old.get_path(&["spec", field])
                {
                    object.set_path(&["spec", field], value.clone());
                }
            }
        }
        if uses_node_ports(object) {
            keep_node_ports(object, old);
        } else if uses_node_ports(old) {
            // Changing the type away from NodePort drops the ports the server gave.
            for port in items_mut(&mut object["spec"], "ports") {
                let given = node_ports(old).iter().any(|(_, n)| port["nodePort"] == *n);
                if let (true, Some(port)) = (given, port.as_object_mut()) {
                    port.remove("nodePort");
                }
            }
        }
        if !uses_cluster_ip(object) {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                object.remove_path(&["spec", field]);
            }
        }
        let errors = allocate(ctx, object, old);
        release(ctx, old, object);
        errors
    }

    fn validate(&self, object: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let spec = Path::new("spec");
        const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
        let of = object.str_at(&["spec", "type"]);
        if !TYPES.contains(&of) {
            errors.0.push(FieldError::not_supported(&spec.child("type"), of, TYPES));
        }
        const AFFINITIES: &[&str] = &["ClientIP", "None"];
        let affinity = object.str_at(&["spec", "sessionAffinity"]);
        if !AFFINITIES.contains(&affinity) {
            errors.0.push(FieldError::not_supported(
                &spec.child("sessionAffinity"),
                affinity,
                AFFINITIES,
            ));
        }
        let headless = object.str_at(&["spec", "clusterIP"]) == "None";
        let ports: Vec<&Value> = list(object, &["spec", "ports"]).collect();
        if ports.is_empty() && !headless && of != "ExternalName" {
            errors.0.push(FieldError::required(&spec.child("ports"), ""));
        }
        if of == "ExternalName" {
            let name = object.str_at(&["spec", "externalName"]);
            let path = spec.child("externalName");
            if name.is_empty() {
                errors.0.push(FieldError::required(&path, ""));
            } else {
                errors.invalid_all(
                    &path,
                    name,
                    names::dns1123_subdomain(name.trim_end_matches('.')),
                );
            }
        }
        for (i, port) in ports.iter().enumerate() {
            validate_port(
                &mut errors,
                &spec.child("ports").index(i),
                port,
                ports.len() > 1,
                &ports[..i],
            );
        }
        for (key, value) in
            object.get_path(&["spec", "selector"]).and_then(Value::as_object).into_iter().flatten()
        {
            let path = spec.child("selector");
            errors.invalid_all(&path, key, names::qualified_name(key));
            let value = value.as_str().unwrap_or_default();
            errors.invalid_all(&path, value, names::label_value(value));
        }
        errors
    }

    fn validate_update(&self, object: &Object, old: &Object) -> ErrorList {
        let mut errors = ErrorList::new();
        let (new_ip, old_ip) =
            (object.str_at(&["spec", "clusterIP"]), old.str_at(&["spec", "clusterIP"]));
        if uses_cluster_ip(object) && uses_cluster_ip(old) && !old_ip.is_empty() && new_ip != old_ip
        {
            let path = Path::new("spec").child("clusterIPs").index(0);
            errors.0.push(FieldError::invalid(&path, json!([new_ip]), "may not change once set"));
        }
        errors
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1035_label(name)
    }

    fn after_delete(&self, ctx: &Context<'_>, object: &Object) {
        release(ctx, object, &Value::Null);
    }
}

fn validate_port(
    errors: &mut ErrorList,
    path: &Path,
    port: &Value,
    named: bool,
    before: &[&Value],
) {
    let name = port.str_at(&["name"]);
    if name.is_empty() && named {
        errors.0.push(FieldError::required(&path.child("name"), ""));
    } else if !name.is_empty() {
        errors.invalid_all(&path.child("name"), name, names::dns1123_label(name));
        if before.iter().any(|p| p.str_at(&["name"]) == name) {
            errors.0.push(FieldError::duplicate(&path.child("name"), name));
        }
    }
    let in_range = |v: &Value| v.as_i64().is_some_and(|n| (1..=65_535).contains(&n));
    const RANGE: &str = "must be between 1 and 65535, inclusive";
    if !in_range(&port["port"]) {
        errors.0.push(FieldError::invalid(&path.child("port"), port["port"].clone(), RANGE));
    }
    const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
    let protocol = port.str_at(&["protocol"]);
    if !PROTOCOLS.contains(&protocol) {
        errors.0.push(FieldError::not_supported(&path.child("protocol"), protocol, PROTOCOLS));
    }
    match &port["targetPort"] {
        Value::String(name) => {
            errors.invalid_all(&path.child("targetPort"), name, names::port_name(name));
        }
        number if in_range(number) => {}
        number => {
            errors.0.push(FieldError::invalid(&path.child("targetPort"), number.clone(), RANGE))
        }
    }
    if before.iter().any(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"]) {
        let shown = json!({"port": port["port"], "protocol": port["protocol"]});
        errors.0.push(FieldError::duplicate(path, shown));
    }
}

/// Ports keep the node port they had when the update leaves it out.
fn keep_node_ports(object: &mut Object, old: &Object) {
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

/// Gives the service an address and node ports where it wants them and has none yet.
fn allocate(ctx: &Context<'_>, object: &mut Object, old: &Object) -> ErrorList {
    let mut errors = ErrorList::new();
    if uses_cluster_ip(object) {
        let path = Path::new("spec").child("clusterIPs");
        if let Some(first) =
            object.get_path(&["spec", "clusterIPs"]).and_then(|v| v.get(0)).cloned()
            && object.str_at(&["spec", "clusterIP"]).is_empty()
        {
            object.set_path(&["spec", "clusterIP"], first);
        }
        let wanted = object.str_at(&["spec", "clusterIP"]).to_owned();
        let kept = !wanted.is_empty() && wanted == old.str_at(&["spec", "clusterIP"]);
        if wanted != "None" && !kept {
            let taken = if wanted.is_empty() {
                ctx.settings.addresses.allocate().map(|ip| {
                    object.set_path(&["spec", "clusterIP"], ip.to_string().into());
                })
            } else {
                ctx.settings.addresses.reserve(&wanted)
            };
            if let Err(why) = taken {
                errors.0.push(FieldError::invalid(&path, json!([wanted]), why));
                return errors;
            }
        }
        let ip = object.str_at(&["spec", "clusterIP"]).to_owned();
        if object.get_path(&["spec", "clusterIPs"]).is_none() {
            object.set_path(&["spec", "clusterIPs"], json!([ip]));
        }
        for (field, value) in
            [("ipFamilies", json!(["IPv4"])), ("ipFamilyPolicy", "SingleStack".into())]
        {
            if object.get_path(&["spec", field]).is_none() {
                object.set_path(&["spec", field], value);
            }
        }
    }
    if uses_node_ports(object) {
        let before = node_ports(old);
        for (i, port) in items_mut(&mut object["spec"], "ports").enumerate() {
            let path = Path::new("spec").child("ports").index(i).child("nodePort");
            let protocol = port.str_at(&["protocol"]).to_owned();
            match port["nodePort"].as_i64().unwrap_or(0) {
                0 => match ctx.settings.node_ports.allocate(&protocol) {
                    Ok(number) => port["nodePort"] = number.into(),
                    Err(why) => errors.0.push(FieldError::internal(&path, why)),
                },
                number => {
                    let number16 = u16::try_from(number).unwrap_or(0);
                    if !before.contains(&(protocol.clone(), number16))
                        && let Err(why) = ctx.settings.node_ports.reserve(&protocol, number)
                    {
                        errors.0.push(FieldError::invalid(&path, number, why));
                    }
                }
            }
        }
    }
    errors
}

/// Gives back what `old` held and `new` does not.
fn release(ctx: &Context<'_>, old: &Object, new: &Object) {
    let ip = old.str_at(&["spec", "clusterIP"]);
    if ip != new.str_at(&["spec", "clusterIP"]) {
        ctx.settings.addresses.release(ip);
    }
    let kept = node_ports(new);
    for (protocol, number) in node_ports(old) {
        if !kept.contains(&(protocol.clone(), number)) {
            ctx.settings.node_ports.release(&protocol, number);
        }
    }
}

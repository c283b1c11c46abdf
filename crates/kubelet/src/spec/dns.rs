//! The resolver configuration of a pod.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use runtime::DnsConfig;

use crate::pod::{host_network, namespace, spec};

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

/// What a pod's `/etc/resolv.conf` has to say. `node` is the text of the node's own file.
pub(crate) fn config(pod: &Pod, cluster: &[IpAddr], domain: &str, node: &str) -> DnsConfig {
    let spec = spec(pod);
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let mut config = match policy {
        "None" => DnsConfig::default(),
        "ClusterFirstWithHostNet" if !cluster.is_empty() => {
            cluster_first(pod, cluster, domain, node)
        }
        "ClusterFirst" if !cluster.is_empty() && !host_network(pod) => {
            cluster_first(pod, cluster, domain, node)
        }
        _ => parse(node),
    };
    if let Some(extra) = &spec.dns_config {
        config.servers.extend(extra.nameservers.iter().flatten().cloned());
        config.searches.extend(extra.searches.iter().flatten().cloned());
        for option in extra.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            let text = match option.value.as_deref() {
                None | Some("") => name.clone(),
                Some(value) => format!("{name}:{value}"),
            };
            let same = |old: &String| old.split(':').next() == Some(name);
            config.options.retain(|old| !same(old));
            config.options.push(text);
        }
    }
    unique(&mut config.servers);
    unique(&mut config.searches);
    config.servers.truncate(MAX_SERVERS);
    config.searches.truncate(MAX_SEARCHES);
    config
}

fn cluster_first(pod: &Pod, cluster: &[IpAddr], domain: &str, node: &str) -> DnsConfig {
    let mut searches = vec![
        format!("{}.svc.{domain}", namespace(pod)),
        format!("svc.{domain}"),
        domain.to_owned(),
    ];
    searches.extend(parse(node).searches);
    DnsConfig {
        servers: cluster.iter().map(IpAddr::to_string).collect(),
        searches,
        options: vec!["ndots:5".to_owned()],
    }
}

fn parse(text: &str) -> DnsConfig {
    let mut config = DnsConfig::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with(['#', ';']));
        match words.next() {
            Some("nameserver") => config.servers.extend(words.next().map(str::to_owned)),
            Some("search") => {
                config.searches = words.map(|word| word.trim_end_matches('.').to_owned()).collect();
                config.searches.retain(|word| !word.is_empty());
            }
            Some("options") => config.options = words.map(str::to_owned).collect(),
            _ => {}
        }
    }
    config
}

fn unique(list: &mut Vec<String>) {
    let mut seen = std::collections::HashSet::new();
    list.retain(|item| seen.insert(item.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NODE: &str = "# node\nnameserver 1.1.1.1\nsearch corp.example. \noptions timeout:1\n";

    fn render(spec: Value) -> (String, String, String) {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"namespace": "ns"}, "spec": spec})).unwrap();
        let config = config(&pod, &["10.96.0.10".parse().unwrap()], "cluster.local", NODE);
        (config.servers.join(" "), config.searches.join(" "), config.options.join(" "))
    }

    #[test]
    fn policies() {
        let cluster = "ns.svc.cluster.local svc.cluster.local cluster.local corp.example";
        let table = [
            (json!({}), "10.96.0.10", cluster, "ndots:5"),
            (json!({"hostNetwork": true}), "1.1.1.1", "corp.example", "timeout:1"),
            (
                json!({"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
                "10.96.0.10",
                cluster,
                "ndots:5",
            ),
            (json!({"dnsPolicy": "Default"}), "1.1.1.1", "corp.example", "timeout:1"),
            (
                json!({"dnsPolicy": "None", "dnsConfig": {
                    "nameservers": ["9.9.9.9", "9.9.9.9"], "searches": ["a.b"],
                    "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
                "9.9.9.9",
                "a.b",
                "ndots:2 edns0",
            ),
            (
                json!({"dnsConfig": {"options": [{"name": "ndots", "value": "1"}]}}),
                "10.96.0.10",
                cluster,
                "ndots:1",
            ),
        ];
        for (spec, servers, searches, options) in table {
            let wanted = (servers.to_owned(), searches.to_owned(), options.to_owned());
            assert_eq!(render(spec.clone()), wanted, "{spec}");
        }
    }
}

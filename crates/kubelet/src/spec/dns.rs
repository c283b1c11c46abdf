//! The resolver configuration of a pod.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::Pod;
use runtime::DnsConfig;

use crate::pod::{host_network, namespace, spec};

const MAX_SERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
/// Characters of the whole search list.
const MAX_SEARCH_LIST: usize = 2048;
/// Characters of one search path; a longer one ends some resolvers.
const MAX_SEARCH: usize = 253;
/// Search paths of the cluster, which come before those of the node.
const CLUSTER_SEARCHES: usize = 3;

/// The content of a pod's `/etc/resolv.conf`, and what had to be left out. `node` is the text
/// of the node's own file.
pub(crate) fn config(
    pod: &Pod,
    cluster: &[IpAddr],
    domain: &str,
    node: &str,
) -> (DnsConfig, Vec<String>) {
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
    let mut omitted = Vec::new();
    if config.servers.len() > MAX_SERVERS {
        config.servers.truncate(MAX_SERVERS);
        omitted.push(format!(
            "Nameserver limits were exceeded, some nameservers have been omitted, the applied \
             nameserver line is: {}",
            config.servers.join(" ")
        ));
    }
    if fit_searches(&mut config.searches) {
        omitted.push(format!(
            "Search Line limits were exceeded, some search paths have been omitted, the applied \
             search line is: {}",
            config.searches.join(" ")
        ));
    }
    (config, omitted)
}

/// Leaves out what resolvers cannot take; says whether that was anything.
fn fit_searches(searches: &mut Vec<String>) -> bool {
    let before = searches.len();
    searches.truncate(MAX_SEARCHES);
    searches.retain(|search| search.len() <= MAX_SEARCH);
    let mut length = 0;
    let fitting = searches.iter().take_while(|search| {
        // Each but the first comes after a blank.
        length += search.len() + usize::from(length > 0);
        length <= MAX_SEARCH_LIST
    });
    let fitting = fitting.count();
    searches.truncate(fitting);
    searches.len() < before
}

/// Describes an excess in the node's own file, which pods get along with the cluster's paths.
pub(crate) fn check_node(node: &str, file: &str) -> Option<String> {
    let searches = parse(node).searches;
    let most = MAX_SEARCHES - CLUSTER_SEARCHES;
    if searches.len() > most {
        return Some(format!(
            "Resolv.conf file '{file}' contains search line consisting of more than {most} domains!"
        ));
    }
    if searches.iter().any(|search| search.len() > MAX_SEARCH) {
        return Some(format!(
            "Resolv.conf file {file:?} contains a search path which length is more than allowed \
             {MAX_SEARCH} chars!"
        ));
    }
    (searches.join(" ").len() > MAX_SEARCH_LIST).then(|| {
        format!(
            "Resolv.conf file '{file}' contains search line which length is more than allowed \
             {MAX_SEARCH_LIST} chars!"
        )
    })
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
        let (config, _) = config(&pod, &["10.96.0.10".parse().unwrap()], "cluster.local", NODE);
        (config.servers.join(" "), config.searches.join(" "), config.options.join(" "))
    }

    #[test]
    fn what_resolvers_cannot_take_is_left_out_and_told() {
        let pod = crate::testing::pod(json!({}));
        let node =
            |searches: &[String]| format!("nameserver 1.1.1.1\nsearch {}\n", searches.join(" "));
        let applied = |searches: &[String]| {
            let cluster = ["10.96.0.10".parse().unwrap()];
            let (config, omitted) = config(&pod, &cluster, "cluster.local", &node(searches));
            (config.searches, omitted)
        };
        let many: Vec<_> = (0..40).map(|n| format!("d{n}.example")).collect();
        let (searches, omitted) = applied(&many);
        assert_eq!((searches.len(), omitted.len()), (MAX_SEARCHES, 1));
        assert!(omitted[0].starts_with("Search Line limits were exceeded"), "{omitted:?}");
        assert!(check_node(&node(&many), "/etc/resolv.conf").unwrap().contains("more than 29"));

        let long: Vec<_> = (0..25).map(|n| format!("{}{n}.example", "x".repeat(100))).collect();
        let (searches, omitted) = applied(&long);
        assert!(searches.join(" ").len() <= MAX_SEARCH_LIST && searches.len() > 15);
        assert_eq!(omitted.len(), 1);
        assert!(check_node(&node(&long), "/etc/resolv.conf").unwrap().contains("2048 chars"));

        let (searches, _) = applied(&["y".repeat(300), "short.example".to_owned()]);
        assert_eq!(searches.last().unwrap(), "short.example");
        assert_eq!(searches.len(), CLUSTER_SEARCHES + 1);

        let few = ["a.example".to_owned()];
        assert_eq!(applied(&few).1.len(), 0);
        assert_eq!(check_node(&node(&few), "/etc/resolv.conf"), None);
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

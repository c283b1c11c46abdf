//! The managed `/etc/hosts`, and host names.

use std::fmt::Write;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::{name, namespace, spec};

const MAX_HOSTNAME: usize = 63;

/// Short and domain part of a pod's host name; the latter is empty without a subdomain.
pub(crate) fn hostname(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = spec(pod);
    if let Some(full) = spec.hostname_override.as_deref().filter(|name| !name.is_empty()) {
        return (full.to_owned(), String::new());
    }
    let mut short = match spec.hostname.as_deref() {
        Some(hostname) if !hostname.is_empty() => hostname.to_owned(),
        _ => name(pod).to_owned(),
    };
    short.truncate(MAX_HOSTNAME);
    let short = short.trim_end_matches(['-', '.']).to_owned();
    let domain = match spec.subdomain.as_deref() {
        Some(subdomain) if !subdomain.is_empty() => {
            format!("{subdomain}.{}.svc.{cluster_domain}", namespace(pod))
        }
        _ => String::new(),
    };
    (short, domain)
}

/// The pod's kernel hostname: the short name, or the whole of it with `setHostnameAsFQDN`.
pub(crate) fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> String {
    let (short, domain) = hostname(pod, cluster_domain);
    if spec(pod).set_hostname_as_fqdn == Some(true) && !domain.is_empty() {
        format!("{short}.{domain}")
    } else {
        short
    }
}

/// The text of a pod's hosts file; `node` is that of the node, for pods in its network.
pub(crate) fn file(pod: &Pod, ips: &[String], cluster_domain: &str, node: Option<&str>) -> String {
    let mut out = String::from(match node {
        Some(_) => "# Kubernetes-managed hosts file (host network).\n",
        None => "# Kubernetes-managed hosts file.\n",
    });
    match node {
        Some(text) => out.push_str(text),
        None => {
            out.push_str("127.0.0.1\tlocalhost\n");
            out.push_str("::1\tlocalhost ip6-localhost ip6-loopback\n");
            out.push_str("fe00::\tip6-localnet\n");
            out.push_str("fe00::\tip6-mcastprefix\n");
            out.push_str("fe00::1\tip6-allnodes\n");
            out.push_str("fe00::2\tip6-allrouters\n");
            let (short, domain) = hostname(pod, cluster_domain);
            for ip in ips {
                // Writing to a string does not fail.
                let _ = if domain.is_empty() {
                    writeln!(out, "{ip}\t{short}")
                } else {
                    writeln!(out, "{ip}\t{short}.{domain}\t{short}")
                };
            }
        }
    }
    let aliases = spec(pod).host_aliases.iter().flatten();
    for (index, alias) in aliases.enumerate() {
        if index == 0 {
            out.push_str("\n# Entries added by HostAliases.\n");
        }
        let names: Vec<_> = alias.hostnames.iter().flatten().map(String::as_str).collect();
        let _ = writeln!(out, "{}\t{}", alias.ip, names.join("\t"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_and_aliases() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": "web-0"},
            "spec": {"containers": [], "subdomain": "web", "hostAliases":
                [{"ip": "1.2.3.4", "hostnames": ["a", "b"]}]},
        }))
        .unwrap();
        let text = file(&pod, &["10.0.0.7".into()], "cluster.local", None);
        assert!(text.contains("10.0.0.7\tweb-0.web.ns.svc.cluster.local\tweb-0\n"), "{text}");
        assert!(text.ends_with("# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"), "{text}");
        assert_eq!(kernel_hostname(&pod, "cluster.local"), "web-0");
    }

    #[test]
    fn long_names_are_cut() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": format!("{}-{}", "a".repeat(62), "b".repeat(10))},
            "spec": {"containers": []},
        }))
        .unwrap();
        assert_eq!(hostname(&pod, "cluster.local").0, "a".repeat(62));
    }
}

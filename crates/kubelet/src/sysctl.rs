//! Which kernel parameters a pod may set.

use k8s_openapi::api::core::v1::Pod;
use runtime::sysctl::{Namespace, namespace_of, normalised};

use crate::pod::{host_network, spec};
use crate::status::Verdict;

/// Parameters that concern no pod but the one that sets them, and the kernel from which on each
/// belongs to its namespace.
const SAFE: [(&str, (u32, u32)); 12] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
];
const MAX_LENGTH: usize = 253;
/// The syntax of a pattern, as upstream's messages show it.
const PATTERN: &str = "([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]";

/// Why a pattern cannot be allowed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "sysctl {name:?} must have at most {max} characters and match regex {pattern}",
        max = MAX_LENGTH,
        pattern = PATTERN
    )]
    Pattern { name: String },
    #[error("the sysctls {name:?} are not known to be namespaced")]
    NotNamespaced { name: String },
}

/// The sysctls that pods may set in namespaces of their own.
#[derive(Debug, Default)]
pub(crate) struct Allowlist {
    names: Vec<(String, Namespace)>,
    prefixes: Vec<(String, Namespace)>,
}

impl Allowlist {
    /// The sysctls that are safe on a kernel of this version, and those that match these patterns: a
    /// name, or a prefix that ends in `*`.
    ///
    /// # Errors
    /// A pattern is none, or means parameters of the whole node.
    pub(crate) fn new(kernel: &str, unsafe_ones: &[String]) -> Result<Self, Error> {
        let kernel = version(kernel);
        let safe = SAFE
            .iter()
            .filter(|(_, since)| *since == (0, 0) || kernel.is_some_and(|kernel| kernel >= *since));
        let mut list = Self::default();
        for pattern in safe.map(|(name, _)| *name).chain(unsafe_ones.iter().map(String::as_str)) {
            list.add(pattern)?;
        }
        Ok(list)
    }

    fn add(&mut self, pattern: &str) -> Result<(), Error> {
        if !is_pattern(pattern) {
            return Err(Error::Pattern { name: pattern.to_owned() });
        }
        let normal = normalised(pattern);
        let (name, list) = match normal.split_once('*') {
            Some((prefix, _)) => (prefix, &mut self.prefixes),
            None => (&*normal, &mut self.names),
        };
        let namespace =
            namespace_of(name).ok_or_else(|| Error::NotNamespaced { name: name.to_owned() })?;
        list.push((name.to_owned(), namespace));
        Ok(())
    }

    /// Why a pod may not have its parameters, if so.
    pub(crate) fn check(&self, pod: &Pod) -> Option<Verdict> {
        let host_ipc = spec(pod).host_ipc == Some(true);
        let context = spec(pod).security_context.as_ref()?;
        let error = context
            .sysctls
            .iter()
            .flatten()
            .find_map(|sysctl| self.refusal(&sysctl.name, host_network(pod), host_ipc))?;
        let message = format!("forbidden sysctl: {error}");
        Some(Verdict { reason: "SysctlForbidden".to_owned(), message })
    }

    fn refusal(&self, name: &str, host_net: bool, host_ipc: bool) -> Option<String> {
        let name = normalised(name);
        let exact = self.names.iter().find(|(known, _)| *known == *name);
        let found =
            exact.or_else(|| self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix)));
        let Some((_, namespace)) = found else { return Some(format!("{name:?} not allowlisted")) };
        let of_node = match namespace {
            Namespace::Ipc => host_ipc,
            Namespace::Net => host_net,
        };
        let shown = namespace.as_str();
        of_node.then(|| format!("{name:?} not allowed with host {shown} enabled"))
    }
}

/// Major and minor number of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Returns true if it matches [`PATTERN`].
fn is_pattern(text: &str) -> bool {
    let plain = |char: u8| char.is_ascii_lowercase() || char.is_ascii_digit();
    let inner = |char: &u8| plain(*char) || matches!(char, b'-' | b'_');
    let mut segments: Vec<&[u8]> = text.as_bytes().split(|c| matches!(c, b'.' | b'/')).collect();
    let Some(last) = segments.pop() else { return false };
    let segment = |segment: &[u8]| {
        let ends = [segment.first(), segment.last()];
        ends.iter().all(|char| char.is_some_and(|char| plain(*char))) && segment.iter().all(inner)
    };
    let last = match last {
        [end] => plain(*end) || *end == b'*',
        [first, middle @ .., end] => {
            plain(*first) && middle.iter().all(inner) && (plain(*end) || *end == b'*')
        }
        [] => false,
    };
    text.len() <= MAX_LENGTH && last && segments.into_iter().all(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::pod;
    use serde_json::json;

    #[test]
    fn safe_ones_pass_and_others_are_forbidden() {
        let more = ["kernel.msg*".to_owned(), "net.core.somaxconn".to_owned()];
        let list = Allowlist::new("6.1.0-x", &more).unwrap();
        let old = Allowlist::new("4.4.0", &[]).unwrap();
        let verdict = |list: &Allowlist, spec: serde_json::Value, name: &str| {
            let mut spec = spec;
            spec["securityContext"] = json!({"sysctls": [{"name": name, "value": "1"}]});
            let verdict = list.check(&pod(spec))?;
            assert_eq!(verdict.reason, "SysctlForbidden");
            Some(verdict.message)
        };
        let plain = || json!({});
        assert_eq!(verdict(&list, plain(), "net.ipv4.tcp_rmem"), None);
        assert_eq!(verdict(&list, plain(), "net/ipv4/tcp_rmem"), None);
        assert_eq!(verdict(&list, plain(), "kernel.msgmax"), None);
        assert_eq!(verdict(&list, plain(), "net.core.somaxconn"), None);
        assert_eq!(
            verdict(&list, plain(), "kernel.core_pattern").unwrap(),
            "forbidden sysctl: \"kernel.core_pattern\" not allowlisted"
        );
        assert!(verdict(&list, plain(), "kernel/core_pattern").is_some());
        assert!(verdict(&list, plain(), "net.core.rmem_max").is_some());
        assert!(verdict(&old, plain(), "net.ipv4.tcp_rmem").is_some());
        assert_eq!(
            verdict(&list, json!({"hostNetwork": true}), "net.ipv4.tcp_rmem").unwrap(),
            "forbidden sysctl: \"net.ipv4.tcp_rmem\" not allowed with host Net enabled"
        );
        assert_eq!(
            verdict(&list, json!({"hostIPC": true}), "kernel.msgmni").unwrap(),
            "forbidden sysctl: \"kernel.msgmni\" not allowed with host IPC enabled"
        );
        assert_eq!(verdict(&list, json!({"hostIPC": true}), "net.ipv4.tcp_rmem"), None);
    }

    #[test]
    fn patterns_of_the_node_are_refused_at_start() {
        for (pattern, words) in [
            ("kernel.core_pattern", "not known to be namespaced"),
            ("kernel.*", "not known to be namespaced"),
            ("vm.*", "not known to be namespaced"),
            ("net.*.x", "must have at most 253 characters"),
            ("*", "not known to be namespaced"),
            ("NET.x", "must have at most 253 characters"),
        ] {
            let error = Allowlist::new("6.1", &[pattern.to_owned()]).unwrap_err().to_string();
            assert!(error.contains(words), "{pattern}: {error}");
        }
        for pattern in ["net.*", "kernel.shm*", "fs.mqueue.*", "net/ipv4/*"] {
            Allowlist::new("6.1", &[pattern.to_owned()]).unwrap();
        }
    }
}

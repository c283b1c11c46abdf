//! The address plan of a cluster: chosen once, so that clusters on one machine do not collide.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Ranges and name of a cluster, kept in its directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Unique on this machine; part of interface, table and cgroup names.
    pub(crate) id: String,
    /// Pods of all nodes.
    pub(crate) pods: Ipv4Net,
    /// Services.
    pub(crate) services: Ipv4Net,
    /// The cluster's name in kubeconfigs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
}

/// Second octets tried for the two ranges, in turn.
const CHOICES: u8 = 11;

impl Plan {
    /// Reads the plan at `path`, or makes one that is free on this machine.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        if path.exists() {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            return serde_json::from_str(&text)
                .with_context(|| format!("{} is damaged", path.display()));
        }
        let used = own_addresses()?;
        let Some(plan) =
            (0..CHOICES).map(Self::choice).find(|p| !used.iter().any(|ip| p.takes(*ip)))
        else {
            bail!("no free address range for pods: 10.244.0.0/16 to 10.254.0.0/16 are in use");
        };
        std::fs::write(path, serde_json::to_string_pretty(&plan)?)
            .with_context(|| format!("{} is not writable", path.display()))?;
        Ok(plan)
    }

    /// Names the cluster: as is wanted, or else as before, or else after its directory, with what
    /// tells it from others of that name.
    pub(crate) fn name(&mut self, path: &Path, wanted: Option<&str>, dir: &Path) -> Result<()> {
        let name = match wanted {
            Some(name) => name.to_owned(),
            None if !self.name.is_empty() => return Ok(()),
            None => {
                let base = dir.file_name().unwrap_or_default().to_string_lossy();
                let base: String = base.chars().filter(|c| is_of_name(*c)).collect();
                let base = if base.is_empty() { "coxswain" } else { &base };
                format!("{base}-{}", self.id)
            }
        };
        if name.is_empty() || !name.chars().all(is_of_name) {
            bail!("--name {name:?}: letters, digits, '-', '_' and '.' make a name");
        }
        if name != self.name {
            self.name = name;
            std::fs::write(path, serde_json::to_string_pretty(self)?)
                .with_context(|| format!("{} is not writable", path.display()))?;
        }
        Ok(())
    }

    fn choice(i: u8) -> Self {
        let id: u32 = std::process::id() ^ u32::from(i) << 24;
        let random = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.subsec_nanos());
        Self {
            id: format!("{:06x}", (id ^ random) & 0xff_ffff),
            pods: Ipv4Net::new_assert(Ipv4Addr::new(10, 244 + i, 0, 0), 16),
            services: Ipv4Net::new_assert(Ipv4Addr::new(10, 96 + i, 0, 0), 16),
            name: String::new(),
        }
    }

    fn takes(&self, ip: Ipv4Addr) -> bool {
        self.pods.contains(&ip) || self.services.contains(&ip)
    }

    /// The pods of node number `n`, counted from zero.
    pub(crate) fn node_pods(&self, n: u8) -> Ipv4Net {
        let [a, b, ..] = self.pods.network().octets();
        Ipv4Net::new_assert(Ipv4Addr::new(a, b, n, 0), 24)
    }

    /// The address of node number `n`: its pods' gateway.
    pub(crate) fn node_address(&self, n: u8) -> IpAddr {
        let [a, b, c, _] = self.node_pods(n).network().octets();
        IpAddr::from([a, b, c, 1])
    }

    /// Addresses of nodes that are network namespaces, and of the machine among them.
    pub(crate) fn machine_range(&self) -> Ipv4Net {
        self.node_pods(u8::MAX)
    }

    /// The address of node number `n` in the machine's range; the machine has the first.
    pub(crate) fn namespace_address(&self, n: u8) -> IpAddr {
        let [a, b, c, _] = self.machine_range().network().octets();
        IpAddr::from([a, b, c, n + 1])
    }

    /// The `n`-th address of the service range.
    pub(crate) fn service_address(&self, n: u8) -> IpAddr {
        let [a, b, c, _] = self.services.network().octets();
        IpAddr::from([a, b, c, n])
    }
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The machine's IPv4 addresses.
fn own_addresses() -> Result<Vec<Ipv4Addr>> {
    let interfaces = nix::ifaddrs::getifaddrs().context("reading the machine's addresses")?;
    Ok(interfaces
        .filter_map(|i| i.address.and_then(|a| a.as_sockaddr_in().map(|s| s.ip())))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_services_have_their_places() {
        let plan = Plan::choice(1);
        assert_eq!(plan.node_pods(2).to_string(), "10.245.2.0/24");
        assert_eq!(plan.node_address(2).to_string(), "10.245.2.1");
        assert_eq!(plan.namespace_address(2).to_string(), "10.245.255.3");
        assert_eq!(plan.service_address(10).to_string(), "10.97.0.10");
        assert!(plan.takes("10.245.3.4".parse().unwrap()));
        assert!(!plan.takes("10.244.3.4".parse().unwrap()));
    }

    #[test]
    fn a_cluster_has_a_name_of_its_own_and_keeps_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.json");
        let mut plan = Plan::open(&path).unwrap();
        plan.name(&path, None, Path::new("/home/me/my demo")).unwrap();
        assert_eq!(plan.name, format!("mydemo-{}", plan.id));
        let mut again = Plan::open(&path).unwrap();
        again.name(&path, Some("prod"), Path::new("/x")).unwrap();
        let mut last = Plan::open(&path).unwrap();
        last.name(&path, None, Path::new("/x")).unwrap();
        assert_eq!(last.name, "prod");
        assert!(last.name(&path, Some("a b"), Path::new("/x")).is_err());
    }

    #[test]
    fn a_plan_is_kept_and_damage_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.json");
        let first = Plan::open(&path).unwrap();
        assert_eq!(Plan::open(&path).unwrap(), first);
        std::fs::write(&path, "{").unwrap();
        assert!(Plan::open(&path).unwrap_err().to_string().contains("damaged"));
    }
}

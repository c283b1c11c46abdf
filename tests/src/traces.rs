//! Traces of a cluster on the machine.

use std::path::Path;

/// Links and tables of any cluster, and mounts, cgroups and processes of the one in `dir`.
///
/// # Panics
/// The machine cannot be looked at.
#[must_use]
pub fn traces(dir: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    found.extend(mounts.lines().filter(|l| l.contains(dir)).map(str::to_owned));
    for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(dir) {
            found.push(line);
        }
    }
    let plan = std::fs::read_to_string(Path::new(dir).join("data/cluster.json"));
    let plan: serde_json::Value = plan.map_or(serde_json::Value::Null, |text| {
        serde_json::from_str(&text).expect("the cluster's plan is JSON")
    });
    let id = plan["id"].as_str().unwrap_or("no cluster");
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"] {
        let groups = std::fs::read_dir(root).into_iter().flatten().flatten();
        let ours = groups.filter(|g| g.file_name().to_string_lossy().contains(&format!("-{id}-")));
        found.extend(ours.map(|group| group.path().display().to_string()));
    }
    // The bridges' addresses are the cluster's own.
    let range = plan["pods"].as_str().unwrap_or_default();
    let prefix = range.split_inclusive('.').take(2).collect::<String>();
    let routes = std::fs::read_to_string("/proc/net/fib_trie").expect("addresses");
    if !prefix.is_empty() && routes.contains(&prefix) {
        found.push(format!("addresses of {range}"));
    }
    found
}

/// The machine's name as `coxswain` uses it for its node.
///
/// # Panics
/// The machine does not say.
#[must_use]
pub fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    name.trim().to_lowercase()
}

//! Writing limits.

use std::io;
use std::path::{Path, PathBuf};

use super::named;
use crate::Resources;

fn write(directory: &Path, name: &str, value: impl std::fmt::Display) -> io::Result<()> {
    let file = directory.join(name);
    std::fs::write(&file, value.to_string()).map_err(|error| named(&file, error))
}

/// Writes to the first directory that has the file. A kernel without the controller has none: the
/// limit is then not enforceable, as with other runtimes.
fn write_where(
    directories: &[PathBuf],
    name: &str,
    value: impl std::fmt::Display,
) -> io::Result<()> {
    match directories.iter().find(|directory| directory.join(name).exists()) {
        Some(directory) => write(directory, name, value),
        None => Ok(()),
    }
}

pub(super) fn set_v1(directories: &[PathBuf], resources: &Resources) -> io::Result<()> {
    let set = |name: &str, value: Option<i64>| match value {
        Some(value) => write_where(directories, name, value),
        None => Ok(()),
    };
    if let Some(limit) = resources.memory_limit {
        set_v1_memory(directories, limit, resources.memory_swap_limit)?;
    }
    set("cpu.shares", resources.cpu_shares.map(|shares| shares.clamp(2, 262_144) as i64))?;
    set("cpu.cfs_period_us", resources.cpu_period.filter(|period| *period > 0).map(|p| p as i64))?;
    set("cpu.cfs_quota_us", resources.cpu_quota.filter(|quota| *quota != 0))?;
    match resources.pids_limit {
        Some(limit) if limit > 0 => write_where(directories, "pids.max", limit)?,
        Some(_) => write_where(directories, "pids.max", "max")?,
        None => {}
    }
    for (name, value) in
        [("cpuset.cpus", &resources.cpuset_cpus), ("cpuset.mems", &resources.cpuset_mems)]
    {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            write_where(directories, name, value)?;
        }
    }
    for (size, limit) in &resources.hugepage_limits {
        write_where(directories, &format!("hugetlb.{size}.limit_in_bytes"), limit)?;
    }
    Ok(())
}

/// The kernel keeps limit ≤ limit with swap at all times, so the order depends on the direction.
fn set_v1_memory(directories: &[PathBuf], limit: i64, swap: Option<i64>) -> io::Result<()> {
    let (memory, memsw) = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes");
    let swap = swap.unwrap_or(limit);
    match write_where(directories, memory, limit) {
        Ok(()) => write_where(directories, memsw, swap),
        Err(_) => {
            write_where(directories, memsw, swap)?;
            write_where(directories, memory, limit)
        }
    }
}

pub(super) fn set_v2(directory: &Path, resources: &Resources) -> io::Result<()> {
    let limit = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    if let Some(value) = resources.memory_limit.filter(|value| *value != 0) {
        write(directory, "memory.max", limit(value))?;
        // Swap is counted apart here; the CRI value includes the memory.
        let swap = match resources.memory_swap_limit {
            Some(swap) if swap >= 0 && value >= 0 => limit((swap - value).max(0)),
            Some(swap) if swap < 0 => limit(-1),
            _ => limit(if value < 0 { -1 } else { 0 }),
        };
        if directory.join("memory.swap.max").exists() {
            write(directory, "memory.swap.max", swap)?;
        }
    }
    if let Some(shares) = resources.cpu_shares {
        write(directory, "cpu.weight", weight(shares))?;
    }
    if let Some(quota) = resources.cpu_quota.filter(|quota| *quota != 0) {
        let period = resources.cpu_period.filter(|period| *period > 0).unwrap_or(100_000);
        write(directory, "cpu.max", format!("{} {period}", limit(quota)))?;
    }
    if let Some(pids) = resources.pids_limit.filter(|pids| *pids != 0) {
        write(directory, "pids.max", limit(pids))?;
    }
    for (name, value) in
        [("cpuset.cpus", &resources.cpuset_cpus), ("cpuset.mems", &resources.cpuset_mems)]
    {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            write(directory, name, value)?;
        }
    }
    for (size, limit) in &resources.hugepage_limits {
        let name = format!("hugetlb.{size}.max");
        if directory.join(&name).exists() {
            write(directory, &name, limit)?;
        }
    }
    resources.unified.iter().try_for_each(|(name, value)| write(directory, name, value))
}

/// The v2 weight (1 to 10000) for v1 shares (2 to 262144).
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// The v1 shares that a v2 weight stands for.
pub(super) fn shares(weight: u64) -> u64 {
    2 + (weight.clamp(1, 10_000) - 1) * 262_142 / 9999
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_become_weights() {
        assert_eq!([2, 1024, 262_144, 0].map(weight), [1, 39, 10_000, 1]);
    }

    #[test]
    fn v2_files_get_v2_values() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("memory.swap.max"), "").unwrap();
        let resources = Resources {
            memory_limit: Some(1 << 20),
            cpu_quota: Some(50_000),
            pids_limit: Some(-1),
            ..Resources::default()
        };
        set_v2(dir.path(), &resources).unwrap();
        for (name, value) in [
            ("memory.max", "1048576"),
            ("memory.swap.max", "0"),
            ("cpu.max", "50000 100000"),
            ("pids.max", "max"),
        ] {
            assert_eq!(std::fs::read_to_string(dir.path().join(name)).unwrap(), value, "{name}");
        }
    }
}

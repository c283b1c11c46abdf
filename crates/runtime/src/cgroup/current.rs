//! Reading the limits in force.

use std::path::{Path, PathBuf};

use super::limits::shares;
use crate::Resources;

/// v1 writes "no limit" as the largest multiple of the page size.
const UNLIMITED: i64 = 1 << 62;

fn text(directory: &Path, name: &str) -> Option<String> {
    Some(std::fs::read_to_string(directory.join(name)).ok()?.trim().to_owned())
}

/// A number, or -1 for `max`.
fn limit(text: &str) -> Option<i64> {
    if text == "max" { Some(-1) } else { text.parse().ok() }
}

pub(super) fn of_v1(directories: &[PathBuf]) -> Resources {
    let number = |name: &str| -> Option<i64> {
        directories.iter().find_map(|directory| text(directory, name)?.parse().ok())
    };
    Resources {
        cpu_period: number("cpu.cfs_period_us").map(|period| period as u64),
        cpu_quota: number("cpu.cfs_quota_us"),
        cpu_shares: number("cpu.shares").map(|shares| shares as u64),
        memory_limit: number("memory.limit_in_bytes")
            .map(|limit| if limit >= UNLIMITED { -1 } else { limit }),
        ..Resources::default()
    }
}

pub(super) fn of_v2(directory: &Path) -> Resources {
    let max = text(directory, "cpu.max").unwrap_or_default();
    let (quota, period) = max.split_once(' ').unwrap_or((max.as_str(), ""));
    let weight = text(directory, "cpu.weight").and_then(|weight| weight.parse().ok());
    Resources {
        cpu_period: period.parse().ok(),
        cpu_quota: limit(quota),
        cpu_shares: weight.map(shares),
        memory_limit: text(directory, "memory.max").and_then(|text| limit(&text)),
        ..Resources::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, value) in list {
            std::fs::write(dir.path().join(name), format!("{value}\n")).unwrap();
        }
        dir
    }

    fn summary(found: &Resources) -> [Option<i64>; 4] {
        let number = |value: Option<u64>| value.map(|value| value as i64);
        let (period, shares) = (number(found.cpu_period), number(found.cpu_shares));
        [period, found.cpu_quota, shares, found.memory_limit]
    }

    #[test]
    fn both_versions_say_the_same() {
        let (period, quota) = (Some(100_000), Some(5000));
        let limited = [period, quota, Some(1024), Some(4096)];
        let free = [period, Some(-1), Some(2), Some(-1)];
        let v1 = |quota, shares, memory| {
            let memory = files(&[("memory.limit_in_bytes", memory)]);
            let cpu = [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", quota)];
            let cpu = files(&[cpu[0], cpu[1], ("cpu.shares", shares)]);
            summary(&of_v1(&[memory.path().to_owned(), cpu.path().to_owned()]))
        };
        assert_eq!(v1("5000", "1024", "4096"), limited);
        assert_eq!(v1("-1", "2", "9223372036854771712"), free);
        let v2 = |max, weight, memory| {
            let dir = files(&[("cpu.max", max), ("cpu.weight", weight), ("memory.max", memory)]);
            summary(&of_v2(dir.path()))
        };
        assert_eq!(v2("5000 100000", "40", "4096"), limited);
        assert_eq!(v2("max 100000", "1", "max"), free);
        assert_eq!(summary(&of_v2(files(&[]).path())), [None; 4]);
    }
}

//! Reading usage and events.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::disks::disks;
use crate::api::{Throttling, Usage};

fn number(directory: &Path, name: &str) -> Option<u64> {
    std::fs::read_to_string(directory.join(name)).ok()?.trim().parse().ok()
}

/// A value of a file with `key value` lines.
fn keyed(directory: &Path, name: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(directory.join(name)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// How many processes of the cgroup the OOM killer has taken.
pub(crate) fn oom_kills(directory: &Path) -> u64 {
    keyed(directory, "memory.events", "oom_kill")
        .or_else(|| keyed(directory, "memory.oom_control", "oom_kill"))
        .unwrap_or(0)
}

fn throttling(directory: &Path) -> Option<Throttling> {
    let read = |key| keyed(directory, "cpu.stat", key);
    let micros = |key| read(key).map(|micros| micros.saturating_mul(1000));
    Some(Throttling {
        periods: read("nr_periods")?,
        throttled_periods: read("nr_throttled")?,
        throttled_nanos: read("throttled_time").or_else(|| micros("throttled_usec"))?,
    })
}

/// CPU and memory of a cgroup, from whichever files its directories have.
pub(crate) fn usage(directories: &[PathBuf]) -> Usage {
    let first = |read: &dyn Fn(&Path) -> Option<u64>| {
        directories.iter().find_map(|directory| read(directory)).unwrap_or(0)
    };
    let stat = |v2: &str, v1: &str| {
        first(&|d| keyed(d, "memory.stat", v1).or_else(|| keyed(d, "memory.stat", v2)))
    };
    let memory_usage =
        first(&|d| number(d, "memory.usage_in_bytes").or_else(|| number(d, "memory.current")));
    let inactive_file = stat("inactive_file", "total_inactive_file");
    // v1 writes "no limit" as the largest multiple of the page size.
    let limit = first(&|d| number(d, "memory.limit_in_bytes").or_else(|| number(d, "memory.max")));
    Usage {
        timestamp: Timestamp::now(),
        cpu_usage_nanos: first(&|d| {
            number(d, "cpuacct.usage")
                .or_else(|| keyed(d, "cpu.stat", "usage_usec").map(|micros| micros * 1000))
        }),
        memory_working_set: memory_usage.saturating_sub(inactive_file),
        memory_usage,
        memory_rss: stat("anon", "total_rss"),
        page_faults: stat("pgfault", "total_pgfault"),
        major_page_faults: stat("pgmajfault", "total_pgmajfault"),
        memory_limit: (limit != 0 && limit < 1 << 62).then_some(limit),
        pids: first(&|d| number(d, "pids.current")),
        memory_cache: Some(stat("file", "total_cache")),
        memory_swap: Some(first(&|d| {
            keyed(d, "memory.stat", "total_swap").or_else(|| number(d, "memory.swap.current"))
        })),
        throttling: directories.iter().find_map(|directory| throttling(directory)),
        disks: directories.iter().find_map(|directory| disks(directory)).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v2_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("memory.current", "5000\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 1000\nfile 2500\ninactive_file 2000\npgfault 7\npgmajfault 1\n"),
            (
                "cpu.stat",
                "usage_usec 12\nuser_usec 3\nnr_periods 9\nnr_throttled 4\nthrottled_usec 5\n",
            ),
            ("memory.events", "low 0\noom 3\noom_kill 2\n"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let usage = usage(&[dir.path().to_owned()]);
        assert_eq!((usage.memory_working_set, usage.memory_rss), (3000, 1000));
        assert_eq!((usage.cpu_usage_nanos, usage.page_faults), (12_000, 7));
        assert_eq!(usage.memory_limit, None);
        assert_eq!((usage.memory_cache, usage.memory_swap), (Some(2500), Some(0)));
        let throttling = Throttling { periods: 9, throttled_periods: 4, throttled_nanos: 5000 };
        assert_eq!(usage.throttling, Some(throttling));
        assert_eq!(oom_kills(dir.path()), 2);
    }
}

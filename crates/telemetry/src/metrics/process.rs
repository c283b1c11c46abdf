//! Metrics of this process from the operating system.

use procfs::process::{LimitValue, Process};
use procfs::{CurrentSI, WithCurrentSystemInfo};

use super::{Desc, Kind, Registry, Samples};

/// One value of this process; nothing where the system does not say.
fn collect(
    registry: &Registry,
    desc: Desc,
    kind: Kind,
    read: impl Fn(&Process) -> Option<f64> + Send + Sync + 'static,
) {
    registry.collect(desc, kind, [], move |samples: &mut Samples<0>| {
        if let Some(value) = Process::myself().ok().and_then(|process| read(&process)) {
            samples.add([], value);
        }
    });
}

fn limit(value: LimitValue) -> f64 {
    match value {
        // Upstream's library reads "unlimited" as the largest number there is.
        LimitValue::Unlimited => u64::MAX as f64,
        LimitValue::Value(value) => value as f64,
    }
}

/// Seconds of Unix time at which this process began.
fn start_time(process: &Process) -> Option<f64> {
    let booted = procfs::KernelStats::current().ok()?.btime;
    let ticks = process.stat().ok()?.starttime;
    Some(booted as f64 + ticks as f64 / procfs::ticks_per_second() as f64)
}

/// Bytes of IP in the process's network namespace, which upstream's library takes for its own.
fn octets(name: &str) -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut rows = text.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, values) = (rows.next()?, rows.next()?);
    let at = names.split_whitespace().position(|known| known == name)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

/// The `process_` metrics of upstream's library.
pub fn process(registry: &Registry) {
    use Kind::{Counter, Gauge};
    registry.collect(
        Desc::foreign("coxswain_task_panics_total", "Number of panics of tasks, by task."),
        Counter,
        ["task"],
        |samples: &mut Samples<1>| {
            for (task, count) in crate::task::panics() {
                samples.add([task], count as f64);
            }
        },
    );
    collect(
        registry,
        Desc::foreign(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
        ),
        Counter,
        |process| {
            let stat = process.stat().ok()?;
            Some((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
        },
    );
    collect(
        registry,
        Desc::foreign("process_open_fds", "Number of open file descriptors."),
        Gauge,
        |process| Some(process.fd_count().ok()? as f64),
    );
    collect(
        registry,
        Desc::foreign("process_max_fds", "Maximum number of open file descriptors."),
        Gauge,
        |process| Some(limit(process.limits().ok()?.max_open_files.soft_limit)),
    );
    collect(
        registry,
        Desc::foreign("process_virtual_memory_bytes", "Virtual memory size in bytes."),
        Gauge,
        |process| Some(process.stat().ok()?.vsize as f64),
    );
    collect(
        registry,
        Desc::foreign(
            "process_virtual_memory_max_bytes",
            "Maximum amount of virtual memory available in bytes.",
        ),
        Gauge,
        |process| Some(limit(process.limits().ok()?.max_address_space.soft_limit)),
    );
    collect(
        registry,
        Desc::foreign("process_resident_memory_bytes", "Resident memory size in bytes."),
        Gauge,
        |process| Some(process.stat().ok()?.rss_bytes().get() as f64),
    );
    collect(
        registry,
        Desc::foreign(
            "process_network_receive_bytes_total",
            "Number of bytes received by the process over the network.",
        ),
        Counter,
        |_| octets("InOctets"),
    );
    collect(
        registry,
        Desc::foreign(
            "process_network_transmit_bytes_total",
            "Number of bytes sent by the process over the network.",
        ),
        Counter,
        |_| octets("OutOctets"),
    );
    start(registry, Desc::foreign);
}

const START: (&str, &str) =
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds.");

fn start(registry: &Registry, desc: fn(&'static str, &'static str) -> Desc) {
    collect(registry, desc(START.0, START.1), Kind::Gauge, start_time);
}

impl Registry {
    /// Adds the time at which this process began, without which counters that begin anew cannot be
    /// told from ones that go on, as upstream does on endpoints beside the main one.
    pub fn process_start(&self) {
        start(self, Desc::alpha);
    }
}

/// `kubernetes_build_info` with the fields of `/version`.
pub fn build_info(registry: &Registry, version: &'static str) {
    let help = "A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.";
    let labels = [
        "major",
        "minor",
        "git_version",
        "git_commit",
        "git_tree_state",
        "build_date",
        "go_version",
        "compiler",
        "platform",
    ];
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let platform = match std::env::consts::ARCH {
        "aarch64" => "linux/arm64",
        _ => "linux/amd64",
    };
    registry
        .gauges(Desc::alpha("kubernetes_build_info", help), labels)
        .with([major, minor, version, "", "clean", "", "none", "rustc", platform])
        .set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;

    #[test]
    fn panics_of_tasks_are_told() {
        let registry = Registry::bare();
        process(&registry);
        crate::task::report("test-told", &"of course");
        let text = registry.encode(Format::Text);
        assert!(text.contains("coxswain_task_panics_total{task=\"test-told\"} 1"), "{text}");
    }
}

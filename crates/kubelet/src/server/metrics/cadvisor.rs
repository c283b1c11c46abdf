//! Usage by cgroup, under the names and labels of cadvisor.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use runtime::{ContainerFilter, DiskUsage, NetworkUsage, Usage};
use telemetry::metrics::{Desc, Kind, Registry, Samples};

use crate::context::Context;
use crate::machine::Machine;
use crate::pod::{member, name, namespace, uid};

/// Labels of every sample.
const LABELS: [&str; 6] = ["container", "id", "image", "name", "namespace", "pod"];

/// One cgroup: the node's, a pod's or a container's.
#[derive(Debug, Default)]
struct Cgroup {
    /// In the order of [`LABELS`].
    labels: [String; 6],
    usage: Option<Usage>,
    started: Option<Timestamp>,
    layer_bytes: Option<u64>,
    network: Option<NetworkUsage>,
}

async fn read(context: &Context) -> Vec<Cgroup> {
    let (all, _) = super::usage(context).await;
    let containers = context.runtime.list_containers(ContainerFilter::default()).await;
    let started: HashMap<String, Option<Timestamp>> =
        containers.unwrap_or_default().into_iter().map(|c| (c.id, c.started_at)).collect();
    let pods = context.pods.store().list();
    let of_node =
        |id: &str| std::array::from_fn(|i| if i == 1 { id.to_owned() } else { String::new() });
    let mut out = vec![Cgroup {
        labels: of_node("/"),
        usage: Some(crate::server::stats::node(&all)),
        ..Cgroup::default()
    }];
    for (id, stats) in all {
        let Some(pod) = pods.iter().find(|pod| *uid(pod) == id) else { continue };
        let (pod_name, space) = (name(pod).to_owned(), namespace(pod).to_owned());
        let group = format!("/kubepods/pod{id}");
        for container in stats.containers {
            let image = member(pod, &container.metadata.name);
            let image = image.and_then(|member| member.container.image.clone()).unwrap_or_default();
            out.push(Cgroup {
                labels: [
                    container.metadata.name,
                    format!("{group}/{}", container.id),
                    image,
                    container.id.clone(),
                    space.clone(),
                    pod_name.clone(),
                ],
                usage: Some(container.usage),
                started: started.get(&container.id).copied().flatten(),
                layer_bytes: Some(container.writable_layer_bytes),
                network: None,
            });
        }
        // Traffic is the sandbox's, as with runtimes that have a container for it.
        let empty = String::new;
        out.push(Cgroup {
            labels: [empty(), group, empty(), empty(), space, pod_name],
            usage: Some(stats.usage),
            network: stats.network,
            ..Cgroup::default()
        });
    }
    out
}

pub(super) async fn registry(context: &Context) -> Registry {
    of(read(context).await, &context.machine)
}

type Value = fn(&Cgroup) -> Option<f64>;

/// Names, help texts and values that need nothing but the cgroup.
const PLAIN: &[(&str, &str, Kind, Value)] = &[
    ("container_memory_working_set_bytes", "Current working set in bytes.", Kind::Gauge, |c| {
        of_usage(c, |usage| usage.memory_working_set)
    }),
    (
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed",
        Kind::Gauge,
        |c| of_usage(c, |usage| usage.memory_usage),
    ),
    ("container_memory_rss", "Size of RSS in bytes.", Kind::Gauge, |c| {
        of_usage(c, |usage| usage.memory_rss)
    }),
    ("container_memory_cache", "Number of bytes of page cache memory.", Kind::Gauge, |c| {
        Some(c.usage.as_ref()?.memory_cache? as f64)
    }),
    ("container_memory_swap", "Container swap usage in bytes.", Kind::Gauge, |c| {
        Some(c.usage.as_ref()?.memory_swap? as f64)
    }),
    ("container_spec_memory_limit_bytes", "Memory limit for the container.", Kind::Gauge, |c| {
        of_usage(c, |usage| usage.memory_limit.unwrap_or(0))
    }),
    (
        "container_processes",
        "Number of processes running inside the container.",
        Kind::Gauge,
        |c| of_usage(c, |usage| usage.pids),
    ),
    (
        "container_cpu_cfs_periods_total",
        "Number of elapsed enforcement period intervals.",
        Kind::Counter,
        |c| Some(c.usage.as_ref()?.throttling?.periods as f64),
    ),
    (
        "container_cpu_cfs_throttled_periods_total",
        "Number of throttled period intervals.",
        Kind::Counter,
        |c| Some(c.usage.as_ref()?.throttling?.throttled_periods as f64),
    ),
    (
        "container_cpu_cfs_throttled_seconds_total",
        "Total time duration the container has been throttled.",
        Kind::Counter,
        |c| Some(c.usage.as_ref()?.throttling?.throttled_nanos as f64 / 1e9),
    ),
    (
        "container_start_time_seconds",
        "Start time of the container since unix epoch in seconds.",
        Kind::Gauge,
        |c| Some(c.started?.as_second() as f64),
    ),
    ("container_last_seen", "Last time a container was seen by the exporter", Kind::Gauge, |c| {
        Some(c.usage.as_ref()?.timestamp.as_second() as f64)
    }),
    (
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on this filesystem.",
        Kind::Gauge,
        |c| Some(c.layer_bytes? as f64),
    ),
];

fn of_usage(cgroup: &Cgroup, of: fn(&Usage) -> u64) -> Option<f64> {
    cgroup.usage.as_ref().map(|usage| of(usage) as f64)
}

type Traffic = fn(&NetworkUsage) -> Option<u64>;

/// Traffic, by interface.
const TRAFFIC: &[(&str, &str, Traffic)] = &[
    ("container_network_receive_bytes_total", "Cumulative count of bytes received", |n| {
        Some(n.rx_bytes)
    }),
    (
        "container_network_receive_errors_total",
        "Cumulative count of errors encountered while receiving",
        |n| Some(n.rx_errors),
    ),
    ("container_network_receive_packets_total", "Cumulative count of packets received", |n| {
        Some(n.packets?.rx)
    }),
    (
        "container_network_receive_packets_dropped_total",
        "Cumulative count of packets dropped while receiving",
        |n| Some(n.packets?.rx_dropped),
    ),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", |n| {
        Some(n.tx_bytes)
    }),
    (
        "container_network_transmit_errors_total",
        "Cumulative count of errors encountered while transmitting",
        |n| Some(n.tx_errors),
    ),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted", |n| {
        Some(n.packets?.tx)
    }),
    (
        "container_network_transmit_packets_dropped_total",
        "Cumulative count of packets dropped while transmitting",
        |n| Some(n.packets?.tx_dropped),
    ),
];

type Disk = fn(&DiskUsage) -> u64;

/// Use of block devices, by device.
const DISKS: &[(&str, &str, Disk)] = &[
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read", |d| d.read_bytes),
    ("container_fs_reads_total", "Cumulative count of reads completed", |d| d.reads),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written", |d| d.write_bytes),
    ("container_fs_writes_total", "Cumulative count of writes completed", |d| d.writes),
];

fn of(cgroups: Vec<Cgroup>, machine: &Machine) -> Registry {
    let registry = Registry::bare();
    let all = Arc::new(cgroups);
    for (name, help, kind, of) in PLAIN {
        collect(&registry, &all, Desc::foreign(name, help), *kind, LABELS, |c| {
            Some((std::array::from_fn(|i| c.labels[i].clone()), of(c)?))
        });
    }
    let labels = ["container", "id", "image", "name", "namespace", "pod", "cpu"];
    let desc = Desc::foreign(
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
    );
    collect(&registry, &all, desc, Kind::Counter, labels, |c| {
        let nanos = c.usage.as_ref()?.cpu_usage_nanos;
        Some((with(&c.labels, "total"), nanos as f64 / 1e9))
    });
    let labels = ["container", "id", "image", "name", "namespace", "pod", "interface"];
    for (name, help, of) in TRAFFIC {
        collect(&registry, &all, Desc::foreign(name, help), Kind::Counter, labels, |c| {
            let network = c.network.as_ref()?;
            Some((with(&c.labels, &network.interface), of(network)? as f64))
        });
    }
    disks(&registry, &all);
    failures(&registry, &all);
    of_machine(&registry, machine);
    registry
}

fn with(labels: &[String; 6], last: &str) -> [String; 7] {
    std::array::from_fn(|i| labels.get(i).map_or_else(|| last.to_owned(), String::clone))
}

fn disks(registry: &Registry, all: &[Cgroup]) {
    let labels = ["container", "id", "image", "name", "namespace", "pod", "device"];
    for (name, help, of) in DISKS {
        let mut rows = Vec::new();
        for cgroup in all {
            let Some(usage) = &cgroup.usage else { continue };
            for disk in &usage.disks {
                let at = usage.timestamp.as_millisecond();
                rows.push((with(&cgroup.labels, &disk.device), of(disk) as f64, at));
            }
        }
        let desc = Desc::foreign(name, help);
        registry.collect(desc, Kind::Counter, labels, move |samples: &mut Samples<7>| {
            for (labels, value, at) in &rows {
                samples.add_at(std::array::from_fn(|i| labels[i].as_str()), *value, *at);
            }
        });
    }
}

/// Page faults, by kind.
fn failures(registry: &Registry, all: &[Cgroup]) {
    let labels = ["container", "id", "image", "name", "namespace", "pod", "failure_type", "scope"];
    let mut rows = Vec::new();
    for cgroup in all {
        let Some(usage) = &cgroup.usage else { continue };
        let faults = [("pgfault", usage.page_faults), ("pgmajfault", usage.major_page_faults)];
        for (kind, count) in faults {
            let labels: [String; 8] = std::array::from_fn(|i| match i {
                6 => kind.to_owned(),
                7 => "hierarchy".to_owned(),
                i => cgroup.labels[i].clone(),
            });
            rows.push((labels, count as f64, usage.timestamp.as_millisecond()));
        }
    }
    let desc = Desc::foreign(
        "container_memory_failures_total",
        "Cumulative count of memory allocation failures.",
    );
    registry.collect(desc, Kind::Counter, labels, move |samples: &mut Samples<8>| {
        for (labels, value, at) in &rows {
            samples.add_at(std::array::from_fn(|i| labels[i].as_str()), *value, *at);
        }
    });
}

fn of_machine(registry: &Registry, machine: &Machine) {
    let labels = ["boot_id", "machine_id", "system_uuid"];
    let values = [&*machine.boot_id, &*machine.machine_id, &*machine.system_uuid];
    let gauge = |name, help, value: f64| {
        registry.gauges(Desc::foreign(name, help), labels).with(values).set(value);
    };
    gauge("machine_cpu_cores", "Number of logical CPU cores.", f64::from(machine.cpus));
    gauge(
        "machine_memory_bytes",
        "Amount of memory installed on the machine.",
        machine.memory_bytes as f64,
    );
}

fn collect<const N: usize>(
    registry: &Registry,
    all: &[Cgroup],
    desc: Desc,
    kind: Kind,
    labels: [&'static str; N],
    of: impl Fn(&Cgroup) -> Option<([String; N], f64)>,
) {
    let rows: Vec<_> = all
        .iter()
        .filter_map(|cgroup| {
            let (labels, value) = of(cgroup)?;
            let at = cgroup.usage.as_ref().map(|usage| usage.timestamp.as_millisecond());
            Some((labels, value, at.unwrap_or_default()))
        })
        .collect();
    registry.collect(desc, kind, labels, move |samples: &mut Samples<N>| {
        for (labels, value, at) in &rows {
            samples.add_at(std::array::from_fn(|i| labels[i].as_str()), *value, *at);
        }
    });
}

#[cfg(test)]
mod tests {
    use runtime::{Packets, Throttling};
    use telemetry::metrics::Format;

    use super::*;

    #[test]
    fn dashboards_find_their_series() {
        let throttling = Throttling { periods: 9, throttled_periods: 4, throttled_nanos: 5000 };
        let mut usage = crate::testing::usage(4096);
        usage.cpu_usage_nanos = 1_500_000_000;
        usage.throttling = Some(throttling);
        usage.disks =
            vec![DiskUsage { device: "/dev/sda".into(), writes: 5, ..Default::default() }];
        let label = |texts: [&str; 6]| texts.map(str::to_owned);
        let container = Cgroup {
            labels: label(["web", "/kubepods/podu/c1", "nginx:1", "c1", "ns", "p"]),
            usage: Some(usage.clone()),
            started: Some(crate::testing::at(7)),
            layer_bytes: Some(11),
            network: None,
        };
        let pod = Cgroup {
            labels: label(["", "/kubepods/podu", "", "", "ns", "p"]),
            usage: Some(usage),
            network: Some(NetworkUsage {
                interface: "eth0".into(),
                rx_bytes: 10,
                packets: Some(Packets { tx: 3, ..Packets::default() }),
                ..NetworkUsage::default()
            }),
            ..Cgroup::default()
        };
        let machine = Machine { cpus: 2, boot_id: "b".into(), ..Machine::default() };
        let text = of(vec![container, pod], &machine).encode(Format::Text);
        let of_container =
            r#"id="/kubepods/podu/c1",image="nginx:1",name="c1",namespace="ns",pod="p""#;
        for line in [
            format!("container_cpu_usage_seconds_total{{container=\"web\",cpu=\"total\",{of_container}}} 1.5 0"),
            format!("container_cpu_cfs_throttled_periods_total{{container=\"web\",{of_container}}} 4 0"),
            format!("container_memory_working_set_bytes{{container=\"web\",{of_container}}} 4096 0"),
            format!("container_start_time_seconds{{container=\"web\",{of_container}}} 7 0"),
            r#"container_network_receive_bytes_total{container="",id="/kubepods/podu",image="",interface="eth0",name="",namespace="ns",pod="p"} 10 0"#.to_owned(),
            r#"container_network_transmit_packets_total{container="",id="/kubepods/podu",image="",interface="eth0",name="",namespace="ns",pod="p"} 3 0"#.to_owned(),
            r#"machine_cpu_cores{boot_id="b",machine_id="",system_uuid=""} 2"#.to_owned(),
            format!("container_fs_writes_total{{container=\"web\",device=\"/dev/sda\",{of_container}}} 5 0"),
            "# TYPE container_cpu_usage_seconds_total counter".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
        assert!(!text.contains("container_memory_cache{"), "this runtime does not say");
    }
}

use super::*;
use crate::resize::amounts::{Amounts, Pair};
use crate::testing::usage;
use runtime::{ContainerStats, SandboxMetadata};

fn update(name: &str, cpu: (i64, i64), memory: (i64, i64)) -> Update {
    let amounts = |cpu, memory| Amounts {
        cpu: Pair { request: cpu, limit: cpu },
        memory: Pair { request: memory, limit: memory },
    };
    let container = k8s_openapi::api::core::v1::Container {
        name: name.to_owned(),
        ..k8s_openapi::api::core::v1::Container::default()
    };
    let (from, to) = (amounts(cpu.0, memory.0), amounts(cpu.1, memory.1));
    Update { id: format!("{name}-0"), container, from, to }
}

fn limits(cpu: i64, memory: i64) -> Resources {
    Resources {
        cpu_period: Some(100_000),
        cpu_quota: Some(cpu * 100),
        cpu_shares: Some(cpu as u64),
        memory_limit: Some(memory),
        ..Resources::default()
    }
}

fn summary(steps: &[Step<'_>]) -> String {
    let one = |step: &Step<'_>| match step {
        Step::Memory(update) => format!("{} memory", update.container.name),
        Step::Cpu(update) => format!("{} cpu", update.container.name),
        Step::Pod(limits) => match (limits.memory_limit, limits.cpu_quota, limits.cpu_shares) {
            (Some(limit), None, None) => format!("pod memory {limit}"),
            (None, Some(quota), None) => format!("pod quota {quota}"),
            (None, None, Some(shares)) => format!("pod shares {shares}"),
            other => format!("{other:?}"),
        },
    };
    steps.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[test]
fn no_container_is_ever_allowed_more_than_its_pod() {
    let table = [
        (
            (limits(20, 20), limits(30, 30)),
            vec![update("a", (10, 25), (10, 25)), update("b", (10, 5), (10, 5))],
            "pod memory 30, b memory, a memory, pod quota 3000, pod shares 30, b cpu, a cpu",
        ),
        (
            (limits(30, 30), limits(20, 20)),
            vec![update("a", (5, 10), (25, 10)), update("b", (25, 10), (5, 10))],
            "a memory, b memory, pod memory 20, b cpu, a cpu, pod shares 20, pod quota 2000",
        ),
        ((limits(20, 20), limits(20, 20)), vec![update("a", (5, 5), (1, 2))], "a memory"),
        (
            (
                Resources { cpu_quota: Some(-1), ..limits(20, -1) },
                Resources { cpu_quota: None, ..limits(20, 20) },
            ),
            vec![],
            "pod memory 20",
        ),
        (
            (limits(20, 20), Resources { cpu_quota: None, memory_limit: None, ..limits(25, 0) }),
            vec![update("a", (5, 10), (1, 1))],
            "pod shares 25, a cpu",
        ),
    ];
    for ((current, wanted), updates, order) in table {
        assert_eq!(summary(&steps(&current, &wanted, &updates)), order);
    }
}

#[test]
fn limits_do_not_go_below_the_usage() {
    let stats = SandboxStats {
        id: "s".to_owned(),
        metadata: SandboxMetadata::default(),
        usage: usage(50),
        network: None,
        containers: vec![ContainerStats {
            id: "a-0".to_owned(),
            metadata: Default::default(),
            usage: usage(40),
            writable_layer_bytes: 0,
            writable_layer_inodes: 0,
        }],
    };
    let one = "attempting to set container \"a\" memory limit (30) below current usage (40)";
    let table = [
        ((100, 60), (100, 60), Ok(())),
        ((100, 60), (100, 30), Err(format!("cannot decrease memory limits: {one}"))),
        ((20, 30), (20, 30), Ok(())),
        (
            (100, 30),
            (100, 30),
            Err(format!(
                "cannot decrease memory limits: [attempting to set pod memory limit (30) below \
                 current usage (50), {one}]"
            )),
        ),
    ];
    for ((before, after), memory, wanted) in table {
        let updates = [update("a", (1, 1), memory)];
        let (current, after) = (limits(1, before), limits(1, after));
        let got = check_usage(&current, &after, &updates, &stats);
        assert_eq!(got.map_err(|error| error.to_string()), wanted);
    }
}

//! Applying allocated resources to a pod and its containers.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use runtime::{Resources, SandboxStats};

use super::changes::Update;
use crate::context::Context;
use crate::pod::{full_name, uid};
use crate::spec::resources;

/// Why a pod does not get what it was allocated. The `PodResizeInProgress` condition has these
/// texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Runtime(#[from] runtime::Error),
    #[error("unable to read memory usage for pod {pod:?}")]
    Usage { pod: String, source: runtime::Error },
    #[error("cannot decrease memory limits: {}", list(.0))]
    InUse(Vec<InUse>),
}

/// A limit that is below what is in use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InUse {
    #[error("attempting to set pod memory limit ({limit}) below current usage ({usage})")]
    Pod { limit: i64, usage: u64 },
    #[error(
        "attempting to set container {name:?} memory limit ({limit}) below current usage ({usage})"
    )]
    Container { name: String, limit: i64, usage: u64 },
}

/// One as it is, several in brackets.
fn list(errors: &[InUse]) -> String {
    match errors {
        [error] => error.to_string(),
        errors => {
            let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
            format!("[{}]", texts.join(", "))
        }
    }
}

/// One write to the kernel.
#[derive(Debug)]
enum Step<'a> {
    Pod(Resources),
    Memory(&'a Update),
    Cpu(&'a Update),
}

/// Changes the limits of a running pod and its containers. What was done before a failure is
/// noted, so that another try goes on from there.
///
/// # Errors
/// The kernel refused, or a limit is below what is in use.
pub(crate) async fn actuate(
    context: &Arc<Context>,
    pod: &Pod,
    sandbox: &str,
    updates: &[Update],
) -> Result<(), Error> {
    let wanted = resources::of_pod(pod);
    let current = context.runtime.pod_sandbox_resources(sandbox).await?;
    if shrinks(&current, &wanted, updates) {
        let stats = context.runtime.pod_sandbox_stats(sandbox).await;
        let stats = stats.map_err(|source| Error::Usage { pod: full_name(pod), source })?;
        check_usage(&current, &wanted, updates, &stats)?;
    }
    for step in steps(&current, &wanted, updates) {
        let (update, limits) = match &step {
            Step::Pod(limits) => {
                let change = context.runtime.update_pod_sandbox_resources(sandbox, limits.clone());
                change.await?;
                continue;
            }
            Step::Memory(update) | Step::Cpu(update) => {
                (update, resources::of_container(pod, &update.container, 0))
            }
        };
        let known = context.ledger.actuated(uid(pod), &update.container.name);
        let mut given = known.unwrap_or(update.from);
        let limits = if matches!(step, Step::Memory(_)) {
            given.memory = update.to.memory;
            Resources {
                memory_limit: limits.memory_limit,
                memory_swap_limit: limits.memory_swap_limit,
                ..Resources::default()
            }
        } else {
            given.cpu = update.to.cpu;
            Resources {
                cpu_shares: limits.cpu_shares,
                cpu_period: limits.cpu_period,
                cpu_quota: limits.cpu_quota,
                ..Resources::default()
            }
        };
        context.runtime.update_container_resources(&update.id, limits).await?;
        context.ledger.actuate(pod, &update.container.name, given);
    }
    Ok(())
}

/// A limit as a number to compare; none is the largest.
fn bound(limit: Option<i64>) -> i64 {
    limit.filter(|limit| *limit >= 0).unwrap_or(i64::MAX)
}

fn pod_shrinks(current: &Resources, wanted: &Resources) -> bool {
    wanted.memory_limit.is_some() && bound(wanted.memory_limit) < bound(current.memory_limit)
}

fn container_shrinks(update: &Update) -> bool {
    let (from, to) = (update.from.memory.limit, update.to.memory.limit);
    to != 0 && (from == 0 || to < from)
}

fn shrinks(current: &Resources, wanted: &Resources, updates: &[Update]) -> bool {
    pod_shrinks(current, wanted) || updates.iter().any(container_shrinks)
}

/// A limit below what is in use would be refused by the kernel, or kill: it is not tried.
fn check_usage(
    current: &Resources,
    wanted: &Resources,
    updates: &[Update],
    stats: &SandboxStats,
) -> Result<(), Error> {
    let mut errors = Vec::new();
    let below = |limit: i64, usage: u64| usage >= u64::try_from(limit).unwrap_or(0);
    let (limit, usage) = (bound(wanted.memory_limit), stats.usage.memory_usage);
    if pod_shrinks(current, wanted) && below(limit, usage) {
        errors.push(InUse::Pod { limit, usage });
    }
    for update in updates.iter().filter(|update| container_shrinks(update)) {
        let limit = update.to.memory.limit;
        let usage = stats.containers.iter().find(|stats| stats.id == update.id);
        let usage = usage.map_or(0, |stats| stats.usage.memory_usage);
        if below(limit, usage) {
            errors.push(InUse::Container { name: update.container.name.clone(), limit, usage });
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::InUse(errors)) }
}

/// All writes in an order in which no container is ever allowed more than its pod: memory, then
/// CPU; the pod before its containers where it grows and after them where it shrinks; containers
/// that shrink before those that grow.
fn steps<'a>(current: &Resources, wanted: &Resources, updates: &'a [Update]) -> Vec<Step<'a>> {
    let mut memory: Vec<_> = updates.iter().filter(|u| u.from.memory != u.to.memory).collect();
    memory.sort_by_key(|update| update.from.memory_grows_to(update.to));
    let mut cpu: Vec<_> = updates.iter().filter(|u| u.from.cpu != u.to.cpu).collect();
    cpu.sort_by_key(|update| update.from.cpu_grows_to(update.to));

    let limit = Resources { memory_limit: wanted.memory_limit, ..Resources::default() };
    let quota = Resources {
        cpu_period: wanted.cpu_period,
        cpu_quota: wanted.cpu_quota,
        ..Resources::default()
    };
    let shares = Resources { cpu_shares: wanted.cpu_shares, ..Resources::default() };
    // A missing limit leaves the present one, as upstream: limits cannot be removed.
    let order = |wanted: Option<i64>, current: Option<i64>| {
        wanted.map_or(std::cmp::Ordering::Equal, |w| bound(Some(w)).cmp(&bound(current)))
    };
    let of_memory = order(wanted.memory_limit, current.memory_limit);
    let of_quota = order(wanted.cpu_quota, current.cpu_quota);
    let of_shares = wanted.cpu_shares.cmp(&current.cpu_shares);
    let mut steps = Vec::new();
    let pod = |steps: &mut Vec<Step<'a>>, when: bool, limits: &Resources| {
        if when {
            steps.push(Step::Pod(limits.clone()));
        }
    };
    pod(&mut steps, of_memory.is_gt(), &limit);
    steps.extend(memory.into_iter().map(Step::Memory));
    pod(&mut steps, of_memory.is_lt(), &limit);
    pod(&mut steps, of_quota.is_gt(), &quota);
    pod(&mut steps, of_shares.is_gt(), &shares);
    steps.extend(cpu.into_iter().map(Step::Cpu));
    pod(&mut steps, of_shares.is_lt(), &shares);
    pod(&mut steps, of_quota.is_lt(), &quota);
    steps
}

#[cfg(test)]
mod tests;

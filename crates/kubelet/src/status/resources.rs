//! The resources a container is reported to have.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use runtime::{ContainerState, ContainerStatus};

use crate::quantity::{milli, value};

/// CPU limit, in thousandths, to which the kernel raises smaller ones.
const LEAST_LIMIT: i64 = 10;
/// CPU request, in thousandths, to which the kernel raises smaller ones.
const LEAST_REQUEST: i64 = 2;

/// The resources allocated to a container. While it runs, CPU and the memory limit are those of the
/// runtime, which does not know memory requests.
pub(super) fn actual(allocated: &Container, status: &ContainerStatus) -> ResourceRequirements {
    let mut out = allocated.resources.clone().unwrap_or_default();
    if status.state != ContainerState::Running {
        return out;
    }
    let has = &status.resources;
    // Amounts that the kernel cannot tell apart are reported as they were allocated.
    let set_cpu = |list: &mut BTreeMap<String, Quantity>, has, least| {
        let known = list.get("cpu").map_or(0, milli);
        if known != has && (has > least || known > least) {
            list.insert("cpu".to_owned(), Quantity(format!("{has}m")));
        }
    };
    let period = has.cpu_period.filter(|period| *period > 0).and_then(|p| i64::try_from(p).ok());
    if let Some(limits) = &mut out.limits {
        if let (Some(quota), Some(period)) = (has.cpu_quota.filter(|quota| *quota > 0), period) {
            set_cpu(limits, quota * 1000 / period, LEAST_LIMIT);
        }
        if let Some(bytes) = has.memory_limit.filter(|bytes| *bytes > 0)
            && limits.get("memory").map_or(0, value) != bytes
        {
            limits.insert("memory".to_owned(), Quantity(in_binary(bytes)));
        }
    }
    if let (Some(requests), Some(shares)) = (&mut out.requests, has.cpu_shares.filter(|s| *s >= 2))
    {
        let shares = i64::try_from(shares).unwrap_or(i64::MAX / 1000);
        set_cpu(requests, (shares * 1000 + 1023) / 1024, LEAST_REQUEST);
    }
    out
}

/// Bytes in the largest binary unit that divides them.
fn in_binary(bytes: i64) -> String {
    let mut amount = bytes;
    let mut units = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].iter();
    let mut unit = "";
    while amount % 1024 == 0
        && let Some(next) = units.next()
    {
        (amount, unit) = (amount / 1024, next);
    }
    format!("{amount}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::Resources;
    use serde_json::{Value, json};

    fn check(resources: Value, has: Resources, wanted: Value) {
        let allocated =
            serde_json::from_value(json!({"name": "a", "resources": resources})).unwrap();
        let mut status = crate::testing::container("a:running", 0);
        status.resources = has;
        assert_eq!(serde_json::to_value(actual(&allocated, &status)).unwrap(), wanted);
    }

    #[test]
    fn the_runtime_says_what_a_container_has() {
        let has = |shares, quota, memory| Resources {
            cpu_shares: Some(shares),
            cpu_quota: quota,
            cpu_period: Some(100_000),
            memory_limit: memory,
            ..Resources::default()
        };
        let all = json!({"requests": {"cpu": "20m", "memory": "1Mi"},
                         "limits": {"cpu": "0.03", "memory": "2048Ki"}});
        check(all.clone(), has(20, Some(3000), Some(2 << 20)), all.clone());
        check(
            all,
            has(15, Some(2500), Some(1 << 20)),
            json!({"requests": {"cpu": "15m", "memory": "1Mi"},
                   "limits": {"cpu": "25m", "memory": "1Mi"}}),
        );
        let least = json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "5m"}});
        check(least.clone(), has(2, Some(1000), None), least);
        check(json!({}), has(2, None, None), json!({}));
        let memory = json!({"requests": {"memory": "1Mi"}});
        check(memory.clone(), has(2, None, None), memory);
    }
}

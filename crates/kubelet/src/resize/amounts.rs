//! The amounts of a container that a resize changes.

use k8s_openapi::api::core::v1::Container;
use serde::{Deserialize, Serialize};

use crate::quantity::{milli, value};

/// Request and limit; zero for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) request: i64,
    pub(crate) limit: i64,
}

impl Pair {
    /// Decides the order of changes by the limit where it changes, else by the request.
    fn grows_to(self, to: Self) -> bool {
        if self.limit == to.limit { to.request > self.request } else { to.limit > self.limit }
    }
}

/// CPU and memory of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amounts {
    /// In thousandths.
    pub(crate) cpu: Pair,
    /// In bytes.
    pub(crate) memory: Pair,
}

impl Amounts {
    pub(crate) fn of(container: &Container) -> Self {
        let resources = container.resources.as_ref();
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        let limits = resources.and_then(|resources| resources.limits.as_ref());
        let pair = |name: &str, read: fn(&_) -> i64| Pair {
            request: requests.and_then(|list| list.get(name)).map_or(0, read),
            limit: limits.and_then(|list| list.get(name)).map_or(0, read),
        };
        Self { cpu: pair("cpu", milli), memory: pair("memory", value) }
    }

    /// Returns true if the change to `to` requires a restart of the container.
    pub(crate) fn needs_restart(self, to: Self, container: &Container) -> bool {
        [("cpu", self.cpu, to.cpu), ("memory", self.memory, to.memory)].iter().any(
            |(name, from, to)| {
                let mut policies = container.resize_policy.iter().flatten();
                from != to
                    && policies
                        .find(|policy| policy.resource_name == *name)
                        .is_some_and(|policy| policy.restart_policy == "RestartContainer")
            },
        )
    }

    pub(crate) fn memory_grows_to(self, to: Self) -> bool {
        self.memory.grows_to(to.memory)
    }

    pub(crate) fn cpu_grows_to(self, to: Self) -> bool {
        self.cpu.grows_to(to.cpu)
    }
}

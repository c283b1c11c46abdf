//! Names of resources (upstream's `pkg/apis/core/helper`).

use apimachinery::names::qualified_name;

/// Returns true for huge pages of some size: `hugepages-2Mi`.
#[must_use]
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Returns true for Kubernetes' own resources: without a domain, or in its domain.
#[must_use]
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Returns true for extended resources, which device plugins and drivers provide.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && qualified_name(&format!("requests.{name}")).is_empty()
}

/// Returns true if limits may exceed requests, so that the resource is overcommitted.
#[must_use]
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Returns true if pod-level resources may name it (KEP-2837).
#[must_use]
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

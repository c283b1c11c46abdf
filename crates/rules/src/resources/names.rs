//! Names of resources (upstream's `pkg/apis/core/helper`).

use apimachinery::names::qualified_name;

/// Whether it is huge pages of some size: `hugepages-2Mi`.
#[must_use]
pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether it is Kubernetes' own: without a domain, or in its domain.
#[must_use]
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether some device plugin or driver brings it.
#[must_use]
pub fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && qualified_name(&format!("requests.{name}")).is_empty()
}

/// Whether more of it may be promised (limits) than there is (requests).
#[must_use]
pub fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

/// Whether pods have it as a whole (KEP-2837).
#[must_use]
pub fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_huge_page(name)
}

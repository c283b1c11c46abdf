//! Names and amounts of resources (upstream's `validateResourceName`).

use apimachinery::names;
use apimachinery::quantity::Quantity;
use rules::resources::{is_extended, is_huge_page, is_native};

use crate::registry::check::Field;

/// Compute resources of containers.
const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Resources that a quota may limit.
const QUOTA: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resources that are counted in whole numbers.
const INTEGER: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

fn is_quota_huge_page(name: &str) -> bool {
    is_huge_page(name) || name.starts_with("requests.hugepages-")
}

/// Checks the name of any resource. Errors are reported at `field`, the entry with that key.
pub(in crate::registry) fn check_name(field: &Field<'_>, name: &str) -> bool {
    let messages = names::qualified_name(name);
    let wrong = !messages.is_empty();
    for message in messages {
        field.invalid_value(name, message);
    }
    if wrong {
        return false;
    }
    let standard = QUOTA.contains(&name) || name == "storage" || is_quota_huge_page(name);
    if !name.contains('/') && !standard {
        field.invalid_value(name, "must be a standard resource type or fully qualified");
        return false;
    }
    true
}

/// Checks the name of a container resource.
pub(in crate::registry) fn check_container_name(field: &Field<'_>, name: &str) {
    check_name(field, name);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_huge_page(name) {
            field.invalid_value(name, "must be a standard resource for containers");
        }
    } else if !is_native(name) && !is_extended(name) {
        field.invalid_value(name, "doesn't follow extended resource name standard");
    }
}

/// Checks the name of a resource that a quota may limit.
pub(in crate::registry) fn check_quota_name(field: &Field<'_>, name: &str) {
    check_name(field, name);
    if !name.contains('/') && !QUOTA.contains(&name) && !is_quota_huge_page(name) {
        field.invalid_value(name, "must be a standard resource for quota");
    }
}

/// Checks an amount: not negative, and an integer for counted resources.
pub(in crate::registry) fn check_amount(field: &Field<'_>, name: &str) {
    let amount = field.quantity();
    if amount.sign() < 0 {
        field.invalid("must be greater than or equal to 0");
    }
    let counted = INTEGER.contains(&name) || is_extended(name);
    if counted && amount.milli_value() % 1000 != 0 {
        field.invalid("must be an integer");
    }
}

/// Huge pages are allocated in whole pages.
pub(in crate::registry) fn check_huge_pages(field: &Field<'_>, name: &str) {
    let Some(size) = name.strip_prefix("hugepages-") else { return };
    let page = Quantity::parse(size).unwrap_or_default();
    let whole = page.sign() > 0 && page.milli_value() % 1000 == 0;
    if !whole || field.quantity().value() % page.value() != 0 {
        let amount = field.quantity();
        field.invalid(format!("{amount} is not positive integer multiple of {name}"));
    }
}

/// Returns true if Kubernetes itself counts the resource for quotas.
pub(in crate::registry) fn is_quota_resource(name: &str) -> bool {
    QUOTA.contains(&name) || is_quota_huge_page(name)
}

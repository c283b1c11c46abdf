//! Amounts of resources, and what pods ask for and may use
//! (upstream's `k8s.io/component-helpers/resource`).

mod amounts;
mod names;
mod pod;
mod qos;
mod read;

pub use amounts::Amounts;
pub use names::{is_extended, is_huge_page, is_native, is_pod_level, may_overcommit};
pub use pod::{ContainerResources, Demand, Given, PodResources};
pub use qos::QosClass;

//! The plugins, one file each, and their table.

mod image_locality;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_unschedulable;
mod resources_balanced;
mod resources_fit;
mod selector;
mod taint_toleration;

use crate::framework::Plugin;

/// Upstream's default order and weights.
pub(crate) static PLUGINS: &[Plugin] = &[
    node_unschedulable::PLUGIN,
    node_name::PLUGIN,
    taint_toleration::PLUGIN,
    node_affinity::PLUGIN,
    node_ports::PLUGIN,
    resources_fit::PLUGIN,
    resources_balanced::PLUGIN,
    image_locality::PLUGIN,
];

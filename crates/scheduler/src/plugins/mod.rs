//! The plugins, one file or folder each, and their table.

mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_unschedulable;
mod resources_balanced;
mod resources_fit;
mod taint_toleration;
mod topology_spread;
pub(crate) mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use crate::framework::Plugin;

/// Upstream's default order and weights. Preemption follows by itself when nothing fits.
pub(crate) static PLUGINS: &[Plugin] = &[
    node_unschedulable::PLUGIN,
    node_name::PLUGIN,
    taint_toleration::PLUGIN,
    node_affinity::PLUGIN,
    node_ports::PLUGIN,
    resources_fit::PLUGIN,
    volume_restrictions::PLUGIN,
    volume_binding::PLUGIN,
    volume_zone::PLUGIN,
    topology_spread::PLUGIN,
    inter_pod_affinity::PLUGIN,
    resources_balanced::PLUGIN,
    image_locality::PLUGIN,
];

/// State that plugins compute once per cycle; each writes its own field, and finds it empty when
/// there is nothing to filter.
#[derive(Clone, Default)]
pub(crate) struct State<'a> {
    affinity: Option<inter_pod_affinity::Counts<'a>>,
    spread: Vec<topology_spread::Domains<'a>>,
    claims: volume_binding::Claims<'a>,
    exclusive: volume_restrictions::Exclusive<'a>,
    zones: Vec<volume_zone::Zone<'a>>,
}

//! NodeName: a pod that names its node goes nowhere else.

use crate::cache::NodeInfo;
use crate::framework::{Cycle, Plugin, Rejection};

pub(super) const PLUGIN: Plugin = Plugin {
    filter: Some(filter),
    helps: |_, change| change.new_node().is_some(),
    ..Plugin::named("NodeName")
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    match crate::pod::node_name(&cycle.pod.pod) {
        Some(wanted) if wanted != node.name() => {
            Err(Rejection::unresolvable("node(s) didn't match the requested node name"))
        }
        _ => Ok(()),
    }
}

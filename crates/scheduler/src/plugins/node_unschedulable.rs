//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerates;
use crate::cache::NodeInfo;
use crate::framework::{Cycle, Plugin, Rejection};

pub(super) const PLUGIN: Plugin = Plugin {
    filter: Some(filter),
    helps: |_, change| change.node_with_new(|node| node.spec.as_ref()?.unschedulable.as_ref()),
    ..Plugin::named("NodeUnschedulable")
};

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    if !node.unschedulable() {
        return Ok(());
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    if tolerates(&cycle.pod.pod, &taint) {
        return Ok(());
    }
    Err(Rejection::unresolvable("node(s) were unschedulable"))
}

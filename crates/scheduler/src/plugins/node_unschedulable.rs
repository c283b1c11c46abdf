//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerations;
use crate::cache::NodeInfo;
use crate::framework::{Cycle, Plugin, Rejection};
use rules::tolerations::tolerates;

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
    if tolerations(&cycle.pod.pod).iter().any(|one| tolerates(one, &taint)) {
        return Ok(());
    }
    Err(Rejection::unresolvable("node(s) were unschedulable"))
}

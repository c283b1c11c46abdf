//! NodeUnschedulable: cordoned nodes take only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;

use super::taint_toleration::tolerates;
use crate::cache::NodeInfo;
use crate::framework::{Cycle, Plugin, Rejection};

pub(super) const PLUGIN: Plugin =
    Plugin { name: "NodeUnschedulable", filter: Some(filter), score: None };

fn filter(cycle: &Cycle<'_>, node: &NodeInfo) -> Result<(), Rejection> {
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    if node.unschedulable() && !tolerates(&cycle.pod.pod, &taint) {
        return Err(Rejection::unresolvable(vec!["node(s) were unschedulable".into()]));
    }
    Ok(())
}

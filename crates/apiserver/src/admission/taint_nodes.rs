//! TaintNodesByCondition: a new node takes no pods until its controller has seen it ready.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::json;

use super::{Operation, Plugin, Request};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

pub(super) struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    async fn admit(&self, request: &Request<'_>, node: &mut Object) -> Result<(), Status> {
        if request.operation != Operation::Create
            || !request.is("", "nodes")
            || request.sub.is_some()
        {
            return Ok(());
        }
        let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
        if !node["spec"].is_object() {
            node["spec"] = json!({});
        }
        match node["spec"]["taints"].as_array_mut() {
            Some(taints) if taints.iter().any(|t| t["key"] == NOT_READY) => {}
            Some(taints) => taints.push(taint),
            None => node["spec"]["taints"] = json!([taint]),
        }
        Ok(())
    }
}

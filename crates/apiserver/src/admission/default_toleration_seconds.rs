//! DefaultTolerationSeconds: pods stay on a node that is not ready or unreachable for a while.

use apimachinery::{Object, Status};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{Plugin, Request};

const SECONDS: i64 = 300;
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

pub(super) struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        let concerned = request.creates_pod() || request.updates_pod();
        if concerned && pod["spec"].is_object() {
            for taint in TAINTS {
                tolerate(pod, taint);
            }
        }
        Ok(())
    }
}

fn tolerate(pod: &mut Object, taint: &str) {
    let tolerations = pod["spec"]["tolerations"].as_array();
    let tolerated = tolerations.into_iter().flatten().any(|t| {
        let key = t["key"].as_str().unwrap_or_default();
        let effect = t["effect"].as_str().unwrap_or_default();
        (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
    });
    if tolerated {
        return;
    }
    let toleration = json!({
        "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS,
    });
    match pod["spec"]["tolerations"].as_array_mut() {
        Some(list) => list.push(toleration),
        None => pod["spec"]["tolerations"] = Value::Array(vec![toleration]),
    }
}

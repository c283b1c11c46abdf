//! Deletes pods from nodes with `NoExecute` taints they do not tolerate, or not for ever.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::EventType::Normal;
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::api::{DeleteParams, Preconditions};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::common::{meta, pod};
use crate::{Context, Outcome};
use rules::tolerations::tolerates;

struct Controller {
    context: Context,
    queue: WorkQueue<ObjectKey>,
    nodes: Store<Node>,
    pods: Store<Pod>,
    /// Since when each pod is on a node that wants it to go.
    since: Mutex<HashMap<ObjectKey, Instant>>,
}

pub(crate) async fn run(context: Context) {
    let nodes: Informer<Node> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    pod::index_by_node(pods.store());
    nodes.wait_synced().await;
    pods.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("taint_eviction"),
        nodes: nodes.store().clone(),
        pods: pods.store().clone(),
        since: Mutex::default(),
    });
    let handler = controller.clone();
    context.subscribe(&nodes, move |event| handler.node_event(&event));
    let handler = controller.clone();
    context.subscribe(&pods, move |event| handler.pod_event(&event));
    let queue = controller.queue.clone();
    let work = move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    };
    context.work(&queue, 8, work).await;
}

fn no_execute(node: &Node) -> Vec<Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").cloned().collect()
}

/// How long a pod may stay.
#[derive(Debug, PartialEq, Eq)]
enum Stay {
    Forever,
    For(Duration),
}

fn stay(tolerations: &[Toleration], taints: &[Taint]) -> Stay {
    let mut least = None;
    for taint in taints {
        let mut matching = tolerations.iter().filter(|t| tolerates(t, taint)).peekable();
        if matching.peek().is_none() {
            return Stay::For(Duration::ZERO);
        }
        for seconds in matching.filter_map(|toleration| toleration.toleration_seconds) {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            least = Some(least.map_or(seconds, |least: u64| least.min(seconds)));
        }
    }
    least.map_or(Stay::Forever, |seconds| Stay::For(Duration::from_secs(seconds)))
}

impl Controller {
    fn node_event(&self, event: &Event<Node>) {
        let changed = match event {
            Event::Added(node) => !no_execute(node).is_empty(),
            Event::Modified { old, new } => no_execute(old) != no_execute(new),
            Event::Deleted(_) => false,
        };
        if changed {
            for member in pod::on_node(&self.pods, meta::name(&**event.object())) {
                self.queue.add(ObjectKey::of(&*member));
            }
        }
    }

    fn pod_event(&self, event: &Event<Pod>) {
        let relevant = match event {
            Event::Added(pod) => pod::node(pod).is_some(),
            Event::Deleted(_) => true,
            Event::Modified { old, new } => {
                let tolerations = |pod: &Pod| pod.spec.as_ref()?.tolerations.clone();
                pod::node(old) != pod::node(new) || tolerations(old) != tolerations(new)
            }
        };
        if relevant {
            self.queue.add(ObjectKey::of(&**event.object()));
        }
    }

    async fn sync(&self, key: ObjectKey) -> Outcome {
        let target = self.pods.get(&key).filter(|pod| !meta::deleting(&**pod));
        let node = target.as_ref().and_then(|target| pod::node(target));
        let node = node.and_then(|name| self.nodes.get(&ObjectKey::cluster(name)));
        let taints = node.map(|node| no_execute(&node)).unwrap_or_default();
        let (Some(target), false) = (target, taints.is_empty()) else {
            self.since.lock().remove(&key);
            return Ok(None);
        };
        let since = *self.since.lock().entry(key).or_insert_with(Instant::now);
        let tolerations = target.spec.as_ref().and_then(|spec| spec.tolerations.as_deref());
        let Stay::For(time) = stay(tolerations.unwrap_or_default(), &taints) else {
            return Ok(None);
        };
        match time.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
            Some(left) => Ok(Some(left)),
            None => {
                let outcome = self.evict(&target).await;
                if outcome.is_ok() {
                    let late = since.elapsed().saturating_sub(time);
                    self.context.metrics().taint_deletions.inc();
                    let times = &self.context.metrics().taint_deletion_times;
                    times.observe(late.as_secs_f64());
                }
                outcome
            }
        }
    }

    async fn evict(&self, target: &Pod) -> Outcome {
        let (namespace, name) = (meta::namespace(target), meta::name(target));
        let text = format!("Marking for deletion Pod {namespace}/{name}");
        self.context.events.event(target, Normal, "TaintManagerEviction", text);
        let text = "Taint manager: deleting due to NoExecute taint";
        pod::mark_disrupted(&self.context, target, "DeletionByTaintManager", text, false).await?;
        let only = Preconditions { uid: target.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(only), ..DeleteParams::default() };
        match self.context.api::<Pod>(namespace).delete(name, &params).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_shortest_toleration_counts() {
        let taint =
            |key: &str| Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() };
        let all = json!({"operator": "Exists"});
        let a = json!({"key": "a", "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300});
        let a_short = json!({"key": "a", "operator": "Exists", "tolerationSeconds": 5});
        let b = json!({"key": "b", "operator": "Equal", "value": "x"});
        let seconds = |s| Stay::For(Duration::from_secs(s));
        for (tolerations, taints, expected) in [
            (json!([]), vec!["a"], seconds(0)),
            (json!([all]), vec!["a", "b"], Stay::Forever),
            (json!([a]), vec!["a"], seconds(300)),
            (json!([a, a_short]), vec!["a"], seconds(5)),
            (json!([a]), vec!["a", "b"], seconds(0)),
            (json!([b]), vec!["b"], seconds(0)),
        ] {
            let list: Vec<Toleration> = serde_json::from_value(tolerations.clone()).unwrap();
            let taints: Vec<Taint> = taints.into_iter().map(taint).collect();
            assert_eq!(stay(&list, &taints), expected, "{tolerations}");
        }
    }
}

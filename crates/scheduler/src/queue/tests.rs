//! Order, backoff and what wakes a pod.

use super::*;
use client::Event;
use k8s_openapi::api::core::v1::Node;
use serde_json::json;

fn pod(name: &str, priority: i32) -> Arc<PodInfo> {
    let pod = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": name},
        "spec": {"priority": priority, "containers": []},
    });
    Arc::new(PodInfo::new(Arc::new(serde_json::from_value(pod).unwrap())))
}

fn new_node() -> Change {
    Change::Node(Event::Added(Arc::new(Node::default())))
}

fn drain(queue: &mut Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.pop()).map(|p| p.key.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn priority_first_then_arrival() {
    let mut queue = Queue::default();
    for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
        queue.add(pod(name, priority));
    }
    assert_eq!(drain(&mut queue), ["b", "a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn failures_back_off() {
    let mut queue = Queue::default();
    queue.add(pod("a", 0));
    let mut waits = Vec::new();
    for _ in 0..6 {
        let popped = queue.pop().unwrap();
        queue.failed(popped);
        assert!(queue.pop().is_none());
        let at = queue.next_moment().unwrap();
        waits.push((at - Instant::now()).as_secs());
        queue.advance(at);
    }
    assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn the_unschedulable_wait_for_a_change_that_may_help_or_five_minutes() {
    let mut queue = Queue::default();
    queue.add(pod("a", 0));
    let popped = queue.pop().unwrap();
    queue.unschedulable(popped, PluginSet::default(), false);
    queue.advance(Instant::now() + Duration::from_secs(299));
    assert!(queue.pop().is_none(), "nothing has changed");
    // With nobody else waiting there is no need to back off.
    queue.changed(&new_node());
    queue.add(pod("b", 0));
    assert_eq!(drain(&mut queue), ["b", "a"]);
    queue.unschedulable(pod("a", 0), PluginSet::default(), false);
    queue.advance(Instant::now() + Duration::from_secs(300));
    assert!(queue.pop().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_same_pod_again_is_no_news_but_another_spec_is() {
    let mut queue = Queue::default();
    queue.add(pod("a", 0));
    let popped = queue.pop().unwrap();
    queue.unschedulable(popped, PluginSet::default(), false);
    queue.add(pod("a", 0));
    assert!(queue.pop().is_none());
    queue.add(pod("a", 1));
    assert!(queue.pop().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_not_tried_while_room_is_made_for_it() {
    // Failure to make room backs off: the next attempt may fail the same way.
    for (changed, done, tried) in [(false, true, false), (true, true, true), (true, false, false)] {
        let mut queue = Queue::default();
        queue.add(pod("a", 0));
        let popped = queue.pop().unwrap();
        queue.unschedulable(popped, PluginSet::default(), true);
        if changed {
            queue.changed(&new_node());
        }
        assert!(queue.pop().is_none());
        queue.preempted(&ObjectKey::new("ns", "a"), done);
        assert_eq!(queue.pop().is_some(), tried, "changed {changed}, done {done}");
    }
}

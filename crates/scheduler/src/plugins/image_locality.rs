//! ImageLocality: a node that has the images starts the pod sooner.

use crate::cache::NodeInfo;
use crate::framework::{Cycle, MAX_SCORE, Normalize, Plugin, Score};

pub(super) const PLUGIN: Plugin = Plugin {
    name: "ImageLocality",
    filter: None,
    score: Some(Score { weight: 1, of: score, normalize: Normalize::Already }),
};

/// Images below this size in sum count for nothing, above the larger (per container) for all.
const MIN_BYTES: i64 = 23 << 20;
const MAX_BYTES: i64 = 1000 << 20;

/// An image's name with its default tag.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || image.contains('@') {
        image.to_owned()
    } else {
        format!("{image}:latest")
    }
}

fn score(cycle: &Cycle<'_>, node: &NodeInfo) -> i64 {
    let Some(spec) = &cycle.pod.pod.spec else { return 0 };
    let total = cycle.cache.nodes().count().max(1) as i64;
    let images = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let (mut sum, mut count) = (0, 0);
    for container in images {
        count += 1;
        let name = tagged(container.image.as_deref().unwrap_or_default());
        if let Some(size) = node.images.get(&name) {
            // An image that few nodes have must not draw every pod to them.
            let having =
                cycle.cache.nodes().filter(|n| n.images.contains_key(&name)).count() as i64;
            sum += size * having / total;
        }
    }
    let most = MAX_BYTES * count.max(1);
    (sum.clamp(MIN_BYTES, most) - MIN_BYTES) * MAX_SCORE / (most - MIN_BYTES)
}

//! ImageLocality: a node that has the images starts the pod sooner.

use std::collections::HashMap;

use crate::cache::NodeInfo;
use crate::framework::score::each;
use crate::framework::{Cycle, MAX_SCORE, Plugin, Score};

pub(super) const PLUGIN: Plugin =
    Plugin { score: Some(Score { weight: 1, of: score }), ..Plugin::named("ImageLocality") };

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

fn score(cycle: &Cycle<'_>, nodes: &[&NodeInfo]) -> Option<Vec<i64>> {
    let spec = cycle.pod.spec()?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let images: Vec<String> =
        containers.map(|c| tagged(c.image.as_deref().unwrap_or_default())).collect();
    let most = MAX_BYTES * i64::try_from(images.len().max(1)).ok()?;
    let (mut having, mut total) = (HashMap::<&str, i64>::new(), 0);
    for node in cycle.cluster.cache.nodes() {
        total += 1;
        for image in images.iter().filter(|image| node.images.contains_key(*image)) {
            *having.entry(image).or_default() += 1;
        }
    }
    if having.is_empty() {
        return None;
    }
    each(nodes, |node| {
        // An image that few nodes have must not draw every pod to them.
        let share = |image: &String| {
            let size = node.images.get(image)?.clamp(&0, &(MAX_BYTES << 20));
            Some(size * having.get(image.as_str())? / total)
        };
        let sum: i64 = images.iter().filter_map(share).sum();
        (sum.clamp(MIN_BYTES, most) - MIN_BYTES) * MAX_SCORE / (most - MIN_BYTES)
    })
}

//! Removes unused images when the disk fills up.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use runtime::{ContainerFilter, Image};
use tokio::time::Instant;

use crate::context::Context;

/// From this share of the disk on images are removed, in percent; upstream's default.
pub(crate) const HIGH: u64 = 85;
/// Until this share is reached.
pub(crate) const LOW: u64 = 80;
/// A younger image may be about to be used.
pub(crate) const MIN_AGE: Duration = Duration::from_secs(120);

/// When images were first and last seen in use.
#[derive(Default)]
pub(super) struct ImageGc {
    /// When each image was first seen, and last seen in use.
    seen: HashMap<String, (Instant, Instant)>,
}

impl ImageGc {
    /// Looks at the disk and removes images, the least recently used first, if it is too full.
    pub(super) async fn collect(&mut self, context: &Context) {
        let runtime = &context.runtime;
        let begun = Timestamp::now();
        let (Ok(images), Ok(containers), Ok(disk)) = (
            runtime.list_images().await,
            runtime.list_containers(ContainerFilter::default()).await,
            runtime.image_fs_info().await,
        ) else {
            return;
        };
        let used: HashSet<String> = containers.into_iter().map(|c| c.image_id).collect();
        let now = Instant::now();
        self.observe(&images, &used, now);
        let mut excess =
            excess(disk.capacity_bytes, disk.capacity_bytes.saturating_sub(disk.available_bytes));
        context.images.records.prune(&images, begun);
        for image in self.candidates(images, &used, now) {
            if excess == 0 {
                return;
            }
            match runtime.remove_image(&image.id).await {
                Ok(()) => excess = excess.saturating_sub(image.size),
                Err(error) => tracing::warn!(image = image.id, %error, "image not removed"),
            }
        }
    }

    fn observe(&mut self, images: &[Image], used: &HashSet<String>, now: Instant) {
        self.seen.retain(|id, _| images.iter().any(|image| &image.id == id));
        for image in images {
            let (_, last_used) = self.seen.entry(image.id.clone()).or_insert((now, now));
            if used.contains(&image.id) {
                *last_used = now;
            }
        }
    }

    /// The images that may be removed, the least recently used first.
    fn candidates(&self, images: Vec<Image>, used: &HashSet<String>, now: Instant) -> Vec<Image> {
        let mut free: Vec<_> = images
            .into_iter()
            .filter(|image| !image.pinned && !used.contains(&image.id))
            .filter_map(|image| Some((*self.seen.get(&image.id)?, image)))
            .filter(|((first, _), _)| now.duration_since(*first) >= MIN_AGE)
            .collect();
        free.sort_by_key(|((first, last_used), _)| (*last_used, *first));
        free.into_iter().map(|(_, image)| image).collect()
    }
}

/// Bytes to free.
fn excess(capacity: u64, used: u64) -> u64 {
    let share = |percent: u64| capacity / 100 * percent;
    if capacity == 0 || used < share(HIGH) { 0 } else { used - share(LOW) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn unused_images_go_in_the_order_of_their_last_use() {
        let image = |id: &str, pinned| Image { id: id.into(), pinned, ..Image::default() };
        let images = || vec![image("a", false), image("b", false), image("c", true)];
        let mut gc = ImageGc::default();
        gc.observe(&images(), &HashSet::new(), Instant::now());
        tokio::time::advance(MIN_AGE).await;
        let now = Instant::now();
        gc.observe(&images(), &["a".to_owned()].into(), now);
        let order = |used: &[&str]| -> Vec<String> {
            let used = used.iter().map(|id| (*id).to_owned()).collect();
            gc.candidates(images(), &used, now).into_iter().map(|image| image.id).collect()
        };
        assert_eq!(order(&[]), ["b", "a"]);
        assert_eq!(order(&["b"]), ["a"]);
    }

    #[test]
    fn only_a_full_disk_counts() {
        assert_eq!((excess(1000, 849), excess(1000, 850), excess(0, 0)), (0, 50, 0));
    }
}

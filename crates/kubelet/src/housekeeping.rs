//! Periodic work: rotation of logs, removal of unused images.

mod image_gc;
mod log_rotation;

use std::time::Duration;

pub(crate) use image_gc::{HIGH as IMAGES_HIGH, LOW as IMAGES_LOW, MIN_AGE as IMAGE_MIN_AGE};
pub(crate) use log_rotation::{MAX_FILES as LOG_MAX_FILES, MAX_SIZE as LOG_MAX_SIZE};

use crate::context::Context;

/// Logs grow and disks fill slowly; upstream looks at logs every 10 s and at images every 5 min.
pub(crate) const PERIOD: Duration = Duration::from_secs(30);
const IMAGES_EVERY: u32 = 10;

/// Runs until it is dropped.
pub(crate) async fn run(context: &Context) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
    let mut images = image_gc::ImageGc::default();
    let mut round = 0;
    loop {
        ticks.tick().await;
        log_rotation::rotate(context).await;
        if round % IMAGES_EVERY == 0 {
            images.collect(context).await;
        }
        round += 1;
    }
}

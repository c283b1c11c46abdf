//! Keeps a controller running.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, EventRecorder, InformerFactory};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::context::Context;
use crate::registry::Controller;

const FIRST_RESTART: Duration = Duration::from_secs(1);
const LAST_RESTART: Duration = Duration::from_secs(60);

/// Runs `controller` until `cancel`, and again after a wait whenever it ends before.
pub(crate) async fn supervise(
    controller: &'static Controller,
    client: Client,
    informers: InformerFactory,
    settings: Arc<Settings>,
    cancel: CancellationToken,
) {
    let name = controller.name;
    let events = EventRecorder::new(client.clone(), controller.identity, "", cancel.clone());
    let mut wait = FIRST_RESTART;
    while !cancel.is_cancelled() {
        let begun = Instant::now();
        let running = settings.metrics.running.with(["kube-controller-manager", name]);
        let running = running.held();
        // Ends what this run spawned, whatever way it ends.
        let run = cancel.child_token();
        let _guard = run.clone().drop_guard();
        let context = Context {
            client: client.clone(),
            informers: informers.clone(),
            events: events.clone(),
            cancel: run.clone(),
            settings: settings.clone(),
        };
        let work = AssertUnwindSafe((controller.start)(context)).catch_unwind();
        let result = run.run_until_cancelled(work).await;
        drop(running);
        if cancel.is_cancelled() {
            return;
        }
        match result {
            Some(Err(panic)) => {
                let what = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied())
                    .unwrap_or("panic");
                tracing::error!(controller = name, what, "controller failed, restarting");
            }
            _ => tracing::error!(controller = name, "controller ended, restarting"),
        }
        if begun.elapsed() > LAST_RESTART {
            wait = FIRST_RESTART;
        }
        cancel.run_until_cancelled(tokio::time::sleep(wait)).await;
        wait = (wait * 2).min(LAST_RESTART);
    }
}

//! Keeps a controller running.

use std::sync::Arc;

use client::{Client, EventRecorder, InformerFactory};
use telemetry::task;
use tokio_util::sync::CancellationToken;

use crate::Settings;
use crate::context::Context;
use crate::registry::Controller;

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
    task::keep(name, cancel, |run| {
        let context = Context {
            name,
            client: client.clone(),
            informers: informers.clone(),
            events: events.clone(),
            cancel: run.clone(),
            settings: settings.clone(),
        };
        let running = settings.metrics.running.with(["kube-controller-manager", name]).held();
        let work = (controller.start)(context);
        async move {
            let _running = running;
            // A controller waits for events, and need not ask whether it is to end.
            run.run_until_cancelled(work).await;
        }
    })
    .await;
}

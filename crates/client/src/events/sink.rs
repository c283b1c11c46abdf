//! The task that writes correlated events to the API.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Occurrence;
use super::correlate::{Correlator, Known};
use crate::helpers::{is_not_found, now};

/// Attempts to reach the server per event, as upstream.
const ATTEMPTS: u32 = 12;
const RETRY: Duration = Duration::from_secs(10);

pub(super) struct Sink {
    client: Client,
    component: String,
    host: String,
    correlator: Correlator,
}

impl Sink {
    pub(super) fn new(client: Client, component: &str, host: &str) -> Self {
        Self {
            client,
            component: component.to_owned(),
            host: host.to_owned(),
            correlator: Correlator::default(),
        }
    }

    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Occurrence>) {
        while let Some(mut occurrence) = queue.recv().await {
            let Some(key) = self.correlator.admit(&mut occurrence, Instant::now()) else {
                continue;
            };
            let known = self.correlator.known(&key).cloned();
            let mut attempt = 1;
            let written = loop {
                match self.write(&occurrence, known.as_ref()).await {
                    Ok(known) => break Some(known),
                    Err(error) if attempt == ATTEMPTS || matches!(error, kube::Error::Api(_)) => {
                        tracing::debug!(%error, reason = occurrence.reason, "event not written");
                        break None;
                    }
                    Err(_) => {
                        attempt += 1;
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            if let Some(written) = written {
                self.correlator.wrote(key, written);
            }
        }
    }

    async fn write(&self, occurrence: &Occurrence, known: Option<&Known>) -> kube::Result<Known> {
        let namespace = occurrence
            .about
            .namespace
            .as_deref()
            .filter(|namespace| !namespace.is_empty())
            .unwrap_or("default");
        let api = Api::<Event>::namespaced(self.client.clone(), namespace);
        if let Some(known) = known {
            let count = known.count + 1;
            let patch = json!({
                "count": count,
                "lastTimestamp": now(),
                "message": occurrence.message,
            });
            match api.patch(&known.name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Ok(_) => return Ok(Known { count, ..known.clone() }),
                // It outlived its time to live: begin a new one.
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let name = occurrence.about.name.as_deref().unwrap_or_default();
        let name = format!("{name}.{:x}", Timestamp::now().as_nanosecond());
        let first = now();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.to_owned()),
                ..ObjectMeta::default()
            },
            involved_object: occurrence.about.clone(),
            type_: Some(occurrence.kind.as_str().to_owned()),
            reason: Some(occurrence.reason.clone()),
            message: Some(occurrence.message.clone()),
            count: Some(1),
            first_timestamp: Some(first.clone()),
            last_timestamp: Some(first),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: Some(self.host.clone()).filter(|host| !host.is_empty()),
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.host.clone()).filter(|host| !host.is_empty()),
            ..Event::default()
        };
        api.create(&PostParams::default(), &event).await?;
        Ok(Known { name, count: 1 })
    }
}

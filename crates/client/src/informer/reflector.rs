//! The loop that fills a store: list, then watch from there, for ever.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, pin_mut};
use kube::Client;
use kube::api::{ListParams, WatchParams};
use rand::RngExt;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::Selection;
use super::item::{Change, Page};
use crate::key::ObjectKey;

/// Objects per page of the first list.
const PAGE: u32 = 500;
/// How long one watch request lasts before it is renewed, in seconds.
const WATCH_SECONDS: u32 = 290;
/// Beyond this the server should have ended the watch itself: the connection is dead.
const WATCH_DEADLINE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 15);
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
/// An API server that is back is noticed within this time.
const BACKOFF_LAST: Duration = Duration::from_secs(10);

/// Why a watch is over.
enum Ended {
    /// The server closed it in good order, or it brought something before it broke.
    Resume,
    /// It broke before it brought anything.
    Failed(kube::Error),
    /// The version we know is too old.
    Expired,
}

/// The receiver of what arrives: the part of an informer that knows its kind. Everything else is
/// compiled once for all kinds.
pub(super) trait Sink: Send + Sync {
    /// Takes an object that is new or has changed.
    ///
    /// # Errors
    /// Not even its metadata can be read.
    fn present(&self, object: &RawValue, url: &str) -> Result<Told, serde_json::Error>;
    /// Takes the last form of an object that is gone.
    ///
    /// # Errors
    /// As [`Sink::present`].
    fn gone(&self, object: &RawValue, url: &str) -> Result<Told, serde_json::Error>;
    /// Removes all other objects: a list is complete.
    fn complete(&self, seen: &HashSet<ObjectKey>);
}

/// The identity of an object that was taken.
pub(super) struct Told {
    pub(super) key: ObjectKey,
    pub(super) version: Option<String>,
}

pub(super) struct Reflector {
    client: Client,
    /// Path of the resource.
    url: String,
    list: ListParams,
    watch: WatchParams,
    sink: Arc<dyn Sink>,
    /// The version up to which the store is current.
    version: Option<String>,
}

impl Reflector {
    pub(super) fn new(
        client: Client,
        url: String,
        selection: &Selection,
        sink: Arc<dyn Sink>,
    ) -> Self {
        let list = ListParams {
            field_selector: selection.fields.clone(),
            label_selector: selection.labels.clone(),
            limit: Some(PAGE),
            ..ListParams::default()
        };
        let watch = WatchParams {
            field_selector: selection.fields.clone(),
            label_selector: selection.labels.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            ..WatchParams::default()
        };
        Self { client, url, list, watch, sink, version: None }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Some(version) = self.version.clone() else {
                match self.relist().await {
                    Ok(version) => {
                        self.version = Some(version);
                        backoff.reset();
                    }
                    Err(error) => {
                        self.failed("list", &error, &backoff);
                        backoff.wait().await;
                    }
                }
                continue;
            };
            match self.watch(&version).await {
                Ended::Resume => backoff.reset(),
                Ended::Expired => {
                    self.version = None;
                    backoff.wait().await;
                }
                Ended::Failed(error) => {
                    self.failed("watch", &error, &backoff);
                    backoff.wait().await;
                }
            }
        }
    }

    /// A server that is away for a moment is no news, one that stays away is.
    fn failed(&self, what: &str, error: &kube::Error, backoff: &Backoff) {
        let url = &self.url;
        if backoff.is_longest() {
            tracing::warn!(url, %error, "{what} keeps failing");
        } else {
            tracing::debug!(url, %error, "{what} failed");
        }
    }

    /// Brings the store to the state of a list, object by object, and returns its version.
    async fn relist(&self) -> Result<String, kube::Error> {
        let mut params = self.list.clone();
        let mut seen = HashSet::new();
        loop {
            let request = kube::core::Request::new(&self.url).list(&params);
            let request = request.map_err(kube::Error::BuildRequest)?;
            let text = self.client.request_text(request).await?;
            let page: Page<'_> = serde_json::from_str(&text).map_err(kube::Error::SerdeError)?;
            for object in page.items {
                let taken = self.sink.present(object, &self.url);
                seen.insert(taken.map_err(kube::Error::SerdeError)?.key);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    self.sink.complete(&seen);
                    return Ok(page.metadata.resource_version.unwrap_or_default());
                }
            }
        }
    }

    async fn watch(&mut self, version: &str) -> Ended {
        let deadline = Instant::now() + WATCH_DEADLINE;
        let request = match kube::core::Request::new(&self.url).watch(&self.watch, version) {
            Ok(request) => request,
            Err(error) => return Ended::Failed(kube::Error::BuildRequest(error)),
        };
        let lines = match self.client.request_stream(request).await {
            Ok(stream) => stream.lines(),
            Err(error) => return ended(error),
        };
        pin_mut!(lines);
        let mut progress = false;
        loop {
            let line = match tokio::time::timeout_at(deadline, lines.next()).await {
                Err(_) | Ok(None) => return Ended::Resume,
                Ok(Some(Ok(line))) => line,
                Ok(Some(Err(_))) if progress => return Ended::Resume,
                Ok(Some(Err(error))) => return Ended::Failed(kube::Error::ReadEvents(error)),
            };
            let taken = match Change::read(&line) {
                Ok(Change::Present(object)) => self.sink.present(object, &self.url),
                Ok(Change::Gone(object)) => self.sink.gone(object, &self.url),
                Ok(Change::Bookmark(version)) => {
                    progress = true;
                    self.advance(version);
                    continue;
                }
                Ok(Change::Failure(status)) => return ended(kube::Error::Api(status)),
                Err(error) => Err(error),
            };
            match taken {
                Ok(told) => self.advance(told.version),
                // The line broke off with the connection.
                Err(error) if error.is_eof() => return Ended::Resume,
                Err(error) => return Ended::Failed(kube::Error::SerdeError(error)),
            }
            progress = true;
        }
    }

    fn advance(&mut self, version: Option<String>) {
        if version.is_some() {
            self.version = version;
        }
    }
}

fn ended(error: kube::Error) -> Ended {
    match &error {
        kube::Error::Api(status) if status.code == 410 || status.reason == "Expired" => {
            Ended::Expired
        }
        _ => Ended::Failed(error),
    }
}

/// Waits between failed attempts: doubling, with a random part so that many clients of a
/// restarted server do not return at the same instant.
#[derive(Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn reset(&mut self) {
        self.failures = 0;
    }

    fn full(&self) -> Duration {
        BACKOFF_FIRST.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_LAST)
    }

    /// It has failed so often that it is asked as seldom as can be.
    fn is_longest(&self) -> bool {
        self.full() == BACKOFF_LAST
    }

    async fn wait(&mut self) {
        let full = self.full();
        self.failures += 1;
        let part = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(full.mul_f64(part)).await;
    }
}

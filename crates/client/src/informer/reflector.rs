//! The loop that fills a store: list, then watch from there, for ever.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, pin_mut};
use kube::Api;
use kube::api::{ListParams, WatchParams};
use rand::RngExt;
use tokio::time::Instant;

use super::item::{Change, Page};
use super::{Kind, Selection, Shared};

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

pub(super) struct Reflector<K> {
    api: Api<K>,
    list: ListParams,
    watch: WatchParams,
    shared: Arc<Shared<K>>,
    /// The version up to which the store is current.
    version: Option<String>,
}

impl<K: Kind> Reflector<K> {
    pub(super) fn new(api: Api<K>, selection: &Selection, shared: Arc<Shared<K>>) -> Self {
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
        Self { api, list, watch, shared, version: None }
    }

    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let Some(version) = self.version.clone() else {
                match self.relist().await {
                    Ok(version) => {
                        self.version = Some(version);
                        self.shared.synced.send_replace(true);
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
        let url = self.api.resource_url();
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
            let request = kube::core::Request::new(self.api.resource_url())
                .list(&params)
                .map_err(kube::Error::BuildRequest)?;
            let page: Page<K> = self.api.clone().into_client().request(request).await?;
            for item in page.items {
                seen.insert(item.key());
                if let Some(mut object) = item.known(self.api.resource_url()) {
                    slim(&mut object);
                    self.shared.upsert(object);
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    for key in self.shared.store.keys() {
                        if !seen.contains(&key) {
                            self.shared.remove(&key, None);
                        }
                    }
                    return Ok(page.metadata.resource_version.unwrap_or_default());
                }
            }
        }
    }

    async fn watch(&mut self, version: &str) -> Ended {
        let deadline = Instant::now() + WATCH_DEADLINE;
        let url = self.api.resource_url().to_owned();
        let request = match kube::core::Request::new(&url).watch(&self.watch, version) {
            Ok(request) => request,
            Err(error) => return Ended::Failed(kube::Error::BuildRequest(error)),
        };
        let client = self.api.clone().into_client();
        let lines = match client.request_stream(request).await {
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
            let change = match Change::<K>::read(&line) {
                Ok(change) => change,
                // The line broke off with the connection.
                Err(error) if error.is_eof() => return Ended::Resume,
                Err(error) => return Ended::Failed(kube::Error::SerdeError(error)),
            };
            progress = true;
            match change {
                Change::Present(item) => {
                    self.advance(item.version());
                    if let Some(mut object) = item.known(&url) {
                        slim(&mut object);
                        self.shared.upsert(object);
                    }
                }
                Change::Gone(item) => {
                    self.advance(item.version());
                    let key = item.key();
                    let mut object = item.known(&url);
                    object.iter_mut().for_each(slim);
                    self.shared.remove(&key, object);
                }
                Change::Bookmark(version) => self.advance(version),
                Change::Failure(status) => return ended(kube::Error::Api(status)),
            }
        }
    }

    fn advance(&mut self, version: Option<String>) {
        if version.is_some() {
            self.version = version;
        }
    }
}

/// Drops what no component reads and every object carries.
fn slim<K: Kind>(object: &mut K) {
    object.meta_mut().managed_fields = None;
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

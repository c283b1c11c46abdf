//! Watches: the lines that a server sends.

use std::pin::Pin;

use anyhow::{Context, Result, bail};
use futures::io::AsyncBufRead;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{Answer, Cluster};

/// One event of a watch.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// `ADDED`, `MODIFIED`, `DELETED`, `BOOKMARK` or `ERROR`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The object, or the status of an error.
    pub object: Value,
}

impl Event {
    /// The object's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// An open watch.
pub struct Watch {
    request: String,
    lines: futures::io::Lines<Pin<Box<dyn AsyncBufRead + Send>>>,
    deadline: Instant,
}

impl Watch {
    /// Opens a watch by its path and query.
    ///
    /// # Errors
    /// A refusal, or no answer.
    pub(super) async fn open(cluster: &Cluster, path: &str) -> Result<Self> {
        let request = http::Request::get(path).body(Body::empty())?;
        let name = format!("GET {path}");
        let deadline = cluster.deadline();
        let sent = tokio::time::timeout_at(deadline, cluster.client().send(request));
        let answer = sent.await.with_context(|| format!("{name} was not answered in time"))??;
        if !answer.status().is_success() {
            let (head, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            let code = head.status.as_u16();
            Answer { request: name.clone(), code, headers: head.headers, body }.success()?;
            bail!("{name} was refused");
        }
        let body = answer.into_body().into_data_stream().map_err(std::io::Error::other);
        let reader: Pin<Box<dyn AsyncBufRead + Send>> = Box::pin(body.into_async_read());
        Ok(Self { request: name, lines: reader.lines(), deadline })
    }

    /// The next event; `None` when the server ended the watch.
    ///
    /// # Errors
    /// If none comes by the deadline, the connection breaks, or a line is no event.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        let line = tokio::time::timeout_at(self.deadline, self.lines.next()).await;
        match line.with_context(|| format!("no further event from {}", self.request))? {
            None => Ok(None),
            Some(line) => Ok(Some(serde_json::from_str(&line?)?)),
        }
    }

    /// The next event that is neither a bookmark nor the end; within the deadline.
    ///
    /// # Errors
    /// As [`Watch::next`], or if the watch ended.
    pub async fn event(&mut self) -> Result<Event> {
        loop {
            match self.next().await? {
                Some(event) if event.kind == "BOOKMARK" => {}
                Some(event) => return Ok(event),
                None => bail!("{} ended", self.request),
            }
        }
    }

    /// Demands the next event to be of a type and of an object.
    ///
    /// # Errors
    /// If it is another, or none comes.
    pub async fn expect(&mut self, kind: &str, name: &str) -> Result<Value> {
        let awaited = || format!("expected {kind} of {name} from {}", self.request);
        let context = awaited();
        let event = self.event().await.context(context.clone())?;
        if event.kind != kind || event.name() != name {
            bail!("{context}, but got {} {}: {}", event.kind, event.name(), event.object);
        }
        Ok(event.object)
    }

    /// Demands that no event but bookmarks comes for a while.
    ///
    /// # Errors
    /// If one comes or the watch ends.
    pub async fn expect_silence(&mut self, time: std::time::Duration) -> Result<()> {
        match tokio::time::timeout(time, self.event()).await {
            Err(_) => Ok(()),
            Ok(Ok(event)) => {
                bail!("expected no event from {}, but got {event:?}", self.request)
            }
            Ok(Err(error)) => Err(error),
        }
    }
}

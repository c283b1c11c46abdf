//! A scripted API server for tests: answers come in the order of the script, and each request is
//! kept for inspection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;

type Answer = UnsyncBoxBody<Bytes, std::io::Error>;

/// One scripted answer of the server.
pub(crate) enum Step {
    /// A JSON document.
    Json(StatusCode, Value),
    /// A watch: events as the test sends them; it ends when the sender is dropped, and breaks
    /// when an error is sent.
    Watch(mpsc::UnboundedReceiver<std::io::Result<Value>>),
    /// Fails at the transport.
    Refused,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) uri: String,
    pub(crate) body: Value,
}

/// The scripted server. Requests beyond the script wait for ever.
#[derive(Clone)]
pub(crate) struct Fake {
    steps: Arc<Mutex<VecDeque<Step>>>,
    seen: mpsc::UnboundedSender<Seen>,
}

impl Fake {
    /// A client of a server with this script, and the requests it makes.
    pub(crate) fn client(
        steps: impl IntoIterator<Item = Step>,
    ) -> (kube::Client, mpsc::UnboundedReceiver<Seen>) {
        let (seen, requests) = mpsc::unbounded_channel();
        let fake = Self { steps: Arc::new(Mutex::new(steps.into_iter().collect())), seen };
        let service = tower::service_fn(move |request| fake.clone().answer(request));
        (crate::transport::in_process(service, ()), requests)
    }

    async fn answer(self, request: Request<Body>) -> Result<Response<Answer>, std::io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
        let step = self.steps.lock().pop_front();
        let seen = Seen {
            method: parts.method,
            uri: parts.uri.to_string(),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        };
        let _ = self.seen.send(seen);
        match step {
            None => std::future::pending().await,
            Some(Step::Refused) => Err(std::io::ErrorKind::ConnectionRefused.into()),
            Some(Step::Json(status, value)) => {
                let body = Full::new(Bytes::from(value.to_string()));
                let body = body.map_err(|never: Infallible| match never {}).boxed_unsync();
                let mut response = Response::new(body);
                *response.status_mut() = status;
                Ok(response)
            }
            Some(Step::Watch(events)) => {
                let frames = futures::stream::unfold(events, |mut events| async move {
                    events.recv().await.map(|event| (event, events))
                })
                .map(|event| event.map(|event| Frame::data(line(&event))));
                Ok(Response::new(BodyExt::boxed_unsync(StreamBody::new(frames))))
            }
        }
    }
}

/// A line of a watch, its type first as servers send it.
fn line(event: &Value) -> Bytes {
    let (kind, object) = (&event["type"], &event["object"]);
    Bytes::from(format!("{{\"type\":{kind},\"object\":{object}}}\n"))
}

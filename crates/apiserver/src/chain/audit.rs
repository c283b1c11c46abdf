//! Records the course of a request in its audit trail.
//!
//! A request that is not audited passes at the price of the policy's rules; without an audit, of one
//! comparison.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apimachinery::Status;
use apimachinery::codec::protobuf;
use bytes::Bytes;
use futures::future::{BoxFuture, Either};
use futures::{FutureExt, StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde_json::Value;
use telemetry::task;
use tower::Service;

use super::{Outcome, Received, Step};
use crate::audit::{Asked, Audit, AuditId, Level, PeerAddress, Said, Stage, Trail};
use crate::body::{self, Body, BoxError};
use crate::limits;
use crate::routes;

/// Largest answer that is part of an event: a list may be larger than the memory for it.
const LARGEST_ANSWER: usize = 10 << 20;

#[derive(Clone)]
pub(super) struct Record<S>(pub(super) S);

impl<S: Step<Received>> Service<Received> for Record<S> {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Either<S::Future, BoxFuture<'static, Outcome>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut received: Received) -> Self::Future {
        let Some(trail) = begin(&received) else { return Either::Left(self.0.call(received)) };
        if !trail.pass(Stage::RequestReceived) {
            if let Some(auditor) = &received.server.audit {
                auditor.metrics.rejected.inc();
            }
            let text = "Internal Server Error: failed to store audit event\n";
            let answer = routes::plain(StatusCode::INTERNAL_SERVER_ERROR, text);
            return Either::Right(Box::pin(std::future::ready(Ok(answer))));
        }
        received.audit = Audit::of(&trail);
        let lasts = limits::is_long_running(&received.info);
        let allotted = limits::allotted(&received.query).ok().filter(|_| !lasts);
        // Answers of other servers are not read.
        let own =
            received.info.is_resource && received.server.backends.of(&received.info).is_none();
        let end = Arc::new(End {
            trail: trail.clone(),
            begun: received.stages.begun(),
            allotted,
            lasts,
            told: AtomicBool::new(false),
        });
        if lasts {
            // A stream that leaves HTTP holds it to its end.
            received.request.extensions_mut().insert(Held(Some(end.clone())));
        }
        let mut inner = self.0.clone();
        Either::Right(Box::pin(async move {
            let serve = AssertUnwindSafe(async { inner.call(received).await });
            let outcome = serve.catch_unwind().await.unwrap_or_else(|panic| {
                end.panicked(task::panic_text(&*panic));
                resume_unwind(panic)
            });
            let mut response = match outcome {
                Ok(response) => response,
                Err(status) => {
                    trail.refused(&status);
                    if lasts {
                        trail.pass(Stage::ResponseStarted);
                    }
                    return Err(status);
                }
            };
            let said = response.extensions_mut().remove::<Said>();
            trail.answered(response.status().as_u16(), said.as_ref().map(|said| &said.0));
            if lasts {
                trail.pass(Stage::ResponseStarted);
                return Ok(response.map(|body| Lasting { body, _end: end }.boxed_unsync()));
            }
            if own && trail.level() == Level::RequestResponse {
                return Ok(read_answer(&trail, response).await);
            }
            Ok(response)
        }))
    }
}

/// The trail of a request, if it is audited.
fn begin(received: &Received) -> Option<Arc<Trail>> {
    let auditor = received.server.audit.as_ref()?;
    let request = &received.request;
    let peer = request.extensions().get::<PeerAddress>();
    auditor.begin(&Asked {
        uri: request.uri(),
        headers: request.headers(),
        audit_id: request.extensions().get::<AuditId>().map(|id| &id.0),
        peer: peer.map(|peer| peer.0),
        info: &received.info,
        user: received.user.as_ref(),
        begun: received.stages.begun(),
    })
}

/// Records a request whose sender could not be authenticated.
pub(super) fn unauthenticated(received: &Received, status: &Status) {
    if let Some(trail) = begin(received) {
        trail.refused(status);
        trail.pass(Stage::ResponseStarted);
    }
}

/// Reads the object of an answer, which is sent nevertheless.
async fn read_answer(trail: &Trail, response: Response<Body>) -> Response<Body> {
    let (parts, body) = response.into_parts();
    let mut body = BodyStream::new(body);
    let (mut read, mut size) = (Vec::new(), 0);
    while size <= LARGEST_ANSWER {
        match body.next().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                size += data.len();
                read.push(data);
            }
            Some(Err(why)) => {
                // The client sees the same failure, after the same bytes.
                let before = stream::iter(read.into_iter().map(Ok));
                let rest = before.chain(stream::iter([Err(why)]));
                return Response::from_parts(parts, body::stream(rest));
            }
            None => {
                let whole = Bytes::from(read.concat());
                let media_type = parts.headers.get(CONTENT_TYPE);
                let media_type = media_type.and_then(|value| value.to_str().ok());
                match decode(media_type.unwrap_or_default(), &whole) {
                    Some(object) => trail.answer_object(object),
                    None if whole.is_empty() => {}
                    None => tracing::warn!(media_type, "an answer is not readable for the audit"),
                }
                return Response::from_parts(parts, body::full(whole));
            }
        }
    }
    trail.answer_left_out();
    let rest = body.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()));
    let all = stream::iter(read.into_iter().map(Ok::<_, BoxError>)).chain(rest);
    Response::from_parts(parts, body::stream(all))
}

fn decode(media_type: &str, bytes: &Bytes) -> Option<Value> {
    match media_type.split(';').next()? {
        "application/json" => serde_json::from_slice(bytes).ok(),
        "application/yaml" => Some(apimachinery::codec::yaml::decode(bytes).ok()?.0),
        "application/vnd.kubernetes.protobuf" => protobuf::decode(bytes).ok(),
        _ => None,
    }
}

/// Request extension of a long-running request: whoever holds it keeps the request from being
/// complete.
#[derive(Clone)]
pub(crate) struct Held(Option<Arc<End>>);

impl Held {
    /// Takes it from a request.
    pub(crate) fn of(request: &mut http::Request<Body>) -> Self {
        request.extensions_mut().remove().unwrap_or(Self(None))
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Held").field(&self.0.is_some()).finish()
    }
}

/// Completes the trail when nobody holds it any more.
struct End {
    trail: Arc<Trail>,
    begun: Instant,
    allotted: Option<Duration>,
    lasts: bool,
    /// A panic was the end.
    told: AtomicBool,
}

impl End {
    fn panicked(&self, text: &str) {
        self.told.store(true, Ordering::Relaxed);
        let mut status = Status::internal("");
        status.message = format!("APIServer panic'd: {text}");
        status.details = None;
        self.trail.refused(&status);
        self.trail.pass(Stage::Panic);
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.told.load(Ordering::Relaxed) {
            return;
        }
        if !self.trail.is_answered() {
            let late = self.allotted.is_some_and(|time| self.begun.elapsed() >= time);
            let mut status = if late {
                let why = "request did not complete within the allotted timeout";
                Status::timeout(why, 0)
            } else {
                Status { message: "Connection closed early".to_owned(), ..Status::success() }
            };
            if !late {
                status.code = 200;
            }
            self.trail.refused(&status);
            if self.lasts {
                self.trail.pass(Stage::ResponseStarted);
            }
        }
        self.trail.pass(Stage::ResponseComplete);
    }
}

/// The body of a long-running request, which ends with it.
struct Lasting {
    body: Body,
    _end: Arc<End>,
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

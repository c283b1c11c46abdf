//! Logs each request: its span, its outcome, and where a slow one spent its time.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use parking_lot::Mutex;
use tower::Service;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::Arrival;
use crate::audit::AuditId;
use crate::body::Body;
use crate::flow_control::Matched;

/// Identifies a request, in the log and to its client.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// The flow schema and the priority level of a request, by uid.
const FLOW_SCHEMA: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const PRIORITY_LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");
/// Maximum length of a client's audit ID in the log (upstream's `maxAuditIDLength`).
const MAX_LOGGED: usize = 64;
/// A request that takes longer is logged.
const SLOW: Duration = Duration::from_secs(1);

/// Stages that a request has passed, by the time since its start. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Stages(Arc<Inner>);

struct Inner {
    begun: Instant,
    matched: OnceLock<Matched>,
    passed: Mutex<Vec<(&'static str, Duration)>>,
}

impl Stages {
    pub(crate) fn new(begun: Instant) -> Self {
        // The number of stages of a write.
        let passed = Mutex::new(Vec::with_capacity(8));
        Self(Arc::new(Inner { begun, matched: OnceLock::new(), passed }))
    }

    /// Records the flow schema and priority level, which every answer tells from then on.
    pub(crate) fn matched(&self, matched: Matched) {
        // A request is classified once.
        self.0.matched.set(matched).ok();
    }

    /// Records that the request has passed this stage.
    pub(crate) fn passed(&self, stage: &'static str) {
        self.0.passed.lock().push((stage, self.0.begun.elapsed()));
    }

    /// The arrival time of the request.
    pub(crate) fn begun(&self) -> Instant {
        self.0.begun
    }

    /// Called when the answer is made. `lasts` is true for a long-running request.
    fn ended(&self, status: StatusCode, lasts: bool) {
        let (took, status) = (self.0.begun.elapsed(), status.as_u16());
        if took >= SLOW && !lasts {
            tracing::info!(status, ?took, stages = %self, "slow request");
        } else {
            tracing::debug!(status, ?took, stages = %self, "request");
        }
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = Duration::ZERO;
        for (i, (stage, at)) in self.0.passed.lock().iter().enumerate() {
            let separator = if i > 0 { ", " } else { "" };
            write!(f, "{separator}{stage} {:?}", at.saturating_sub(before))?;
            before = *at;
        }
        Ok(())
    }
}

/// Gives a request its ID and span, and logs its end.
#[derive(Clone)]
pub(crate) struct Trace<S>(pub(crate) S);

impl<S> Service<Arrival> for Trace<S>
where
    S: Service<Arrival, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut arrival: Arrival) -> Self::Future {
        let (request, stages) = (&arrival.request, arrival.stages.clone());
        let audit_id = audit_id(request.headers());
        let span = span(&audit_id, request.method(), request.uri().path());
        if arrival.server.audit.is_some() {
            arrival.request.extensions_mut().insert(AuditId(audit_id.clone()));
        }
        let inner = span.in_scope(|| self.0.call(arrival));
        Box::pin(
            async move {
                let mut response = inner.await?;
                let lasts = response.extensions_mut().remove::<Lasts>().is_some();
                stages.ended(response.status(), lasts);
                let headers = response.headers_mut();
                headers.entry(AUDIT_ID).or_insert(audit_id);
                if let Some(Matched { schema, level }) = stages.0.matched.get() {
                    headers.insert(FLOW_SCHEMA, schema.clone());
                    headers.insert(PRIORITY_LEVEL, level.clone());
                }
                Ok(response)
            }
            .instrument(span),
        )
    }
}

/// Response extension that marks a long-running request.
#[derive(Clone, Copy)]
pub(super) struct Lasts;

/// The client's audit ID, or a new one.
fn audit_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(AUDIT_ID).filter(|id| !id.is_empty()).cloned();
    given.unwrap_or_else(|| {
        let mut text = uuid::Uuid::encode_buffer();
        let text: &str = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
        // Hexadecimal digits and hyphens are a valid header value.
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
    })
}

fn span(audit_id: &HeaderValue, method: &Method, path: &str) -> Span {
    let shown = audit_id.to_str().unwrap_or("not text");
    let shown = shown.get(..MAX_LOGGED).unwrap_or(shown);
    tracing::info_span!("request", audit_id = shown, %method, path, user = Empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_name_its_request() {
        let mut headers = HeaderMap::new();
        assert_eq!(audit_id(&headers).to_str().unwrap().len(), 36);
        let long = "x".repeat(200);
        headers.insert(AUDIT_ID, long.parse().unwrap());
        assert_eq!(audit_id(&headers), *long);
    }

    #[test]
    fn stages_are_shown_by_what_each_took() {
        let begun = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        let stages = Stages::new(begun);
        stages.0.passed.lock().push(("authorized", Duration::from_millis(2)));
        stages.0.passed.lock().push(("committed", Duration::from_millis(1502)));
        assert_eq!(stages.to_string(), "authorized 2ms, committed 1.5s");
    }
}

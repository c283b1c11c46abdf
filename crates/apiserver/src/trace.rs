//! Each request in the log: its span, how it ended, and where a slow one spent its time.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use parking_lot::Mutex;
use tracing::Span;
use tracing::field::Empty;

/// Names a request, in the log and to its client.
pub(crate) const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// As much of a client's own audit ID as the log repeats (upstream's `maxAuditIDLength`).
const MAX_LOGGED: usize = 64;
/// A request that takes longer is worth a line.
const SLOW: Duration = Duration::from_secs(1);

/// Where a request has come, by the time since its begin. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Stages(Arc<Inner>);

struct Inner {
    begun: Instant,
    passed: Mutex<Vec<(&'static str, Duration)>>,
}

impl Stages {
    fn new(begun: Instant) -> Self {
        // As many as a write passes.
        Self(Arc::new(Inner { begun, passed: Mutex::new(Vec::with_capacity(8)) }))
    }

    /// The request has done this.
    pub(crate) fn passed(&self, stage: &'static str) {
        self.0.passed.lock().push((stage, self.0.begun.elapsed()));
    }
}

impl Default for Stages {
    fn default() -> Self {
        Self::new(Instant::now())
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

/// A request under way.
pub(crate) struct Trace {
    pub(crate) span: Span,
    pub(crate) stages: Stages,
    audit_id: HeaderValue,
    begun: Instant,
}

impl Trace {
    /// Begins with the request's line and headers.
    pub(crate) fn begin(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let audit_id = headers.get(AUDIT_ID).filter(|id| !id.is_empty()).cloned();
        let audit_id = audit_id.unwrap_or_else(|| {
            let mut text = uuid::Uuid::encode_buffer();
            let text: &str = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text);
            // Hexadecimal digits and hyphens make a header's value.
            HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
        });
        let shown = audit_id.to_str().unwrap_or("not text");
        let shown = shown.get(..MAX_LOGGED).unwrap_or(shown);
        let span = tracing::info_span!("request", audit_id = shown, %method, path, user = Empty);
        let begun = Instant::now();
        Self { span, stages: Stages::new(begun), audit_id, begun }
    }

    /// The answer has been made. `lasts` says that it was not meant to come soon.
    pub(crate) fn end(self, status: StatusCode, lasts: bool) -> HeaderValue {
        let _entered = self.span.entered();
        let (took, status) = (self.begun.elapsed(), status.as_u16());
        if took >= SLOW && !lasts {
            tracing::info!(status, ?took, stages = %self.stages, "slow request");
        } else {
            tracing::debug!(status, ?took, stages = %self.stages, "request");
        }
        self.audit_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_may_name_its_request() {
        let mut headers = HeaderMap::new();
        let made = Trace::begin(&Method::GET, "/", &headers).end(StatusCode::OK, false);
        assert_eq!(made.to_str().unwrap().len(), 36);
        let long = "x".repeat(200);
        headers.insert(AUDIT_ID, long.parse().unwrap());
        let kept = Trace::begin(&Method::GET, "/", &headers).end(StatusCode::OK, false);
        assert_eq!(kept, *long);
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

//! The audit: a record of who asked for what, as an administrator's policy wants it.
//!
//! A request that the policy selects has a [`Trail`]: the event that it fills on its way, which goes
//! to the backends at each stage. The layer `chain/audit.rs` begins and ends it.

mod backend;
mod event;
mod file;
mod options;
mod policy;
mod webhook;

use std::net::IpAddr;
use std::sync::Arc;

use apimachinery::{Status, names, time};
use http::{HeaderMap, HeaderValue, Uri};
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

pub(crate) use event::cut;
pub use options::{
    AuditError, AuditFormat, AuditLog, AuditMode, AuditOptions, AuditTruncate, AuditWebhook,
};
pub(crate) use policy::{Level, Stage};

use backend::{Backend, Out, Record};
use event::{Begun, Event};
use policy::{Policy, Scope};

use crate::metrics::Audit as Metrics;
use crate::request::RequestInfo;
use crate::server::Server;
use crate::user::User;

/// Request extension: the audit ID.
#[derive(Clone)]
pub(crate) struct AuditId(pub(crate) HeaderValue);

/// Request extension: the other end of the connection.
#[derive(Clone, Copy)]
pub(crate) struct PeerAddress(pub(crate) IpAddr);

/// Response extension: the Status that is the body.
#[derive(Clone)]
pub(crate) struct Said(pub(crate) Value);

/// The policy and the backends.
pub(crate) struct Auditor {
    policy: Policy,
    backends: Vec<Backend>,
    pub(crate) metrics: Metrics,
}

/// The tasks of backends, before they run.
#[derive(Default)]
pub(crate) struct Tasks {
    log: Option<backend::LogTask>,
    webhook: Option<(webhook::Webhook, backend::Buffered)>,
}

impl Auditor {
    /// Reads the policy and opens the backends; `None` if nothing is to be audited.
    ///
    /// # Errors
    /// The audit cannot be as it is configured.
    pub(crate) fn open(
        options: &AuditOptions,
        metrics: Metrics,
    ) -> Result<Option<(Arc<Self>, Tasks)>, AuditError> {
        options.check()?;
        let policy = options.policy_file.as_deref().map(Policy::of_file).transpose()?;
        let (mut backends, mut tasks) = (Vec::new(), Tasks::default());
        if let Some(log) = &options.log {
            let (backend, buffered) = Backend::of_log(log)?;
            backends.push(backend);
            tasks.log = buffered;
        }
        if let Some(options) = &options.webhook {
            let (backend, webhook, buffered) = webhook::open(options)?;
            backends.push(backend);
            tasks.webhook = Some((webhook, buffered));
        }
        let Some(policy) = policy else {
            if !backends.is_empty() {
                tracing::warn!("no audit policy file provided, no events will be recorded");
            }
            return Ok(None);
        };
        if backends.is_empty() {
            tracing::warn!("an audit policy without a log or a webhook has no effect");
            return Ok(None);
        }
        Ok(Some((Arc::new(Self { policy, backends, metrics }), tasks)))
    }

    /// Runs the tasks of backends, which end with the server.
    pub(crate) fn run(&self, tasks: Tasks, server: &Arc<Server>) {
        if let Some((log, buffered)) = tasks.log {
            backend::write_buffered(log, buffered, self.metrics.clone());
        }
        if let Some((webhook, buffered)) = tasks.webhook {
            webhook.run(buffered, self.metrics.clone(), Arc::downgrade(server));
        }
    }

    /// Returns when the events so far are written or lost.
    pub(crate) async fn flush(&self) {
        for backend in &self.backends {
            if let Out::Later(buffer) = &backend.out {
                buffer.flush().await;
            }
        }
    }

    /// The trail of a request; `None` if the policy does not want any.
    pub(crate) fn begin(self: &Arc<Self>, asked: &Asked<'_>) -> Option<Arc<Trail>> {
        let scope = self.policy.scope(asked.user, asked.info);
        self.metrics.level(scope.level.name());
        if scope.level == Level::None {
            return None;
        }
        let now = jiff::Timestamp::now();
        let age = jiff::SignedDuration::try_from(asked.begun.elapsed()).unwrap_or_default();
        let audit_id = asked.audit_id.map(|id| String::from_utf8_lossy(id.as_bytes()).into_owned());
        let event = Event::new(Begun {
            level: scope.level,
            audit_id: audit_id.unwrap_or_default(),
            uri: asked.uri,
            headers: asked.headers,
            peer: asked.peer,
            info: asked.info,
            user: asked.user,
            received: time::micro(now.saturating_sub(age).unwrap_or(now)),
        });
        Some(Arc::new(Trail { auditor: self.clone(), scope, event: Mutex::new(event) }))
    }
}

/// The beginning of a trail.
pub(crate) struct Asked<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) audit_id: Option<&'a HeaderValue>,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) info: &'a RequestInfo,
    pub(crate) user: Option<&'a User>,
    pub(crate) begun: std::time::Instant,
}

/// The event of one request on its way.
pub(crate) struct Trail {
    auditor: Arc<Auditor>,
    scope: Scope,
    event: Mutex<Event>,
}

impl Trail {
    /// Sends the event at a stage. Returns false if the request must not go on.
    pub(crate) fn pass(&self, stage: Stage) -> bool {
        if self.scope.omitted.contains(&stage) {
            return true;
        }
        let metrics = &self.auditor.metrics;
        let event = &mut *self.event.lock();
        event.stage = stage;
        if stage != Stage::RequestReceived {
            event.stage_timestamp = time::now_micro();
        }
        metrics.events.inc();
        let record = match Record::of(event) {
            Ok(record) => record,
            Err(why) => {
                for backend in &self.auditor.backends {
                    backend::lost(metrics, backend.name, &why.to_string(), &event.text());
                }
                return true;
            }
        };
        // All of them, even if one fails.
        let mut all = true;
        for backend in &self.auditor.backends {
            all &= backend.take(event, &record, metrics);
        }
        all
    }

    pub(crate) fn level(&self) -> Level {
        self.scope.level
    }

    /// Records the code of an answer, and the Status that it is, if it is one.
    pub(crate) fn answered(&self, code: u16, said: Option<&Value>) {
        let mut event = self.event.lock();
        if let Some(said) = said {
            event.response_status = Some(event::of_status(said));
        }
        event.answered(code);
    }

    /// Records the Status that is the answer.
    pub(crate) fn refused(&self, status: &Status) {
        self.event.lock().answered_with(status);
        if self.scope.level == Level::RequestResponse {
            self.answer_object(status.to_value());
        }
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.event.lock().response_status.is_some()
    }

    /// Records the object that is the answer.
    pub(crate) fn answer_object(&self, object: Value) {
        let object = self.raw(object);
        self.event.lock().response_object = object;
    }

    /// Records that the answer is too large to be in an event.
    pub(crate) fn answer_left_out(&self) {
        self.event.lock().mark_truncated();
    }

    fn raw(&self, mut object: Value) -> Option<Box<RawValue>> {
        if self.scope.omit_managed_fields {
            event::without_managed_fields(&mut object);
        }
        let encoded = to_raw_value(&object);
        encoded.inspect_err(|why| tracing::error!(%why, "encoding an object for the audit")).ok()
    }
}

/// The trail of a request, if it has one. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Audit(Option<Arc<Trail>>);

impl Audit {
    pub(crate) fn of(trail: &Arc<Trail>) -> Self {
        Self(Some(trail.clone()))
    }

    /// Returns true if the request is audited.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns true if at least this much of the request is recorded.
    pub(crate) fn wants(&self, level: Level) -> bool {
        self.0.as_ref().is_some_and(|trail| trail.scope.level >= level)
    }

    /// Adds an annotation; the first value of a key stays.
    pub(crate) fn annotate(&self, key: &str, value: impl Into<String>) {
        if let Some(trail) = &self.0 {
            trail.event.lock().annotate(key, value.into());
        }
    }

    /// Adds an annotation whose key others have chosen.
    pub(crate) fn annotate_as_asked(&self, key: &str, value: impl Into<String>) {
        if !self.is_on() {
            return;
        }
        let faults = names::qualified_name(key);
        if key.matches('/').count() == 1 && faults.is_empty() {
            self.annotate(key, value);
        } else {
            tracing::warn!(key, ?faults, "admission annotation key has invalid format");
        }
    }

    /// Records the user that the request impersonates.
    pub(crate) fn impersonates(&self, user: &User, constraint: Option<&'static str>) {
        if let Some(trail) = &self.0 {
            trail.event.lock().impersonates(user, constraint);
        }
    }

    /// Records the object of the request. `complete` makes of it what it is with its defaults.
    pub(crate) fn requests(&self, object: &Value, complete: impl FnOnce(&mut Value)) {
        let Some(trail) = &self.0 else { return };
        trail.event.lock().refer_to(object);
        if trail.scope.level >= Level::Request {
            let mut object = object.clone();
            complete(&mut object);
            self.set_request(trail, object);
        }
    }

    /// Records the patch, or the options of a deletion, that the request is.
    pub(crate) fn requests_as_it_is(&self, body: &Value) {
        if let Some(trail) = self.0.as_ref().filter(|trail| trail.scope.level >= Level::Request) {
            self.set_request(trail, body.clone());
        }
    }

    fn set_request(&self, trail: &Trail, object: Value) {
        let object = trail.raw(object);
        // Objects that a request makes on its way are not what was asked for.
        trail.event.lock().request_object.get_or_insert_with(|| object.unwrap_or_default());
    }
}

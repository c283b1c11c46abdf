//! Counts, durations and sizes of requests.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use parking_lot::{Mutex, RwLock};
use telemetry::metrics::{Counter, Desc, Family, Gauge, Histogram, Registry, buckets};

use super::in_flight::{InFlight, Place};
use super::long_running::Observed;
use crate::chain::Outcome;
use crate::limits;
use crate::registry::Kind;
use crate::request::{Query, RequestInfo};

/// Durations in seconds.
const DURATIONS: [f64; 23] = [
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0,
    10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
];

/// The value of the label `component`.
const COMPONENT: &str = "apiserver";

/// Labels of a request. No client input is used: the words come from this server's own tables, so
/// the number of series is bounded by its kinds, verbs and scopes.
#[derive(Clone, Copy)]
struct Labels {
    verb: &'static str,
    dry_run: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
    scope: &'static str,
}

/// Words are compared by address: every request is looked up, and comparing text would take ten
/// times as long. The same word at two addresses makes two entries for the same series.
impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.words().into_iter().zip(other.words()).all(|(a, b)| std::ptr::eq(a, b))
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for word in self.words() {
            state.write_usize(word.as_ptr() as usize);
        }
    }
}

impl Labels {
    fn words(&self) -> [&'static str; 7] {
        let Self { verb, dry_run, group, version, resource, subresource, scope } = *self;
        [verb, dry_run, group, version, resource, subresource, scope]
    }

    /// The labels of a request; `None` if it is not counted because this server does not serve it.
    fn of(
        info: &RequestInfo,
        kind: Option<&Kind>,
        query: &Query,
        headers: &HeaderMap,
    ) -> Option<Self> {
        let scope = scope(info);
        let verb = verb(info, scope, headers);
        let dry_run = dry_run(query);
        let none =
            Self { verb, dry_run, group: "", version: "", resource: "", subresource: "", scope };
        if !info.is_resource {
            let path = ["/healthz", "/livez", "/readyz"].into_iter().find(|p| *p == info.path)?;
            return Some(Self { subresource: path, ..none });
        }
        let kind = kind?;
        let subresource = match info.subresource.as_str() {
            "" => "",
            name => kind.subs.iter().map(|sub| sub.name()).find(|sub| *sub == name)?,
        };
        let (group, version, resource) = (kind.group, kind.version, kind.resource);
        Some(Self { group, version, resource, subresource, ..none })
    }
}

/// The scope of a request.
fn scope(info: &RequestInfo) -> &'static str {
    match info {
        info if !info.is_resource => "",
        info if info.named || info.verb == "create" => "resource",
        info if !info.namespace.is_empty() => "namespace",
        _ => "cluster",
    }
}

/// Upstream's verb for a request.
fn verb(info: &RequestInfo, scope: &str, headers: &HeaderMap) -> &'static str {
    const APPLY: &str = "application/apply-patch+yaml";
    if limits::is_stream(info) {
        return "CONNECT";
    }
    match info.method {
        _ if info.verb == "watch" => "WATCH",
        Method::GET | Method::HEAD if matches!(scope, "resource" | "") => "GET",
        Method::GET | Method::HEAD => "LIST",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH if headers.get(CONTENT_TYPE).is_some_and(|value| value == APPLY) => "APPLY",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

fn dry_run(query: &Query) -> &'static str {
    let mut found = "";
    for value in query.all("dryRun") {
        match value {
            "All" => found = "All",
            _ => return "invalid",
        }
    }
    found
}

/// The series of one set of labels, looked up once.
struct Series {
    duration: Histogram,
    /// Only for requests that change something or read.
    level: Option<Histogram>,
    size: Option<Histogram>,
    /// By status code.
    counts: Mutex<Vec<(StatusCode, Counter)>>,
}

/// Metric families with these labels.
pub(crate) struct Requests {
    in_flight: InFlight,
    total: Family<Counter, 9>,
    durations: Family<Histogram, 8>,
    levels: Family<Histogram, 7>,
    sizes: Family<Histogram, 7>,
    long_running: Family<Gauge, 7>,
    terminations: Family<Counter, 8>,
    deprecated: Family<Gauge, 5>,
    known: RwLock<HashMap<Labels, Arc<Series>>>,
}

/// A tracked request.
pub(crate) struct Tracked {
    labels: Option<Labels>,
    deprecated: bool,
    lasts: bool,
    begun: Instant,
    _place: Option<Place>,
}

impl Requests {
    pub(super) fn new(registry: &Registry) -> Self {
        let labels = ["verb", "group", "version", "resource", "subresource", "scope", "component"];
        Self {
            in_flight: InFlight::new(registry),
            total: registry.counters(
                Desc::stable(
                    "apiserver_request_total",
                    "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.",
                ),
                [
                    "verb",
                    "dry_run",
                    "group",
                    "version",
                    "resource",
                    "subresource",
                    "scope",
                    "component",
                    "code",
                ],
            ),
            durations: registry.histograms(
                Desc::stable(
                    "apiserver_request_duration_seconds",
                    "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.",
                ),
                [
                    "verb",
                    "dry_run",
                    "group",
                    "version",
                    "resource",
                    "subresource",
                    "scope",
                    "component",
                ],
                &DURATIONS,
            ),
            levels: registry.histograms(
                Desc::alpha(
                    "apiserver_request_sli_duration_seconds",
                    "Response latency distribution (not counting webhook duration and priority & fairness queue wait times) in seconds for each verb, group, version, resource, subresource, scope and component.",
                ),
                labels,
                &DURATIONS[2..],
            ),
            sizes: registry.histograms(
                Desc::stable(
                    "apiserver_response_sizes",
                    "Response size distribution in bytes for each group, version, verb, resource, subresource, scope and component.",
                ),
                labels,
                &buckets::exponential(1000.0, 10.0, 7),
            ),
            long_running: registry.gauges(
                Desc::stable(
                    "apiserver_longrunning_requests",
                    "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.",
                ),
                labels,
            ),
            terminations: registry.counters(
                Desc::alpha(
                    "apiserver_request_terminations_total",
                    "Number of requests which apiserver terminated in self-defense.",
                ),
                [
                    "verb",
                    "group",
                    "version",
                    "resource",
                    "subresource",
                    "scope",
                    "component",
                    "code",
                ],
            ),
            deprecated: registry.gauges(
                Desc::stable(
                    "apiserver_requested_deprecated_apis",
                    "Gauge of deprecated APIs that have been requested, broken out by API group, version, resource, subresource, and removed_release.",
                ),
                ["group", "version", "resource", "subresource", "removed_release"],
            ),
            known: RwLock::default(),
        }
    }

    /// Starts tracking a request.
    pub(crate) fn begin(
        &self,
        info: &RequestInfo,
        kind: Option<&Kind>,
        query: &Query,
        headers: &HeaderMap,
        begun: Instant,
    ) -> Tracked {
        let lasts = limits::is_long_running(info);
        Tracked {
            labels: Labels::of(info, kind, query, headers),
            deprecated: kind.is_some_and(|kind| kind.deprecated.is_some()),
            lasts,
            begun,
            _place: (!lasts).then(|| self.in_flight.enter(!info.is_read())),
        }
    }

    fn series(&self, labels: Labels) -> Arc<Series> {
        if let Some(series) = self.known.read().get(&labels) {
            return series.clone();
        }
        let Labels { verb, dry_run, group, version, resource, subresource, scope } = labels;
        let seven = [verb, group, version, resource, subresource, scope, COMPONENT];
        let eight = [verb, dry_run, group, version, resource, subresource, scope, COMPONENT];
        let reads =
            matches!(verb, "GET" | "LIST" | "WATCH") || (verb == "CONNECT" && subresource == "log");
        let series = Arc::new(Series {
            duration: self.durations.with(eight),
            level: dry_run.is_empty().then(|| self.levels.with(seven)),
            size: reads.then(|| self.sizes.with(seven)),
            counts: Mutex::default(),
        });
        self.known.write().entry(labels).or_insert(series).clone()
    }

    /// Records that a request was ended before its handler, to protect this server.
    fn terminated(&self, labels: &Labels, code: StatusCode) {
        let Labels { verb, group, version, resource, subresource, scope, .. } = *labels;
        let code = code.as_str();
        let values = [verb, group, version, resource, subresource, scope, COMPONENT, code];
        self.terminations.with(values).inc();
    }

    /// Records the end of a request. One that was refused before its handler is counted by the
    /// layer that refused it, except for overload protection.
    pub(crate) fn end(self: &Arc<Self>, tracked: Tracked, outcome: Outcome) -> Outcome {
        let Some(labels) = tracked.labels else { return outcome };
        let response = match outcome {
            Ok(response) => response,
            Err(status) => {
                let code = StatusCode::from_u16(status.code).unwrap_or_default();
                if matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::GATEWAY_TIMEOUT) {
                    self.terminated(&labels, code);
                    self.observe(labels, code, tracked.begun, None);
                }
                return Err(status);
            }
        };
        let code = response.status();
        // A method that a path does not support has no handler.
        if code == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(response);
        }
        if tracked.deprecated {
            let Labels { group, version, resource, subresource, .. } = labels;
            self.deprecated.with([group, version, resource, subresource, ""]).set(1.0);
        }
        let begun = tracked.begun;
        if let Some(size) = response.body().size_hint().exact() {
            self.observe(labels, code, begun, Some(size));
            return Ok(response);
        }
        let held = tracked.lasts.then(|| {
            let Labels { verb, group, version, resource, subresource, scope, .. } = labels;
            let values = [verb, group, version, resource, subresource, scope, COMPONENT];
            self.long_running.with(values).held()
        });
        let all = self.clone();
        Ok(response.map(|body| {
            let done = move |sent| {
                drop(held);
                all.observe(labels, code, begun, Some(sent));
            };
            Observed::new(body, done).boxed_unsync()
        }))
    }

    fn observe(&self, labels: Labels, code: StatusCode, begun: Instant, sent: Option<u64>) {
        let series = self.series(labels);
        let took = begun.elapsed().as_secs_f64();
        series.duration.observe(took);
        if let Some(level) = &series.level {
            level.observe(took);
        }
        if let (Some(size), Some(sent)) = (&series.size, sent) {
            size.observe(sent as f64);
        }
        let mut counts = series.counts.lock();
        let known = counts.iter().find(|(known, _)| *known == code);
        match known {
            Some((_, count)) => count.inc(),
            None => {
                let Labels { verb, dry_run, group, version, resource, subresource, scope } = labels;
                let count = self.total.with([
                    verb,
                    dry_run,
                    group,
                    version,
                    resource,
                    subresource,
                    scope,
                    COMPONENT,
                    code.as_str(),
                ]);
                count.inc();
                counts.push((code, count));
            }
        }
    }
}

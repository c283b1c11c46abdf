//! `/metrics` in the Prometheus text format, by upstream's names.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use http::{Response, StatusCode};
use parking_lot::Mutex;

use crate::body::{Body, full};
use crate::encode::respond;
use crate::registry;
use crate::request::RequestInfo;
use crate::server::Server;

/// Upper bounds of the request duration histogram in seconds.
const BOUNDS: [f64; 12] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 5.0, 10.0, 60.0];

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    scope: &'static str,
}

#[derive(Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    sum: f64,
    count: u64,
}

/// Counts of requests.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(Labels, u16), u64>>,
    durations: Mutex<BTreeMap<Labels, Histogram>>,
    reading: AtomicI64,
    mutating: AtomicI64,
    health: Mutex<BTreeMap<(&'static str, &'static str), HealthCheck>>,
}

/// What came of a health check, the last time and so far.
#[derive(Clone, Copy, Default)]
struct HealthCheck {
    passes: bool,
    successes: u64,
    errors: u64,
}

/// A request under way.
pub(crate) struct Tracked<'a> {
    metrics: &'a Metrics,
    labels: Labels,
    mutating: bool,
}

impl Metrics {
    pub(crate) fn begin(&self, info: Option<&RequestInfo>) -> Tracked<'_> {
        let labels = info.filter(|i| i.is_resource).map(labels).unwrap_or_default();
        let mutating = !matches!(labels.verb.as_str(), "GET" | "LIST" | "WATCH" | "");
        self.inflight(mutating).fetch_add(1, Ordering::Relaxed);
        Tracked { metrics: self, labels, mutating }
    }

    /// Counts a health check of `/healthz`, `/livez` or `/readyz`.
    pub(crate) fn health_checked(&self, name: &'static str, of: &'static str, passes: bool) {
        let mut all = self.health.lock();
        let check = all.entry((name, of)).or_default();
        check.passes = passes;
        *if passes { &mut check.successes } else { &mut check.errors } += 1;
    }

    /// `/metrics/slis`: the results of health checks (KEP-3466).
    pub(crate) fn service_levels(&self) -> Response<Body> {
        let checks = self.health.lock().clone();
        let mut text = String::new();
        if !checks.is_empty() {
            let name = "kubernetes_healthcheck";
            text.push_str(&format!(
                "# HELP {name} [STABLE] This metric records the result of a single healthcheck.\n\
                 # TYPE {name} gauge\n"
            ));
            for ((check, of), result) in &checks {
                let value = u8::from(result.passes);
                let _ = writeln!(text, "{name}{{name=\"{check}\",type=\"{of}\"}} {value}");
            }
            let name = "kubernetes_healthchecks_total";
            text.push_str(&format!(
                "# HELP {name} [STABLE] This metric records the results of all healthcheck.\n\
                 # TYPE {name} counter\n"
            ));
            for ((check, of), result) in &checks {
                for (status, count) in [("error", result.errors), ("success", result.successes)] {
                    if count > 0 {
                        let _ = writeln!(
                            text,
                            "{name}{{name=\"{check}\",status=\"{status}\",type=\"{of}\"}} {count}"
                        );
                    }
                }
            }
        }
        respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", full(text))
    }

    fn inflight(&self, mutating: bool) -> &AtomicI64 {
        if mutating { &self.mutating } else { &self.reading }
    }

    pub(crate) fn render(&self, server: &Server) -> Response<Body> {
        let mut text = String::new();
        let head = |text: &mut String, name: &str, kind: &str, help: &str| {
            let _ = writeln!(text, "# HELP {name} [STABLE] {help}\n# TYPE {name} {kind}");
        };
        head(&mut text, "apiserver_request_total", "counter", "Counter of apiserver requests.");
        for ((labels, code), count) in self.requests.lock().iter() {
            let _ = writeln!(text, "apiserver_request_total{{code=\"{code}\",{labels}}} {count}");
        }
        let name = "apiserver_request_duration_seconds";
        head(&mut text, name, "histogram", "Response latency distribution in seconds.");
        for (labels, histogram) in self.durations.lock().iter() {
            for (bound, count) in BOUNDS.iter().zip(histogram.buckets) {
                let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", histogram.count);
            let _ = writeln!(text, "{name}_sum{{{labels}}} {}", histogram.sum);
            let _ = writeln!(text, "{name}_count{{{labels}}} {}", histogram.count);
        }
        let name = "apiserver_current_inflight_requests";
        head(&mut text, name, "gauge", "Requests under way.");
        for (kind, count) in [("mutating", &self.mutating), ("readOnly", &self.reading)] {
            let _ = writeln!(
                text,
                "{name}{{request_kind=\"{kind}\"}} {}",
                count.load(Ordering::Relaxed)
            );
        }
        let name = "apiserver_storage_objects";
        head(&mut text, name, "gauge", "Number of stored objects at the time of last check.");
        for kind in registry::kinds().filter(|k| k.conversion.is_none()) {
            if let Ok(collection) = server.collection(kind) {
                let resource = apimachinery::status::qualified(kind.group, kind.resource);
                let count = collection.snapshot().entries.len();
                let _ = writeln!(text, "{name}{{resource=\"{resource}\"}} {count}");
            }
        }
        respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", full(text))
    }
}

fn labels(info: &RequestInfo) -> Labels {
    // Only known resources become labels: a client cannot grow the table.
    let known = registry::find(&info.group, &info.version, &info.resource);
    let verb = match info.verb {
        "create" => "POST".to_owned(),
        "update" => "PUT".to_owned(),
        "deletecollection" => "DELETECOLLECTION".to_owned(),
        other => other.to_uppercase(),
    };
    let Some(kind) = known else { return Labels { verb, ..Labels::default() } };
    let sub = kind.subs.iter().map(|s| s.name()).find(|s| *s == info.subresource);
    Labels {
        verb,
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        resource: kind.resource.to_owned(),
        subresource: sub.unwrap_or_default().to_owned(),
        scope: match (info.named, info.namespace.is_empty()) {
            (true, _) => "resource",
            (false, false) => "namespace",
            (false, true) => "cluster",
        },
    }
}

impl std::fmt::Display for Labels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "component=\"apiserver\",dry_run=\"\",group=\"{}\",resource=\"{}\",scope=\"{}\",subresource=\"{}\",verb=\"{}\",version=\"{}\"",
            self.group, self.resource, self.scope, self.subresource, self.verb, self.version
        )
    }
}

impl Tracked<'_> {
    pub(crate) fn end(self, code: StatusCode, took: Duration) {
        if self.labels.verb.is_empty() {
            return;
        }
        *self.metrics.requests.lock().entry((self.labels.clone(), code.as_u16())).or_default() += 1;
        let mut durations = self.metrics.durations.lock();
        let histogram = durations.entry(self.labels.clone()).or_default();
        let seconds = took.as_secs_f64();
        for (bound, count) in BOUNDS.iter().zip(&mut histogram.buckets) {
            *count += u64::from(seconds <= *bound);
        }
        histogram.sum += seconds;
        histogram.count += 1;
    }
}

impl Drop for Tracked<'_> {
    fn drop(&mut self) {
        self.metrics.inflight(self.mutating).fetch_sub(1, Ordering::Relaxed);
    }
}

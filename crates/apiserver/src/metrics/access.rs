//! Metrics of authentication and authorization.

use std::sync::OnceLock;
use std::time::Duration;

use telemetry::metrics::{Counter, Desc, Family, Histogram, Registry, buckets};

/// Users with a label of their own; one for every user would create unbounded series.
const KNOWN: [&str; 5] =
    ["admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"];

/// Remaining lifetimes of certificates, in seconds.
const LIFETIMES: [f64; 14] = [
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21600.0,
    43200.0,
    86400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];

/// Metrics of authentication and authorization.
pub(crate) struct Access {
    users: Family<Counter, 1>,
    authentication: Outcomes<2>,
    authorization: Outcomes<4>,
    lifetimes: Histogram,
}

/// Attempts and their durations by result.
struct Outcomes<const N: usize> {
    attempts: Family<Counter, 1>,
    durations: Family<Histogram, 1>,
    /// The series of each result, looked up once.
    known: [(&'static str, OnceLock<(Counter, Histogram)>); N],
}

/// How an authorization ended.
#[derive(Clone, Copy)]
pub(crate) enum Authorized {
    Allowed,
    Denied,
    NoOpinion,
    Error,
}

impl<const N: usize> Outcomes<N> {
    /// `results` are their labels.
    fn new(
        registry: &Registry,
        attempts: Desc,
        durations: Desc,
        results: [&'static str; N],
    ) -> Self {
        let bounds = buckets::exponential(0.001, 2.0, 15);
        Self {
            attempts: registry.counters(attempts, ["result"]),
            durations: registry.histograms(durations, ["result"], &bounds),
            known: results.map(|result| (result, OnceLock::new())),
        }
    }

    fn observe(&self, result: usize, took: Duration) {
        let Some((result, series)) = self.known.get(result) else { return };
        let (attempts, durations) =
            series.get_or_init(|| (self.attempts.with([result]), self.durations.with([result])));
        attempts.inc();
        durations.observe(took.as_secs_f64());
    }
}

impl Access {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            users: registry.counters(
                Desc::alpha(
                    "authenticated_user_requests",
                    "Counter of authenticated requests broken out by username.",
                ),
                ["username"],
            ),
            authentication: Outcomes::new(
                registry,
                Desc::alpha("authentication_attempts", "Counter of authenticated attempts."),
                Desc::alpha(
                    "authentication_duration_seconds",
                    "Authentication duration in seconds broken out by result.",
                ),
                ["success", "error"],
            ),
            authorization: Outcomes::new(
                registry,
                Desc::alpha(
                    "authorization_attempts_total",
                    "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied', 'no-opinion' or 'error'.",
                ),
                Desc::alpha(
                    "authorization_duration_seconds",
                    "Authorization duration in seconds broken out by result.",
                ),
                // In the order of `Authorized`.
                ["allowed", "denied", "no-opinion", "error"],
            ),
            lifetimes: registry.histogram(
                Desc::alpha(
                    "apiserver_client_certificate_expiration_seconds",
                    "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
                ),
                &LIFETIMES,
            ),
        }
    }

    /// Records an authentication, which failed if there is no user.
    pub(crate) fn authenticated(&self, user: Option<&str>, took: Duration) {
        if let Some(name) = user {
            self.users.with([compress(name)]).inc();
        }
        self.authentication.observe(usize::from(user.is_none()), took);
    }

    /// Records an authorization.
    pub(crate) fn authorized(&self, result: Authorized, took: Duration) {
        self.authorization.observe(result as usize, took);
    }

    /// Records the remaining lifetime in seconds of a presented client certificate.
    pub(crate) fn certificate(&self, remaining: f64) {
        self.lifetimes.observe(remaining);
    }
}

/// Maps a user's name to a bounded number of labels.
fn compress(name: &str) -> &str {
    match KNOWN.contains(&name) {
        true => name,
        false if name.contains('@') => "email_id",
        false => "other",
    }
}

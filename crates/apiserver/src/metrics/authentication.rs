//! Metrics of issuers of tokens and of reloads of their configuration.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};
use telemetry::metrics::{Counter, Desc, Family, Gauge, Histogram, Registry};

/// A value that only its hash may tell.
pub(super) fn hash(text: &[u8]) -> String {
    match text {
        [] => String::new(),
        text => format!("sha256:{}", hex::encode(Sha256::digest(text))),
    }
}

pub(super) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Metrics of the issuers of JSON Web Tokens. Cloning shares them.
#[derive(Clone)]
pub(crate) struct Jwt {
    server: String,
    latencies: Family<Histogram, 2>,
    fetches: Family<Gauge, 3>,
    key_sets: Family<Gauge, 3>,
}

impl Jwt {
    /// `server` identifies this server among those of its cluster.
    pub(super) fn new(registry: &Registry, server: &str) -> Self {
        let bounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
        Self {
            server: hash(server.as_bytes()),
            latencies: registry.histograms(
                Desc::alpha(
                    "apiserver_authentication_jwt_authenticator_latency_seconds",
                    "Latency of jwt authentication operations in seconds. This is the time spent authenticating a token for cache miss only (i.e. when the token is not found in the cache).",
                ),
                ["result", "jwt_issuer_hash"],
                &bounds,
            ),
            fetches: registry.gauges(
                Desc::alpha(
                    "apiserver_authentication_jwt_authenticator_jwks_fetch_last_timestamp_seconds",
                    "Timestamp of the last successful or failed JWKS fetch split by result, api server identity and jwt issuer for the JWT authenticator.",
                ),
                ["result", "jwt_issuer_hash", "apiserver_id_hash"],
            ),
            key_sets: registry.gauges(
                Desc::alpha(
                    "apiserver_authentication_jwt_authenticator_jwks_fetch_last_key_set_info",
                    "Information about the last JWKS fetched by the JWT authenticator with hash as label, split by api server identity and jwt issuer.",
                ),
                ["jwt_issuer_hash", "apiserver_id_hash", "hash"],
            ),
        }
    }

    /// Records the authentication of a token of this issuer.
    pub(crate) fn authenticated(&self, issuer: &str, success: bool, took: Duration) {
        let result = if success { "success" } else { "failure" };
        let issuer = hash(issuer.as_bytes());
        self.latencies.with([result, &issuer]).observe(took.as_secs_f64());
    }

    /// Records that the keys of this issuer were fetched, or could not be.
    pub(crate) fn fetched(&self, issuer: &str, keys: Option<&[u8]>) {
        let issuer = hash(issuer.as_bytes());
        let result = if keys.is_some() { "success" } else { "failure" };
        self.fetches.with([result, &issuer, &self.server]).set(now());
        if let Some(keys) = keys {
            let keys = hash(keys);
            self.key_sets.retain(|[of, _, hash]| of != issuer || hash == keys);
            self.key_sets.with([&issuer, &self.server, &keys]).set(1.0);
        }
    }

    /// Forgets the keys of issuers that are not among these.
    pub(crate) fn retain<'a>(&self, issuers: impl Iterator<Item = &'a str>) {
        let issuers: Vec<String> = issuers.map(|issuer| hash(issuer.as_bytes())).collect();
        let known = |of: &str| issuers.iter().any(|issuer| issuer == of);
        self.fetches.retain(|[_, issuer, _]| known(issuer));
        self.key_sets.retain(|[issuer, ..]| known(issuer));
    }
}

/// Metrics of a configuration that is read again when its file changes.
pub(crate) struct Reloads {
    server: String,
    total: Family<Counter, 2>,
    last: Family<Gauge, 2>,
    info: Family<Gauge, 2>,
}

impl Reloads {
    /// Those of the configuration of authentication.
    pub(super) fn of_authentication(registry: &Registry, server: &str) -> Self {
        Self {
            server: hash(server.as_bytes()),
            total: registry.counters(
                Desc::beta(
                    "apiserver_authentication_config_controller_automatic_reloads_total",
                    "Total number of automatic reloads of authentication configuration split by status and apiserver identity.",
                ),
                ["status", "apiserver_id_hash"],
            ),
            last: registry.gauges(
                Desc::beta(
                    "apiserver_authentication_config_controller_automatic_reload_last_timestamp_seconds",
                    "Timestamp of the last automatic reload of authentication configuration split by status and apiserver identity.",
                ),
                ["status", "apiserver_id_hash"],
            ),
            info: registry.gauges(
                Desc::alpha(
                    "apiserver_authentication_config_controller_last_config_info",
                    "Information about the last applied authentication configuration with hash as label, split by apiserver identity.",
                ),
                ["apiserver_id_hash", "hash"],
            ),
        }
    }

    /// Those of the configuration of encryption at rest.
    pub(super) fn of_encryption(registry: &Registry, server: &str) -> Self {
        Self {
            server: hash(server.as_bytes()),
            total: registry.counters(
                Desc::alpha(
                    "apiserver_encryption_config_controller_automatic_reloads_total",
                    "Total number of reload successes and failures of encryption configuration split by apiserver identity.",
                ),
                ["status", "apiserver_id_hash"],
            ),
            last: registry.gauges(
                Desc::alpha(
                    "apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds",
                    "Timestamp of the last successful or failed automatic reload of encryption configuration split by apiserver identity.",
                ),
                ["status", "apiserver_id_hash"],
            ),
            info: registry.gauges(
                Desc::alpha(
                    "apiserver_encryption_config_controller_last_config_info",
                    "Information about the last applied encryption configuration with hash as label, split by apiserver identity.",
                ),
                ["apiserver_id_hash", "hash"],
            ),
        }
    }

    /// Those of the configuration of authorization.
    pub(super) fn of_authorization(registry: &Registry, server: &str) -> Self {
        Self {
            server: hash(server.as_bytes()),
            total: registry.counters(
                Desc::beta(
                    "apiserver_authorization_config_controller_automatic_reloads_total",
                    "Total number of automatic reloads of authorization configuration split by status and apiserver identity.",
                ),
                ["status", "apiserver_id_hash"],
            ),
            last: registry.gauges(
                Desc::beta(
                    "apiserver_authorization_config_controller_automatic_reload_last_timestamp_seconds",
                    "Timestamp of the last automatic reload of authorization configuration split by status and apiserver identity.",
                ),
                ["status", "apiserver_id_hash"],
            ),
            info: registry.gauges(
                Desc::alpha(
                    "apiserver_authorization_config_controller_last_config_info",
                    "Information about the last applied authorization configuration with hash as label, split by apiserver identity.",
                ),
                ["apiserver_id_hash", "hash"],
            ),
        }
    }

    /// Records that this text is in force.
    pub(crate) fn in_force(&self, text: &str) {
        let hash = hash(text.as_bytes());
        self.info.retain(|[_, other]| other == hash);
        self.info.with([&self.server, &hash]).set(1.0);
    }

    /// Records an attempt to read it again.
    pub(crate) fn reloaded(&self, success: bool) {
        let status = if success { "success" } else { "failure" };
        self.total.with([status, &self.server]).inc();
        self.last.with([status, &self.server]).set(now());
    }
}

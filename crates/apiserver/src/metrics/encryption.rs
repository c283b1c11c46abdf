//! Metrics of the encryption of stored values.

use std::time::Duration;

use telemetry::metrics::buckets::exponential;
use telemetry::metrics::{Counter, Desc, Family, Gauge, Histogram, Registry};

use super::authentication::{hash, now};

/// Identifiers of keys of a plugin are counted by their hash, of the last so many only.
const MOST_KEYS: usize = 100;

/// Values that are sealed and opened, and questions to plugins.
pub(crate) struct Encryption {
    server: String,
    durations: Family<Histogram, 2>,
    operations: Family<Counter, 4>,
    misses: Counter,
    generations: Histogram,
    calls: Family<Histogram, 3>,
    uses: Family<Counter, 4>,
    last_uses: Family<Gauge, 4>,
    confirmed: Family<Gauge, 3>,
    invalid: Family<Counter, 2>,
    known: Family<Gauge, 1>,
}

impl Encryption {
    /// `server` identifies this server among those of its cluster.
    pub(crate) fn new(registry: &Registry, server: &str) -> Self {
        let by_key = ["transformation_type", "provider_name", "key_id_hash", "apiserver_id_hash"];
        // Upstream counts failures to make a key, which cannot fail here.
        registry.counter(Desc::alpha(
            "apiserver_storage_data_key_generation_failures_total",
            "Total number of failed data encryption key(DEK) generation operations.",
        ));
        Self {
            server: hash(server.as_bytes()),
            durations: registry.histograms(
                Desc::alpha(
                    "apiserver_storage_transformation_duration_seconds",
                    "Latencies in seconds of value transformation operations.",
                ),
                ["transformation_type", "transformer_prefix"],
                &exponential(5e-6, 2.0, 25),
            ),
            operations: registry.counters(
                Desc::alpha(
                    "apiserver_storage_transformation_operations_total",
                    "Total number of transformations. Successful transformation will have a status 'OK' and a varied status string when the transformation fails. The status, resource, and transformation_type fields can be used for alerting purposes. For example, you can monitor for encryption/decryption failures using the transformation_type (e.g., from_storage for decryption and to_storage for encryption). Additionally, these fields can be used to ensure that the correct transformers are applied to each resource.",
                ),
                ["resource", "transformation_type", "transformer_prefix", "status"],
            ),
            misses: registry.counter(Desc::alpha(
                "apiserver_storage_envelope_transformation_cache_misses_total",
                "Total number of cache misses while accessing key decryption key(KEK).",
            )),
            generations: registry.histogram(
                Desc::alpha(
                    "apiserver_storage_data_key_generation_duration_seconds",
                    "Latencies in seconds of data encryption key(DEK) generation operations.",
                ),
                &exponential(5e-6, 2.0, 14),
            ),
            calls: registry.histograms(
                Desc::alpha(
                    "apiserver_envelope_encryption_kms_operations_latency_seconds",
                    "KMS operation duration with gRPC error code status total.",
                ),
                ["provider_name", "method_name", "grpc_status_code"],
                &exponential(0.0001, 2.0, 20),
            ),
            uses: registry.counters(
                Desc::alpha(
                    "apiserver_envelope_encryption_key_id_hash_total",
                    "Number of times a keyID is used split by transformation type, provider, and apiserver identity.",
                ),
                by_key,
            ),
            last_uses: registry.gauges(
                Desc::alpha(
                    "apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds",
                    "The last time in seconds when a keyID was used.",
                ),
                by_key,
            ),
            confirmed: registry.gauges(
                Desc::alpha(
                    "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds",
                    "The last time in seconds when a keyID was returned by the Status RPC call.",
                ),
                ["provider_name", "key_id_hash", "apiserver_id_hash"],
            ),
            invalid: registry.counters(
                Desc::alpha(
                    "apiserver_envelope_encryption_invalid_key_id_from_status_total",
                    "Number of times an invalid keyID is returned by the Status RPC call split by error.",
                ),
                ["provider_name", "error"],
            ),
            known: registry.gauges(
                Desc::alpha(
                    "apiserver_envelope_encryption_dek_source_cache_size",
                    "Number of records in data encryption key (DEK) source cache. On a restart, this value is an approximation of the number of decrypt RPC calls the server will make to the KMS plugin.",
                ),
                ["provider_name"],
            ),
        }
    }

    /// Records that a value of a resource was sealed or opened, or could not be.
    pub(crate) fn transformed(
        &self,
        resource: &str,
        kind: &str,
        prefix: &str,
        took: Duration,
        status: &str,
    ) {
        self.operations.with([resource, kind, prefix, status]).inc();
        if status == "OK" {
            self.durations.with([kind, prefix]).observe(took.as_secs_f64());
        }
    }

    /// Records that the seed of a value was not known.
    pub(crate) fn missed_key(&self) {
        self.misses.inc();
    }

    /// Records that a seed was made.
    pub(crate) fn generated_key(&self, took: Duration) {
        self.generations.observe(took.as_secs_f64());
    }

    /// Records a call to a plugin.
    pub(crate) fn called(&self, plugin: &str, method: &str, code: &str, took: Duration) {
        self.calls.with([plugin, method, code]).observe(took.as_secs_f64());
    }

    /// Records that a value was sealed or opened with a key of this identifier.
    pub(crate) fn used_key(&self, kind: &str, plugin: &str, key_id: &str) {
        let key = hash(key_id.as_bytes());
        let labels = [kind, plugin, &key, &self.server];
        if self.uses.len() >= MOST_KEYS {
            self.uses.retain(|[.., other, _]| other == key);
            self.last_uses.retain(|[.., other, _]| other == key);
        }
        self.uses.with(labels).inc();
        self.last_uses.with(labels).set(now());
    }

    /// Records that a plugin told the identifier of its key.
    pub(crate) fn confirmed_key(&self, plugin: &str, key_id: &str) {
        let key = hash(key_id.as_bytes());
        if self.confirmed.len() >= MOST_KEYS {
            self.confirmed.retain(|[_, other, _]| other == key);
        }
        self.confirmed.with([plugin, &key, &self.server]).set(now());
    }

    /// Records that a plugin told no usable identifier.
    pub(crate) fn invalid_key(&self, plugin: &str, why: &str) {
        self.invalid.with([plugin, why]).inc();
    }

    /// Records how many seeds of a plugin are known.
    pub(crate) fn known_keys(&self, plugin: &str, count: usize) {
        self.known.with([plugin]).set(count as f64);
    }
}

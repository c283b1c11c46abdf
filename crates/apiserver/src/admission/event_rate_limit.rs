//! EventRateLimit: nobody floods the cluster with events.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::text::aggregate;
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use super::configuration::{Document, Invalid};
use super::{Operation, Plugin, Request};

const GROUP: &str = "eventratelimit.admission.k8s.io";
const TYPES: &[&str] = &["Namespace", "Server", "SourceAndObject", "User"];
/// Buckets that are kept of one limit (upstream's number), and most that may be asked for.
const BUCKETS: usize = 4096;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    limits: Vec<Limit>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Limit {
    #[serde(rename = "type")]
    of: String,
    qps: i32,
    burst: i32,
    cache_size: i32,
}

struct EventRateLimit(Vec<(Limit, Mutex<Buckets>)>);

pub(super) fn configure(document: Option<&Document>) -> Result<Box<dyn Plugin>, Invalid> {
    let Some(document) = document else {
        // Upstream then limits nothing.
        return Ok(Box::new(EventRateLimit(Vec::new())));
    };
    let read: Configuration = document.read(GROUP, &["v1alpha1"], "Configuration")?;
    let errors = check(&read);
    if !errors.is_empty() {
        return Err(Invalid::Document(errors.message()));
    }
    let limits = read.limits.into_iter().map(|limit| {
        let kept = usize::try_from(limit.cache_size).unwrap_or_default();
        let buckets = Buckets::new(if kept == 0 { BUCKETS } else { kept });
        (limit, Mutex::new(buckets))
    });
    Ok(Box::new(EventRateLimit(limits.collect())))
}

fn check(configuration: &Configuration) -> ErrorList {
    let path = Path::new("limits");
    let mut errors = ErrorList::new();
    if configuration.limits.is_empty() {
        errors.0.push(FieldError::invalid(&path, json!([]), "must not be empty"));
    }
    for (i, limit) in configuration.limits.iter().enumerate() {
        let path = path.index(i);
        if !TYPES.contains(&limit.of.as_str()) {
            errors.0.push(FieldError::not_supported(&path.child("type"), limit.of.as_str(), TYPES));
        }
        for (field, value) in [("burst", limit.burst), ("qps", limit.qps)] {
            if value <= 0 {
                errors.0.push(FieldError::invalid(&path.child(field), value, "must be positive"));
            }
        }
        if limit.of != "Server" && limit.cache_size < 0 {
            let (path, value) = (path.child("cacheSize"), limit.cache_size);
            errors.0.push(FieldError::invalid(&path, value, "must not be negative"));
        }
    }
    errors
}

#[async_trait]
impl Plugin for EventRateLimit {
    async fn validate(&self, request: &Request<'_>, event: Option<&Object>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let Some(event) = event.filter(|_| writes && request.is("", "events")) else {
            return Ok(());
        };
        if request.dry_run {
            return Ok(());
        }
        let now = Instant::now();
        // Every limit counts the event, even if another one refuses it.
        let reached: Vec<String> = self
            .0
            .iter()
            .filter_map(|(limit, buckets)| {
                let key = key(limit, request, event);
                let taken = buckets.lock().take(&key, limit, now);
                let of = &limit.of;
                (!taken).then(|| format!("limit reached on type {of} for key {key}"))
            })
            .collect();
        if reached.is_empty() {
            return Ok(());
        }
        let why = format!("Too many requests: {}", aggregate(&reached));
        Err(Status::generic(429, "TooManyRequests", why))
    }
}

/// The bucket that an event takes from.
fn key(limit: &Limit, request: &Request<'_>, event: &Object) -> String {
    match limit.of.as_str() {
        "Namespace" => request.namespace.to_owned(),
        "User" => request.user.name.clone(),
        "SourceAndObject" => {
            let source = |field| event.str_at(&["source", field]);
            let object = |field| event.str_at(&["involvedObject", field]);
            [
                source("component"),
                source("host"),
                object("kind"),
                object("namespace"),
                object("name"),
                object("uid"),
                object("apiVersion"),
            ]
            .concat()
        }
        _ => String::new(),
    }
}

/// Token buckets by key; those that were not used for the longest time are forgotten.
struct Buckets {
    most: usize,
    buckets: HashMap<String, Bucket>,
    /// The keys in the order of their last use.
    uses: BTreeMap<u64, String>,
    next: u64,
}

struct Bucket {
    tokens: f64,
    filled: Instant,
    used: u64,
}

impl Buckets {
    fn new(most: usize) -> Self {
        Self { most, buckets: HashMap::new(), uses: BTreeMap::new(), next: 0 }
    }

    /// Takes a token, if there is one.
    fn take(&mut self, key: &str, limit: &Limit, now: Instant) -> bool {
        let used = self.next;
        self.next += 1;
        let burst = f64::from(limit.burst);
        let full = || Bucket { tokens: burst, filled: now, used };
        let bucket = self.buckets.entry(key.to_owned()).or_insert_with(full);
        self.uses.remove(&bucket.used);
        self.uses.insert(used, key.to_owned());
        bucket.used = used;
        let more = (now - bucket.filled).as_secs_f64() * f64::from(limit.qps);
        bucket.tokens = burst.min(bucket.tokens + more);
        bucket.filled = now;
        let taken = bucket.tokens >= 1.0;
        if taken {
            bucket.tokens -= 1.0;
        }
        if self.buckets.len() > self.most
            && let Some((_, oldest)) = self.uses.pop_first()
        {
            self.buckets.remove(&oldest);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn limit(qps: i32, burst: i32) -> Limit {
        Limit { of: "User".into(), qps, burst, cache_size: 2 }
    }

    #[test]
    fn a_bucket_empties_and_fills() {
        let (limit, start) = (limit(2, 3), Instant::now());
        let mut buckets = Buckets::new(2);
        let mut take =
            |key: &str, at: u64| buckets.take(key, &limit, start + Duration::from_millis(at));
        assert_eq!([(); 4].map(|()| take("a", 0)), [true, true, true, false]);
        assert!(take("b", 0));
        assert!(!take("a", 400));
        assert!(take("a", 600));
        assert!(!take("a", 600));
        // No more than the burst is saved.
        assert_eq!([(); 4].map(|()| take("a", 60_000)), [true, true, true, false]);
    }

    #[test]
    fn no_more_buckets_are_kept_than_wanted() {
        let (limit, now) = (limit(1, 1), Instant::now());
        let mut buckets = Buckets::new(2);
        assert!(buckets.take("a", &limit, now));
        assert!(buckets.take("b", &limit, now));
        assert!(!buckets.take("a", &limit, now));
        // `b` is forgotten, and full again.
        assert!(buckets.take("c", &limit, now));
        assert!(!buckets.take("a", &limit, now));
        assert!(buckets.take("b", &limit, now));
        assert_eq!((buckets.buckets.len(), buckets.uses.len()), (2, 2));
    }

    #[test]
    fn limits_are_checked() {
        let check =
            |value: serde_json::Value| check(&serde_json::from_value(value).unwrap()).message();
        assert_eq!(check(json!({})), "limits: Invalid value: []: must not be empty");
        assert_eq!(check(json!({"limits": [{"type": "Server", "qps": 1, "burst": 1}]})), "[]");
        let wrong = check(json!({"limits": [{"type": "X", "cacheSize": -1}]}));
        for part in [
            "limits[0].type: Unsupported value: \"X\": supported values: \"Namespace\", \"Server\", \
             \"SourceAndObject\", \"User\"",
            "limits[0].burst: Invalid value: 0: must be positive",
            "limits[0].qps: Invalid value: 0: must be positive",
            "limits[0].cacheSize: Invalid value: -1: must not be negative",
        ] {
            assert!(wrong.contains(part), "{part} in {wrong}");
        }
    }
}

//! ResourceQuota: new usage of a namespace is charged to its quotas before it is stored.
//!
//! A charge is a compare-and-set of the quota's status, so two requests never spend the same
//! remainder. It precedes the object and is not undone if the object fails later: the quota
//! controller recounts soon after every charge.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use apimachinery::apply::{self, Writer};
use apimachinery::schema::Registry;
use apimachinery::{Object, ObjectExt, Status, time};
use async_trait::async_trait;
use jiff::Timestamp;
use rules::quota::{self, Counted};
use store::Expect;
use tokio::sync::{Mutex, MutexGuard};

use super::configuration::{Document, Invalid};
use super::{Operation, Plugin, Request};
use crate::registry::{self, Kind, Sub};
use crate::verbs::Failure;

mod charge;
mod limited;

/// How long a request waits for the lock and its charge (upstream: 10 s).
const PATIENCE: Duration = Duration::from_secs(10);
const LANES: usize = 64;

/// Serializes the charges of a namespace. The compare-and-set alone is correct, but of many
/// concurrent requests only one would succeed per round.
pub(crate) struct NamespaceLocks([Mutex<()>; LANES]);

impl Default for NamespaceLocks {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl NamespaceLocks {
    async fn lock(&self, namespace: &str) -> MutexGuard<'_, ()> {
        // Namespaces that share a lane wait for each other, which is harmless.
        let lane = BuildHasherDefault::<DefaultHasher>::default().hash_one(namespace);
        self.0[lane as usize % LANES].lock().await
    }
}

pub(super) struct ResourceQuota {
    limited: Vec<limited::Limited>,
}

/// Makes the plugin; by default nothing is limited but by quotas.
pub(super) fn configure(document: Option<&Document>) -> Result<Box<dyn Plugin>, Invalid> {
    Ok(Box::new(ResourceQuota { limited: limited::read(document)? }))
}

#[async_trait]
impl Plugin for ResourceQuota {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(object) = object.filter(|object| concerns(request, object)) else { return Ok(()) };
        let kind = registry::find("", "v1", "resourcequotas")
            .ok_or_else(|| Status::internal("no resource quotas"))?;
        request.server.storage.readable(kind, request.namespace)?;
        let snapshot = request.server.collection(kind)?.snapshot();
        if self.limited.is_empty() && snapshot.range(request.namespace, "").next().is_none() {
            return Ok(());
        }
        let Some(counted) = Counted::of(request.kind.group, request.kind.resource) else {
            return Ok(());
        };
        let reserved = reserve(request, kind, &counted, object, &self.limited);
        match tokio::time::timeout(PATIENCE, reserved).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Status::internal("resource quota evaluation timed out")),
        }
    }
}

/// Returns true if the request can increase usage.
fn concerns(request: &Request<'_>, object: &Object) -> bool {
    if !request.kind.namespaced || request.namespace.is_empty() {
        return false;
    }
    let old = match (request.operation, request.old) {
        (Operation::Create, _) => return request.sub.is_none(),
        (Operation::Update, Some(old)) => old,
        _ => return false,
    };
    match (request.kind.group, request.kind.resource, request.sub) {
        ("", "pods", None) => quota::is_terminating(object) != quota::is_terminating(old),
        ("", "pods", Some(Sub::Resize))
        | ("", "services" | "persistentvolumeclaims", None)
        | ("resource.k8s.io", "resourceclaims", None) => true,
        ("", "persistentvolumeclaims", Some(Sub::Status)) => !quota::same_claim(object, old),
        _ => false,
    }
}

/// A charge is recorded as a write of the server.
fn record(kind: &Kind, live: &Object, quota: &mut Object) {
    let Some(schema) = Registry::builtin().lookup(kind.group, kind.version, kind.kind) else {
        return;
    };
    let (api_version, now) = (kind.api_version(), time::now_rfc3339());
    let writer = Writer {
        manager: "kube-apiserver",
        api_version: &api_version,
        subresource: "status",
        now: &now,
        reset_fields: &[],
    };
    apply::update_managers(schema, Some(live), quota, &writer);
}

/// Charges every quota of the namespace that covers the object, or none if one refuses at once.
async fn reserve(
    request: &Request<'_>,
    kind: &'static Kind,
    counted: &Counted,
    object: &Object,
    limited: &[limited::Limited],
) -> Result<(), Status> {
    let server = request.server;
    let bill = charge::Bill {
        counted,
        object,
        old: request.old,
        // A status reports usage that exists already.
        limited: request.sub != Some(Sub::Status),
        now: Timestamp::now(),
    };
    let _lock = server.quota_locks.lock(request.namespace).await;
    let mut charged: Vec<String> = Vec::new();
    loop {
        let snapshot = server.collection(kind)?.snapshot();
        let mut charges = Vec::new();
        if !limited.is_empty() && charged.is_empty() {
            let quotas: Vec<Object> =
                snapshot.range(request.namespace, "").map(|entry| entry.object()).collect();
            let mut covered = BTreeSet::new();
            for quota in &quotas {
                covered.extend(bill.limits(quota).map_err(|why| request.forbidden(why))?);
            }
            limited::check(limited, request, &bill, &quotas, &covered)?;
        }
        for entry in snapshot.range(request.namespace, "") {
            if charged.iter().any(|name| name == entry.name()) {
                continue;
            }
            let mut quota = entry.object();
            if let Some(used) = bill.check(&quota).map_err(|why| request.forbidden(why))? {
                let live = quota.clone();
                quota.set_path(&["status", "used"], used.to_value());
                record(kind, &live, &mut quota);
                charges.push((entry.revision, quota));
            }
        }
        if request.dry_run {
            return Ok(());
        }
        let mut lost = false;
        for (revision, mut quota) in charges {
            match server.commit(kind, &mut quota, Expect::At(revision)).await {
                Ok(()) => charged.push(quota.name().to_owned()),
                Err(Failure::Conflict) => lost = true,
                Err(Failure::Refused(status)) => return Err(status),
            }
        }
        if !lost {
            return Ok(());
        }
    }
}

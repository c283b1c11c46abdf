//! The heartbeat: a Lease in `kube-node-lease`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use client::helpers::is_not_found;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;

use crate::context::Context;

const NAMESPACE: &str = "kube-node-lease";
/// After this time without a renewal the node counts as lost.
pub(crate) const DURATION: i32 = 40;
const PERIOD: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_secs(1);

/// Renews the lease until it is dropped.
pub(super) async fn renew(context: &Context) {
    let leases = Api::<Lease>::namespaced(context.config.client.clone(), NAMESPACE);
    let mut held: Option<Lease> = None;
    let mut lost = false;
    loop {
        let wait = match renew_once(context, &leases, held.take()).await {
            Ok(lease) => {
                held = Some(lease);
                if std::mem::take(&mut lost) {
                    tracing::info!("the node lease is renewed again");
                    // Others may have declared the node lost meanwhile.
                    context.node_doubted.store(true, Ordering::Release);
                    context.node_changed.notify_one();
                }
                PERIOD
            }
            Err(error) => {
                if std::mem::replace(&mut lost, true) {
                    tracing::debug!(%error, "node lease not renewed, will retry");
                } else {
                    tracing::warn!(%error, "node lease not renewed, will retry");
                }
                RETRY
            }
        };
        tokio::time::sleep(wait).await;
    }
}

async fn renew_once(
    context: &Context,
    leases: &Api<Lease>,
    held: Option<Lease>,
) -> kube::Result<Lease> {
    let name = &context.config.node_name;
    let lease = match held {
        Some(lease) => Some(lease),
        None => match leases.get(name).await {
            Ok(lease) => Some(lease),
            Err(error) if is_not_found(&error) => None,
            Err(error) => return Err(error),
        },
    };
    let fresh = LeaseSpec {
        holder_identity: Some(name.clone()),
        lease_duration_seconds: Some(DURATION),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..LeaseSpec::default()
    };
    match lease {
        Some(mut lease) => {
            lease.spec = Some(fresh);
            // The first lease is often older than the node object.
            if lease.metadata.owner_references.as_ref().is_none_or(Vec::is_empty) {
                lease.metadata.owner_references = owner(context);
            }
            leases.replace(name, &PostParams::default(), &lease).await
        }
        None => {
            let metadata = ObjectMeta {
                name: Some(name.clone()),
                owner_references: owner(context),
                ..ObjectMeta::default()
            };
            let lease = Lease { metadata, spec: Some(fresh) };
            leases.create(&PostParams::default(), &lease).await
        }
    }
}

/// The lease goes with its node.
fn owner(context: &Context) -> Option<Vec<OwnerReference>> {
    let node = context.node_object()?;
    Some(vec![OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: context.config.node_name.clone(),
        uid: node.metadata.uid.clone()?,
        controller: None,
        block_owner_deletion: None,
    }])
}

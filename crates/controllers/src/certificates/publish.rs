//! Publishes the authority of the API server as a ClusterTrustBundle, and removes the bundles of
//! authorities that it had before.

use client::helpers::{is_already_exists, is_not_found};
use client::informer::{Informer, Selection};
use client::{Event, Store};
use k8s_openapi::api::certificates::v1::{ClusterTrustBundle, ClusterTrustBundleSpec};
use kube::api::{DeleteParams, ObjectMeta, PostParams};
use sha2::{Digest, Sha256};

use crate::common::meta;
use crate::{Context, Outcome};

const SIGNER: &str = "kubernetes.io/kube-apiserver-serving";

pub(crate) async fn run(context: Context) {
    if context.settings.root_ca.is_empty() {
        return context.cancel.cancelled().await;
    }
    let own = Selection::fields(format!("spec.signerName={SIGNER}"));
    let bundles = Informer::start(context.all(), &own, context.cancel.child_token());
    bundles.wait_synced().await;
    let queue = context.queue("ca_cert_publisher_cluster_trust_bundles");
    let enqueue = queue.clone();
    context.subscribe(&bundles, move |_: Event<ClusterTrustBundle>| enqueue.add(()));
    queue.add(());
    let work = context.clone();
    context
        .work(&queue, 1, move |()| {
            let (context, store) = (work.clone(), bundles.store().clone());
            async move { publish(&context, &store).await }
        })
        .await;
}

async fn publish(context: &Context, store: &Store<ClusterTrustBundle>) -> Outcome {
    let bundle = bundle(&context.settings.root_ca);
    let name = meta::name(&bundle).to_owned();
    let api = context.all::<ClusterTrustBundle>();
    let written = match store.get_in("", &name) {
        None => api.create(&PostParams::default(), &bundle).await.map(drop),
        Some(present) if present.spec.trust_bundle != bundle.spec.trust_bundle => {
            let changed = ClusterTrustBundle { spec: bundle.spec, ..(*present).clone() };
            api.replace(&name, &PostParams::default(), &changed).await.map(drop)
        }
        Some(_) => Ok(()),
    };
    match written {
        Err(error) if !is_already_exists(&error) => return Err(error.into()),
        _ => {}
    }
    for old in store.list().iter().filter(|old| meta::name(&***old) != name) {
        match api.delete(meta::name(&**old), &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => return Err(error.into()),
            _ => {}
        }
    }
    Ok(None)
}

/// Named after its signer and its content.
fn bundle(authority: &str) -> ClusterTrustBundle {
    let digest = hex::encode(&Sha256::digest(authority)[..12]);
    let name = format!("{}:{digest}", SIGNER.replace('/', ":"));
    ClusterTrustBundle {
        metadata: ObjectMeta { name: Some(name), ..ObjectMeta::default() },
        spec: ClusterTrustBundleSpec {
            signer_name: Some(SIGNER.to_owned()),
            trust_bundle: authority.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_named_after_its_content() {
        let name = meta::name(&bundle("abc")).to_owned();
        assert_eq!(name, "kubernetes.io:kube-apiserver-serving:ba7816bf8f01cfea414140de");
    }
}

//! Publishes the cluster's certificate authority in every namespace, where pods find it beside
//! their tokens.

use std::collections::BTreeMap;

use client::helpers::{is_already_exists, is_not_found};
use client::{Event, ObjectKey, Store};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ObjectMeta, PostParams};

use crate::common::{meta, pod_control};
use crate::{Context, Outcome};

const NAME: &str = "kube-root-ca.crt";
const KEY: &str = "ca.crt";
const DESCRIPTION: (&str, &str) = (
    "kubernetes.io/description",
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is \
     guaranteed across distributions of Kubernetes clusters.",
);

pub(crate) async fn run(context: Context) {
    let queue = context.queue("root_ca_cert_publisher");
    let enqueue = queue.clone();
    let maps = context.on::<ConfigMap>(move |event| {
        // A new ConfigMap is as wanted, or the event of its namespace mends it.
        if !matches!(event, Event::Added(_)) && meta::name(&**event.object()) == NAME {
            enqueue.add(meta::namespace(&**event.object()).to_owned());
        }
    });
    let enqueue = queue.clone();
    let namespaces = context.on::<Namespace>(move |event| {
        if !matches!(event, Event::Deleted(_)) {
            enqueue.add(meta::name(&**event.object()).to_owned());
        }
    });
    maps.wait_synced().await;
    namespaces.wait_synced().await;
    let work = context.clone();
    context
        .work(&queue, 1, move |namespace: String| {
            let (context, maps) = (work.clone(), maps.store().clone());
            let present = namespaces.store().get(&ObjectKey::cluster(&*namespace));
            async move {
                if present.is_none_or(|namespace| meta::deleting(&*namespace)) {
                    return Ok(None);
                }
                publish(&context, &maps, &namespace).await
            }
        })
        .await;
}

async fn publish(context: &Context, maps: &Store<ConfigMap>, namespace: &str) -> Outcome {
    let data = BTreeMap::from([(KEY.to_owned(), context.settings.root_ca.clone())]);
    let api = context.api::<ConfigMap>(namespace);
    let result = match maps.get_in(namespace, NAME) {
        None => {
            let note = (DESCRIPTION.0.to_owned(), DESCRIPTION.1.to_owned());
            let metadata = ObjectMeta {
                name: Some(NAME.into()),
                annotations: Some([note].into()),
                ..ObjectMeta::default()
            };
            let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
            api.create(&PostParams::default(), &map).await
        }
        Some(map) => {
            let described = meta::annotation(&*map, DESCRIPTION.0) == Some(DESCRIPTION.1);
            if described && map.data.as_ref() == Some(&data) {
                return Ok(None);
            }
            let mut map = (*map).clone();
            map.data = Some(data);
            let notes = map.metadata.annotations.get_or_insert_default();
            notes.insert(DESCRIPTION.0.into(), DESCRIPTION.1.into());
            api.replace(NAME, &PostParams::default(), &map).await
        }
    };
    match result {
        Err(error)
            if !is_already_exists(&error)
                && !is_not_found(&error)
                && !pod_control::is_namespace_terminating(&error) =>
        {
            Err(error.into())
        }
        _ => Ok(None),
    }
}

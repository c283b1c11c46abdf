//! Gives every namespace its `default` service account.

use client::helpers::is_already_exists;
use client::{Event, ObjectKey};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::api::{ObjectMeta, PostParams};

use crate::Context;
use crate::common::{meta, pod_control};

const NAME: &str = "default";

pub(crate) async fn run(context: Context) {
    let queue = context.queue("serviceaccount");
    let enqueue = queue.clone();
    let accounts = context.on::<ServiceAccount>(move |event| {
        if let Event::Deleted(account) = event
            && meta::name(&*account) == NAME
        {
            enqueue.add(meta::namespace(&*account).to_owned());
        }
    });
    let enqueue = queue.clone();
    let namespaces = context.on::<Namespace>(move |event| {
        if !matches!(event, Event::Deleted(_)) {
            enqueue.add(meta::name(&**event.object()).to_owned());
        }
    });
    accounts.wait_synced().await;
    namespaces.wait_synced().await;
    let work = context.clone();
    context
        .work(&queue, 1, move |namespace: String| {
            let (context, accounts) = (work.clone(), accounts.clone());
            let present = namespaces.store().get(&ObjectKey::cluster(&*namespace));
            async move {
                let wanted = present.is_some_and(|namespace| !meta::deleting(&*namespace));
                if !wanted || accounts.store().get_in(&namespace, NAME).is_some() {
                    return Ok(None);
                }
                let metadata = ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() };
                let account = ServiceAccount { metadata, ..ServiceAccount::default() };
                let api = context.api::<ServiceAccount>(&namespace);
                match api.create(&PostParams::default(), &account).await {
                    Err(error)
                        if !is_already_exists(&error)
                            && !pod_control::is_namespace_terminating(&error) =>
                    {
                        Err(error.into())
                    }
                    _ => Ok(None),
                }
            }
        })
        .await;
}

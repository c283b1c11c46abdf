//! Empties namespaces that are being deleted, then lets them go.

mod conditions;
mod content;

use std::sync::Arc;

use client::helpers::{is_conflict, is_not_found};
use client::informer::Informer;
use client::{Event, ObjectKey, Store, WorkQueue};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::PostParams;

use crate::common::{discovery, meta};
use crate::{Context, Error, Outcome};
use content::Remains;

const FINALIZER: &str = "kubernetes";

struct Controller {
    context: Context,
    queue: WorkQueue<String>,
    namespaces: Store<Namespace>,
}

pub(crate) async fn run(context: Context) {
    let namespaces: Informer<Namespace> = context.informers.informer();
    let pods: Informer<Pod> = context.informers.informer();
    namespaces.wait_synced().await;
    let controller = Arc::new(Controller {
        context: context.clone(),
        queue: context.queue("namespace"),
        namespaces: namespaces.store().clone(),
    });
    let handler = controller.clone();
    context.subscribe(&namespaces, move |event| match event {
        Event::Added(namespace) | Event::Modified { new: namespace, .. } => {
            if meta::deleting(&*namespace) {
                handler.queue.add(meta::name(&*namespace).to_owned());
            }
        }
        Event::Deleted(_) => {}
    });
    // Pods are what a namespace waits for longest.
    let handler = controller.clone();
    context.subscribe(&pods, move |event| {
        let Event::Deleted(pod) = event else { return };
        let name = meta::namespace(&*pod);
        let namespace = handler.namespaces.get(&ObjectKey::cluster(name));
        if namespace.is_some_and(|namespace| meta::deleting(&*namespace)) {
            handler.queue.add(name.to_owned());
        }
    });
    let queue = controller.queue.clone();
    let work = move |name| {
        let controller = controller.clone();
        async move { controller.sync(name).await }
    };
    context.work(&queue, 10, work).await;
}

fn finalizers(namespace: &Namespace) -> &[String] {
    namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_deref()).unwrap_or_default()
}

impl Controller {
    async fn sync(&self, name: String) -> Outcome {
        let api = self.context.all::<Namespace>();
        let Some(namespace) = api.get_opt(&name).await? else { return Ok(None) };
        if !meta::deleting(&namespace) || !finalizers(&namespace).iter().any(|f| f == FINALIZER) {
            return Ok(None);
        }
        let (remains, failure) = match discovery::kinds(&self.context.client).await {
            Ok(kinds) => {
                let remains = content::delete(&self.context.client, &kinds, &name).await;
                (remains, None)
            }
            Err(error) => (Remains::default(), Some(error)),
        };
        let mut changed = namespace.clone();
        conditions::write(&mut changed, &remains, failure.as_ref());
        let mut namespace = namespace;
        if changed.status != namespace.status {
            match api.replace_subresource("status", &name, &PostParams::default(), &changed).await {
                Ok(written) => namespace = written,
                // Whoever was faster, the event of it calls us again.
                Err(error) if is_conflict(&error) || is_not_found(&error) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        if let Some(error) = remains.failures.first() {
            return Err(Error::other(error.clone()));
        }
        if let Some(wait) = remains.wait() {
            return Ok(Some(wait));
        }
        if remains.any() {
            return Err(Error::other(format!("content of namespace {name} remains")));
        }
        self.finalize(namespace).await
    }

    async fn finalize(&self, mut namespace: Namespace) -> Outcome {
        let name = meta::name(&namespace).to_owned();
        let spec = namespace.spec.get_or_insert_default();
        let list = spec.finalizers.get_or_insert_default();
        list.retain(|finalizer| finalizer != FINALIZER);
        let api = self.context.all::<Namespace>();
        match api.replace_subresource("finalize", &name, &PostParams::default(), &namespace).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => Ok(None),
        }
    }
}

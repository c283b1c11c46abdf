//! The resources that the server has, built in or custom, as they come and go.

use std::sync::Arc;
use std::time::Duration;

use client::{Event, WorkQueue};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client};

use crate::{Context, Error};

/// A definition that has just changed is not served at once.
const SETTLE: Duration = Duration::from_millis(500);

/// A kind known at run time.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    verbs: Vec<String>,
}

impl Found {
    /// Returns true if objects of the kind can be used in all these ways.
    pub(crate) fn supports(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|known| known == verb))
    }

    /// Access to the kind's objects in a namespace; the namespace of cluster-scoped ones is
    /// empty.
    pub(crate) fn api(&self, client: &Client, namespace: &str) -> Api<DynamicObject> {
        if self.namespaced && !namespace.is_empty() {
            Api::namespaced_with(client.clone(), namespace, &self.resource)
        } else {
            Api::all_with(client.clone(), &self.resource)
        }
    }
}

/// Tells `handle` of every kind, and again of all whenever kinds are defined or change.
pub(crate) async fn follow(
    context: &Context,
    handle: impl Fn(Vec<Arc<Found>>) + Send + Sync + 'static,
) {
    let queue = WorkQueue::new();
    queue.add(());
    let enqueue = queue.clone();
    context.on::<CustomResourceDefinition>(move |event| {
        let served = |definition: &CustomResourceDefinition| {
            let status = definition.status.as_ref();
            let conditions = status.and_then(|status| status.conditions.clone());
            (definition.spec.clone(), conditions)
        };
        match event {
            Event::Modified { old, new } if served(&old) == served(&new) => {}
            _ => enqueue.add_after((), SETTLE),
        }
    });
    let enqueue = queue.clone();
    context.on::<APIService>(move |event| {
        if !matches!(event, Event::Modified { .. }) {
            enqueue.add_after((), SETTLE);
        }
    });
    let (client, handle) = (context.client.clone(), Arc::new(handle));
    let work = move |()| {
        let (client, handle) = (client.clone(), handle.clone());
        async move {
            handle(kinds(&client).await?.into_iter().map(Arc::new).collect());
            Ok(None)
        }
    };
    context.work(&queue, 1, work).await;
}

/// Every kind, once, in its most stable version.
pub(crate) async fn kinds(client: &Client) -> Result<Vec<Found>, Error> {
    let discovery = Discovery::new(client.clone()).run_aggregated().await?;
    let resources = discovery.groups().flat_map(|group| group.resources_by_stability());
    let found = resources.map(|(resource, capabilities)| Found {
        resource,
        namespaced: capabilities.scope == Scope::Namespaced,
        verbs: capabilities.operations,
    });
    Ok(found.collect())
}

//! What kinds the server has, built in or not.

use kube::api::ApiResource;
use kube::core::DynamicObject;
use kube::discovery::{Discovery, Scope};
use kube::{Api, Client};

use crate::Error;

/// A kind known at run time.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    verbs: Vec<String>,
}

impl Found {
    /// Whether objects of the kind can be used in all these ways.
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

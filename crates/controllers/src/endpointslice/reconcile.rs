//! Carrying out the plan for one Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::ObjectKey;
use client::helpers::{is_not_found, owner_ref};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use super::plan::{Plan, plan};
use super::{Controller, MANAGED_BY, MANAGER, SERVICE_NAME, endpoint};
use crate::Error;
use crate::common::{meta, pod_control, service};

/// Address family and ports: what all endpoints of a slice have in common.
#[derive(Clone, Debug, PartialEq)]
struct Group {
    family: String,
    ports: Vec<EndpointPort>,
}

/// Ports in an order of their own, so that they can be compared.
fn sorted(mut ports: Vec<EndpointPort>) -> Vec<EndpointPort> {
    ports.sort_by(|a, b| (&a.name, a.port, &a.protocol).cmp(&(&b.name, b.port, &b.protocol)));
    for port in &mut ports {
        // The server stores an empty name as none.
        port.name = Some(port.name.take().unwrap_or_default());
    }
    ports
}

impl Group {
    fn of(slice: &EndpointSlice) -> Self {
        let ports = sorted(slice.ports.clone().unwrap_or_default());
        Self { family: slice.address_type.clone(), ports }
    }
}

fn families(of: &Service) -> Vec<String> {
    let spec = of.spec.as_ref();
    let families = spec.and_then(|spec| spec.ip_families.clone()).unwrap_or_default();
    if families.is_empty() { vec!["IPv4".to_owned()] } else { families }
}

fn labels(of: &Service) -> BTreeMap<String, String> {
    let mut labels = service::inherited_labels(of);
    labels.insert(SERVICE_NAME.into(), meta::name(of).into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

impl Controller {
    pub(super) async fn reconcile(
        &self,
        key: &ObjectKey,
        of: &Service,
        pods: &[Arc<Pod>],
        present: Vec<Arc<EndpointSlice>>,
    ) -> Result<(), Error> {
        let mut wanted: Vec<(Group, Vec<Endpoint>)> = Vec::new();
        for family in families(of) {
            for pod in pods.iter().filter(|pod| service::may_serve(pod)) {
                let Some(endpoint) = endpoint::endpoint(pod, of, &self.nodes, &family) else {
                    continue;
                };
                let ports = sorted(endpoint::ports(pod, of));
                let group = Group { family: family.clone(), ports };
                match wanted.iter_mut().find(|(known, _)| *known == group) {
                    Some((_, endpoints)) => endpoints.push(endpoint),
                    None => wanted.push((group, vec![endpoint])),
                }
            }
            // A Service without endpoints shows that by an empty slice.
            if !wanted.iter().any(|(group, _)| group.family == family) {
                wanted.push((Group { family, ports: Vec::new() }, Vec::new()));
            }
        }
        let mut left: Vec<EndpointSlice> = Vec::new();
        for slice in &present {
            if !meta::deleting(&**slice) {
                left.push((**slice).clone());
            }
        }
        for (group, endpoints) in wanted {
            let (same, other) = left.into_iter().partition(|slice| Group::of(slice) == group);
            left = other;
            self.carry_out(key, of, &group, same, endpoints).await?;
        }
        for slice in left {
            self.delete(key, &slice).await?;
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        key: &ObjectKey,
        of: &Service,
        group: &Group,
        present: Vec<EndpointSlice>,
        endpoints: Vec<Endpoint>,
    ) -> Result<(), Error> {
        let labels = labels(of);
        let relabel: Vec<EndpointSlice> = present
            .iter()
            .filter(|slice| slice.metadata.labels.as_ref() != Some(&labels))
            .cloned()
            .collect();
        let placeholder = endpoints.is_empty();
        let Plan { mut create, mut update, mut delete } = plan(present, endpoints);
        if placeholder {
            match delete.pop() {
                Some(mut slice) if !slice.endpoints.is_empty() => {
                    slice.endpoints.clear();
                    update.push(slice);
                }
                // Emptied by the plan, or empty already.
                Some(slice) => update.push(slice),
                None => create.push(Vec::new()),
            }
        }
        for slice in relabel {
            let planned = |others: &[EndpointSlice]| others.iter().any(|o| meta::same(o, &slice));
            if !planned(&update) && !planned(&delete) {
                update.push(slice);
            }
        }
        let api = self.context.api::<EndpointSlice>(&key.namespace);
        for endpoints in create {
            let slice = EndpointSlice {
                address_type: group.family.clone(),
                endpoints,
                metadata: ObjectMeta {
                    generate_name: Some(format!("{}-", meta::name(of))),
                    labels: Some(labels.clone()),
                    owner_references: Some(vec![owner_ref(of)]),
                    ..ObjectMeta::default()
                },
                ports: Some(group.ports.clone()),
            };
            match api.create(&PostParams::default(), &slice).await {
                Ok(made) => self.tracker.wrote(key, &made),
                Err(error) if pod_control::is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for mut slice in update {
            slice.metadata.labels = Some(labels.clone());
            let before = self.slices.get(&ObjectKey::of(&slice));
            if before.is_some_and(|before| *before == slice) {
                continue;
            }
            let made = api.replace(meta::name(&slice), &PostParams::default(), &slice).await?;
            self.tracker.wrote(key, &made);
        }
        for slice in delete {
            self.delete(key, &slice).await?;
        }
        Ok(())
    }

    async fn delete(&self, key: &ObjectKey, slice: &EndpointSlice) -> Result<(), Error> {
        let api = self.context.api::<EndpointSlice>(&key.namespace);
        match api.delete(meta::name(slice), &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => {
                self.tracker.deleted(key, meta::uid(slice));
                Ok(())
            }
        }
    }
}

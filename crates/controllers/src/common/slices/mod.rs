//! Writing the EndpointSlices of a Service, for each controller that manages some.

mod packing;
mod tracker;

use std::collections::BTreeMap;

use client::helpers::is_not_found;
use client::informer::Informer;
use client::{Event, ObjectKey, Store};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ObjectMeta, PostParams};

use super::{meta, pod_control, trigger_time};
use crate::{Context, Error};
use packing::{Changes, pack};
use tracker::Tracker;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

/// Address family and ports: what all endpoints of a slice have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Group {
    family: String,
    ports: Vec<EndpointPort>,
}

impl Group {
    /// The ports get an order of their own, so that they can be compared.
    pub(crate) fn new(family: &str, mut ports: Vec<EndpointPort>) -> Self {
        ports.sort_by(|a, b| (&a.name, a.port, &a.protocol).cmp(&(&b.name, b.port, &b.protocol)));
        for port in &mut ports {
            // The server stores an empty name as none.
            port.name = Some(port.name.take().unwrap_or_default());
        }
        Self { family: family.to_owned(), ports }
    }

    fn of(slice: &EndpointSlice) -> Self {
        Self::new(&slice.address_type, slice.ports.clone().unwrap_or_default())
    }
}

/// Endpoints by what they have in common, in the order they were first seen.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Wanted(Vec<(Group, Vec<Endpoint>)>);

impl Wanted {
    pub(crate) fn add(&mut self, group: Group, endpoint: Endpoint) {
        match self.0.iter_mut().find(|(known, _)| *known == group) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => self.0.push((group, vec![endpoint])),
        }
    }

    /// Nothing of this family shows as an empty slice.
    pub(crate) fn ensure(&mut self, family: &str) {
        if !self.0.iter().any(|(group, _)| group.family == family) {
            self.0.push((Group::new(family, Vec::new()), Vec::new()));
        }
    }
}

/// The metadata that all slices of a Service have.
pub(crate) struct Template {
    pub(crate) owner: OwnerReference,
    /// Without those that tell the Service and the manager.
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// The time of the change that the slices follow from. It alone is no reason to write them.
    pub(crate) triggered: Option<Timestamp>,
}

impl Template {
    fn apply(&self, slice: &mut EndpointSlice) {
        let present = slice.metadata.annotations.take().unwrap_or_default();
        let time = present.into_iter().filter(|(name, _)| name == trigger_time::ANNOTATION);
        let annotations: BTreeMap<_, _> = time.chain(self.annotations.clone()).collect();
        slice.metadata.labels = Some(self.labels.clone());
        slice.metadata.annotations = Some(annotations).filter(|all| !all.is_empty());
    }
}

/// The slices of one manager.
pub(crate) struct Slices {
    context: Context,
    manager: &'static str,
    tracker: Tracker,
    store: Store<EndpointSlice>,
}

impl Slices {
    pub(crate) fn new(
        context: &Context,
        informer: &Informer<EndpointSlice>,
        manager: &'static str,
    ) -> Self {
        let store = informer.store().clone();
        store.add_index(manager, move |slice| {
            service_of(slice, manager).map(|key| key.to_string()).into_iter().collect()
        });
        Self { context: context.clone(), manager, tracker: Tracker::default(), store }
    }

    /// Takes note of a change; the Service it is about, if the slice is one of ours.
    pub(crate) fn noted(&self, event: &Event<EndpointSlice>) -> Option<ObjectKey> {
        let slice = event.object();
        let service = service_of(slice, self.manager)?;
        if matches!(event, Event::Deleted(_)) {
            self.tracker.gone(&service, meta::uid(&**slice));
        }
        Some(service)
    }

    /// Forgets a Service.
    pub(crate) fn forget(&self, service: &ObjectKey) {
        self.tracker.forget(service);
    }

    /// Makes the slices of a Service hold exactly what is wanted. The template is only made if the
    /// slices can be written now.
    pub(crate) async fn write(
        &self,
        service: &ObjectKey,
        template: impl FnOnce() -> Template,
        wanted: Wanted,
    ) -> Result<(), Error> {
        let present = self.store.by_index(self.manager, &service.to_string());
        // The last writes must be observed, or they would be repeated. Their events bring the
        // Service back.
        if !self.tracker.caught_up(service, &present) {
            return Ok(());
        }
        let mut template = template();
        template.labels.insert(SERVICE_NAME.into(), service.name.clone());
        template.labels.insert(MANAGED_BY.into(), self.manager.into());
        let present = present.iter().filter(|slice| !meta::deleting(&***slice));
        let mut left: Vec<EndpointSlice> = present.map(|slice| (**slice).clone()).collect();
        for (group, endpoints) in wanted.0 {
            let (same, other) = left.into_iter().partition(|slice| Group::of(slice) == group);
            left = other;
            self.write_group(service, &template, &group, same, endpoints).await?;
        }
        for slice in left {
            self.delete(service, &slice).await?;
        }
        Ok(())
    }

    /// Deletes all slices of a Service.
    pub(crate) async fn clear(&self, service: &ObjectKey) -> Result<(), Error> {
        for slice in self.store.by_index(self.manager, &service.to_string()) {
            self.delete(service, &slice).await?;
        }
        self.forget(service);
        Ok(())
    }

    async fn write_group(
        &self,
        service: &ObjectKey,
        template: &Template,
        group: &Group,
        present: Vec<EndpointSlice>,
        endpoints: Vec<Endpoint>,
    ) -> Result<(), Error> {
        let unlike = |slice: &&EndpointSlice| {
            let mut alike = (*slice).clone();
            template.apply(&mut alike);
            alike != **slice
        };
        let outdated: Vec<EndpointSlice> = present.iter().filter(unlike).cloned().collect();
        let placeholder = endpoints.is_empty();
        let Changes { mut create, mut update, mut delete } = pack(present, endpoints);
        if placeholder {
            match delete.pop() {
                Some(mut slice) => {
                    slice.endpoints = None;
                    update.push(slice);
                }
                None => create.push(Vec::new()),
            }
        }
        for slice in outdated {
            let planned = |others: &[EndpointSlice]| others.iter().any(|o| meta::same(o, &slice));
            if !planned(&update) && !planned(&delete) {
                update.push(slice);
            }
        }
        let api = self.context.api::<EndpointSlice>(&service.namespace);
        for endpoints in create {
            let mut slice = EndpointSlice {
                address_type: group.family.clone(),
                endpoints: Some(endpoints),
                metadata: ObjectMeta {
                    generate_name: Some(format!("{}-", service.name)),
                    owner_references: Some(vec![template.owner.clone()]),
                    ..ObjectMeta::default()
                },
                ports: Some(group.ports.clone()),
            };
            template.apply(&mut slice);
            trigger_time::annotate(&mut slice.metadata, template.triggered);
            match api.create(&PostParams::default(), &slice).await {
                Ok(made) => self.tracker.wrote(service, &made),
                Err(error) if pod_control::is_namespace_terminating(&error) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        for mut slice in update {
            template.apply(&mut slice);
            let before = self.store.get(&ObjectKey::of(&slice));
            if before.is_some_and(|before| *before == slice) {
                continue;
            }
            trigger_time::annotate(&mut slice.metadata, template.triggered);
            let made = api.replace(meta::name(&slice), &PostParams::default(), &slice).await?;
            self.tracker.wrote(service, &made);
        }
        for slice in delete {
            self.delete(service, &slice).await?;
        }
        Ok(())
    }

    async fn delete(&self, service: &ObjectKey, slice: &EndpointSlice) -> Result<(), Error> {
        let api = self.context.api::<EndpointSlice>(&service.namespace);
        match api.delete(meta::name(slice), &DeleteParams::default()).await {
            Err(error) if !is_not_found(&error) => Err(error.into()),
            _ => {
                self.tracker.deleted(service, meta::uid(slice));
                Ok(())
            }
        }
    }
}

/// The Service whose slice this is, if `manager` manages it.
fn service_of(slice: &EndpointSlice, manager: &str) -> Option<ObjectKey> {
    if meta::label(slice, MANAGED_BY) != Some(manager) {
        return None;
    }
    let name = meta::label(slice, SERVICE_NAME)?;
    Some(ObjectKey::new(meta::namespace(slice), name))
}

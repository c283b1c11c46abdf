//! Claims and volumes, with what has been promised but not yet written.

use std::collections::{BTreeMap, HashMap};

use apimachinery::quantity::Quantity;
use client::ObjectKey;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::objects::Objects;

/// The node a volume is to be provisioned for.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Set by whoever has bound a claim to the end.
const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// A class, by name, that does not say when its claims are bound.
#[derive(Debug, thiserror::Error)]
#[error("VolumeBindingMode not set for StorageClass {0:?}")]
pub(crate) struct NoBindingMode(String);

/// Storage as decisions see it.
#[derive(Default)]
pub(crate) struct Storage {
    pub(crate) claims: Objects<PersistentVolumeClaim>,
    pub(crate) volumes: Objects<PersistentVolume>,
    pub(crate) classes: Objects<StorageClass>,
    promised: HashMap<String, ObjectKey>,
    selected: HashMap<ObjectKey, String>,
}

/// The volume bindings that follow from a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Volumes by name, each with the claim it goes to.
    pub(crate) bind: Vec<(String, ObjectKey)>,
    /// Claims for which a volume is to be made.
    pub(crate) provision: Vec<ObjectKey>,
}

impl Plan {
    pub(crate) fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }
}

impl Storage {
    /// Keeps a plan in mind until the API shows it.
    pub(crate) fn assume(&mut self, plan: &Plan, node: &str) {
        self.promised.extend(plan.bind.iter().cloned());
        self.selected.extend(plan.provision.iter().map(|claim| (claim.clone(), node.to_owned())));
    }

    /// Forgets a plan, whether it was carried out or failed.
    pub(crate) fn forget(&mut self, plan: &Plan) {
        for (volume, _) in &plan.bind {
            self.promised.remove(volume);
        }
        for claim in &plan.provision {
            self.selected.remove(claim);
        }
    }

    /// The node that a claim's volume is to be provisioned for.
    pub(crate) fn selected_node<'a>(&'a self, claim: &'a PersistentVolumeClaim) -> Option<&'a str> {
        let annotated = annotation(&claim.metadata, SELECTED_NODE);
        annotated.or_else(|| self.selected.get(&ObjectKey::of(claim)).map(String::as_str))
    }

    /// Returns true if another claim has the volume, or has been promised it.
    pub(crate) fn is_taken(&self, volume: &PersistentVolume, by: &PersistentVolumeClaim) -> bool {
        let name = volume.metadata.name.as_deref().unwrap_or_default();
        let promised = self.promised.get(name).is_some_and(|claim| *claim != ObjectKey::of(by));
        let claimed = volume.spec.as_ref().is_some_and(|s| s.claim_ref.is_some());
        promised || (claimed && !belongs_to(volume, by))
    }

    /// The class of a claim and whether it asks to wait for a pod; only a class that exists does.
    ///
    /// # Errors
    /// The class has no binding mode.
    pub(crate) fn waits_for_consumer(
        &self,
        claim: &PersistentVolumeClaim,
    ) -> Result<bool, NoBindingMode> {
        let name = class_of(claim);
        let Some(class) = self.classes.named(name) else { return Ok(false) };
        match class.volume_binding_mode.as_deref() {
            Some(mode) => Ok(mode == "WaitForFirstConsumer"),
            None => Err(NoBindingMode(name.to_owned())),
        }
    }
}

pub(crate) fn annotation<'a>(meta: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    meta.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The class a claim names; empty for none.
pub(crate) fn class_of(claim: &PersistentVolumeClaim) -> &str {
    let named = || claim.spec.as_ref()?.storage_class_name.as_deref();
    annotation(&claim.metadata, CLASS).or_else(named).unwrap_or_default()
}

/// The class a volume belongs to; empty for none.
pub(crate) fn class_of_volume(volume: &PersistentVolume) -> &str {
    let named = || volume.spec.as_ref()?.storage_class_name.as_deref();
    annotation(&volume.metadata, CLASS).or_else(named).unwrap_or_default()
}

/// The volume a claim names, bound to the end or not.
pub(crate) fn volume_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    claim.spec.as_ref()?.volume_name.as_deref().filter(|name| !name.is_empty())
}

/// Returns true if a claim is completely bound.
pub(crate) fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    volume_name(claim).is_some() && annotation(&claim.metadata, BIND_COMPLETED).is_some()
}

/// Returns true if a volume is bound to a claim, or reserved for it.
pub(crate) fn belongs_to(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let Some(owner) = volume.spec.as_ref().and_then(|s| s.claim_ref.as_ref()) else { return false };
    let uid = owner.uid.as_ref().filter(|uid| !uid.is_empty());
    owner.name == claim.metadata.name
        && owner.namespace == claim.metadata.namespace
        && uid.is_none_or(|uid| claim.metadata.uid.as_ref() == Some(uid))
}

/// Bytes of `storage` in a list of quantities.
pub(crate) fn bytes(list: Option<&BTreeMap<String, ApiQuantity>>) -> i64 {
    let text = list.and_then(|quantities| quantities.get("storage"));
    text.and_then(|text| Quantity::parse(&text.0).ok()).map_or(0, |quantity| quantity.value())
}

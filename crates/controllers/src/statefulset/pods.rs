//! Making, deleting and mending pods and their claims, and telling of it.

use client::EventType::{Normal, Warning};
use client::ObjectKey;
use client::helpers::{is_already_exists, is_not_found};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::plan::Step;
use super::{Controller, identity, retention};
use crate::Error;
use crate::common::{meta, pod, pod_control};

impl Controller {
    pub(super) async fn take(&self, set: &StatefulSet, step: &Step) -> Result<(), Error> {
        match step {
            Step::Create(pod) => self.create(set, pod).await,
            Step::Delete(pod) => self.delete(set, pod).await,
            Step::Provide(pod) => {
                self.make_claims(set, pod).await?;
                self.own_claims(set, pod).await
            }
            Step::Tidy(pod) => self.tidy(set, pod).await,
        }
    }

    fn tell(&self, set: &StatefulSet, verb: &str, pod: &Pod, result: &Result<(), Error>) {
        let (name, owner, events) = (meta::name(pod), meta::name(set), &self.context.events);
        match result {
            Ok(()) => {
                let text = format!("{verb} Pod {name} in StatefulSet {owner} successful");
                events.event(set, Normal, &format!("Successful{verb}"), text);
            }
            Err(error) => {
                let text =
                    format!("{verb} Pod {name} in StatefulSet {owner} failed error: {error}");
                events.event(set, Warning, &format!("Failed{verb}"), text);
            }
        }
    }

    async fn create(&self, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        let stale = |claim: &PersistentVolumeClaim| {
            let known = self.claims.get(&ObjectKey::of(claim));
            known.is_some_and(|known| retention::is_stale(set, pod, &known))
        };
        if identity::claims(set, pod).iter().any(stale) {
            // Its deletion will bring us back here.
            return Ok(());
        }
        let claims = self.make_claims(set, pod).await;
        if claims.is_err() {
            self.tell(set, "Create", pod, &claims);
            return claims;
        }
        let api = self.context.api::<Pod>(meta::namespace(set));
        let result = match api.create(&PostParams::default(), pod).await {
            Ok(made) => {
                let owned = self.own_claims(set, &made).await;
                if owned.is_err() {
                    self.tell(set, "Update", pod, &owned);
                    return owned;
                }
                Ok(())
            }
            // Most likely our own, and not yet in the cache.
            Err(error) if is_already_exists(&error) => return Err(error.into()),
            Err(error) => Err(Error::from(error)),
        };
        let in_vain =
            |error: &Error| error.api().is_some_and(pod_control::is_namespace_terminating);
        if !result.as_ref().is_err_and(in_vain) {
            self.tell(set, "Create", pod, &result);
        }
        result
    }

    pub(super) async fn delete(&self, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        let api = self.context.api::<Pod>(meta::namespace(set));
        // Its successor has the same name.
        let same = Preconditions { uid: pod.metadata.uid.clone(), resource_version: None };
        let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        let result = match api.delete(meta::name(pod), &params).await {
            Err(error) if is_not_found(&error) => return Ok(()),
            Err(error) => Err(Error::from(error)),
            Ok(_) => Ok(()),
        };
        self.tell(set, "Delete", pod, &result);
        result
    }

    async fn tidy(&self, set: &StatefulSet, member: &Pod) -> Result<(), Error> {
        self.own_claims(set, member).await?;
        if identity::is_intact(set, member) {
            return Ok(());
        }
        if pod::phase(member) == "Pending" {
            self.make_claims(set, member).await?;
        }
        let api = self.context.api::<Pod>(meta::namespace(set));
        let restore = async {
            // The informer does not hold all of a pod.
            let mut whole = api.get(meta::name(member)).await?;
            if meta::uid(&whole) != meta::uid(member) {
                return Ok(());
            }
            identity::restore(set, &mut whole);
            api.replace(meta::name(member), &PostParams::default(), &whole).await.map(drop)
        };
        let result = restore.await.map_err(Error::from);
        self.tell(set, "Update", member, &result);
        result
    }

    /// Makes the claims that a pod lacks.
    async fn make_claims(&self, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        let (owner, member) = (meta::name(set), meta::name(pod));
        let events = &self.context.events;
        for claim in identity::claims(set, pod) {
            let name = meta::name(&claim);
            if let Some(known) = self.claims.get(&ObjectKey::of(&claim)) {
                if meta::deleting(&*known) {
                    return Err(Error::other(format!("pvc {name} is being deleted")));
                }
                continue;
            }
            let api = self.context.api::<PersistentVolumeClaim>(meta::namespace(set));
            match api.create(&PostParams::default(), &claim).await {
                Ok(_) => {
                    let text =
                        format!("Create Claim {name} Pod {member} in StatefulSet {owner} success");
                    events.event(set, Normal, "SuccessfulCreate", text);
                }
                Err(error) if is_already_exists(&error) => {}
                Err(error) => {
                    let error = Error::from(error);
                    let text = format!(
                        "Create Claim {name} for Pod {member} in StatefulSet {owner} failed \
                         error: {error}"
                    );
                    events.event(set, Warning, "FailedCreate", text);
                    return Err(Error::other(format!("failed to create PVC {name}: {error}")));
                }
            }
        }
        Ok(())
    }

    /// Gives a pod's claims the owners that the retention policy asks for.
    pub(super) async fn own_claims(&self, set: &StatefulSet, pod: &Pod) -> Result<(), Error> {
        for claim in identity::claims(set, pod) {
            // A claim that is missing is handled when it appears.
            let Some(known) = self.claims.get(&ObjectKey::of(&claim)) else { continue };
            let Some(owners) = retention::wanted_owners(set, pod, &known) else { continue };
            let name = meta::name(&*known);
            if retention::is_foreign(set, pod, &known) {
                let text = format!(
                    "PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a \
                     manging controller, the retention policy is ignored for this claim"
                );
                self.context.events.event(set, Warning, "ConflictingController", text);
            }
            let mut changed = (*known).clone();
            changed.metadata.owner_references = Some(owners);
            let api = self.context.api::<PersistentVolumeClaim>(meta::namespace(set));
            api.replace(name, &PostParams::default(), &changed).await?;
        }
        Ok(())
    }
}

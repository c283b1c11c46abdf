//! Says in the status of a ValidatingAdmissionPolicy which of its expressions cannot be right for the
//! kinds that it names: the policy itself is evaluated on objects of any type.
//!
//! <https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking>

mod check;
mod kinds;
mod schemas;

use client::informer::Informer;
use client::{Event, ObjectKey};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{Context, Outcome};

const WORKERS: usize = 5;
const MANAGER: &str = "validatingadmissionpolicy-status";

pub(crate) async fn run(context: Context) {
    let policies: Informer<ValidatingAdmissionPolicy> = context.informers.informer();
    policies.wait_synced().await;
    let queue = context.queue(MANAGER);
    let adder = queue.clone();
    context.subscribe(&policies, move |event: Event<ValidatingAdmissionPolicy>| {
        if let Event::Added(policy) | Event::Modified { new: policy, .. } = event {
            adder.add(ObjectKey::of(&*policy));
        }
    });
    let (store, inner) = (policies.store().clone(), context.clone());
    let work = move |key: ObjectKey| {
        let (store, context) = (store.clone(), inner.clone());
        async move {
            match store.get(&key) {
                Some(policy) => reconcile(&context, &policy).await,
                None => Ok(None),
            }
        }
    };
    context.work(&queue, WORKERS, work).await;
}

async fn reconcile(context: &Context, policy: &ValidatingAdmissionPolicy) -> Outcome {
    let generation = policy.metadata.generation.unwrap_or_default();
    let observed = policy.status.as_ref().and_then(|status| status.observed_generation);
    if generation <= observed.unwrap_or_default() {
        return Ok(None);
    }
    let spec = policy.spec.clone().unwrap_or_default();
    let checked = check::Checked::fetch(&context.client, &spec).await?;
    // Compiling may take a while.
    let warnings = tokio::task::spawn_blocking(move || checked.warnings(&spec)).await;
    let warnings = warnings.map_err(|why| crate::Error::other(why.to_string()))?;
    let checking = match warnings.is_empty() {
        true => json!({}),
        false => json!({"expressionWarnings": warnings}),
    };
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let status = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "status": {"observedGeneration": generation, "typeChecking": checking},
    });
    let params = PatchParams::apply(MANAGER).force();
    context
        .all::<ValidatingAdmissionPolicy>()
        .patch_status(name, &params, &Patch::Apply(status))
        .await?;
    Ok(None)
}

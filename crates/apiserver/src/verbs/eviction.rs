//! `pods/eviction`: a deletion that respects disruption budgets.

use apimachinery::selector::LabelSelector;
use apimachinery::status::Cause;
use apimachinery::{Object, ObjectExt, Status, time};
use http::Response;
use serde_json::Value;
use store::Expect;

use super::commit::Failure;
use super::create::Ownership;
use super::pod_binding::set_condition;
use super::{Call, delete, meta, options, update};
use crate::admission::{self, Operation};
use crate::body::Body;
use crate::decode::Expected;
use crate::encode::{self, view};
use crate::registry::{self, Sub};

const EVICTION: Expected<'static> = Expected::builtin("policy", "v1", "Eviction");
/// Upstream's retry delay for clients, in seconds.
const RETRY: u32 = 10;

/// Maximum number of disruptions that the budget's controller has not seen yet (upstream's
/// `MaxDisruptedPodSize`).
const MAX_DISRUPTED: usize = 2000;
/// Number of attempts to evict a pod that keeps changing (upstream's `EvictionsRetry`).
const TRIES: usize = 20;

pub(super) async fn evict(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let mut eviction = call.decode(body, EVICTION).await?;
    meta::place(&call.kind, &call.info.namespace, &mut eviction)?;
    if eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let wishes = eviction.get("deleteOptions").cloned().unwrap_or(Value::Null);
    let errors = delete::check_options(&wishes);
    if !errors.is_empty() {
        return Err(options::invalid("DeleteOptions", errors));
    }
    // Before the eviction is charged to a budget.
    let pod = current(call)?;
    admission::admit(call, Operation::Create, &mut eviction, Some(&pod)).await?;
    admission::validate(call, Operation::Create, Some(&eviction), Some(&pod)).await?;
    let mut wishes = delete::Options::of(&wishes);
    wishes.dry_run |= call.dry_run();
    let call = Call { dry: wishes.dry_run, ..call.upon(call.kind.clone(), None) };
    let kept = wishes.revision.is_some();
    for _ in 0..TRIES {
        let pod = current(&call)?;
        // Pods that have finished or are not running yet need no budget.
        let phase = pod.str_at(&["status", "phase"]);
        let over = matches!(phase, "Succeeded" | "Failed") || pod.deletion_timestamp().is_some();
        if !over && phase != "Pending" {
            break;
        }
        // A pod that may start at any moment is only deleted in the observed version.
        let mut wishes = wishes.clone();
        if !over && !kept {
            wishes.revision = Some(pod.resource_version().to_owned());
        }
        match remove(&call, &wishes).await {
            Ok(()) => return done(&call),
            Err(status) if status.is("Conflict") && !kept => {}
            Err(status) => return Err(status),
        }
    }
    let pod = current(&call)?;
    let unguarded = take_disruption(&call, &pod).await?;
    if let Some(budget) = &unguarded {
        // The pod does not count for the budget while it is not ready.
        wishes.revision = Some(pod.resource_version().to_owned());
        return match remove(&call, &wishes).await {
            Err(status) if status.is("Conflict") && !kept => Err(being_processed(budget)),
            outcome => outcome.and_then(|()| done(&call)),
        };
    }
    remove(&call, &wishes).await?;
    done(&call)
}

fn current(call: &Call<'_>) -> Result<Object, Status> {
    let entry = call.server.entry(&call.kind, &call.info.namespace, &call.info.name);
    let entry = entry.ok_or_else(|| call.not_found())?;
    Ok(view(&call.kind, &entry))
}

fn done(call: &Call<'_>) -> Result<Response<Body>, Status> {
    encode::created(call.accepted.encoding)
}

/// Sets the reason on the pod, and deletes it.
async fn remove(call: &Call<'_>, wishes: &delete::Options) -> Result<(), Status> {
    let mut wishes = wishes.clone();
    if !wishes.dry_run {
        let marked = mark(call, &wishes).await?;
        if let Some(revision) = &mut wishes.revision {
            *revision = marked.resource_version().to_owned();
        }
    }
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    delete::delete_one(call, namespace, name, &wishes).await.map(drop)
}

/// Sets the reason on the pod, for controllers that count failures.
async fn mark(call: &Call<'_>, wishes: &delete::Options) -> Result<Object, Status> {
    let call = call.upon(call.kind.clone(), Some(Sub::Status));
    update::change(&call, |old| {
        delete::check_preconditions(&call, old, wishes)?;
        let mut pod = old.clone();
        // The client's precondition on the version was checked above.
        let version = wishes.revision.clone().map_or(Value::Null, Value::from);
        pod.set_meta("resourceVersion", version);
        let (reason, message) = ("EvictionByEvictionAPI", "Eviction API: evicting");
        set_condition(&mut pod, "DisruptionTarget", reason, message);
        Ok((pod, Ownership::Update))
    })
    .await
}

fn refuse(wait: u32, why: String) -> Status {
    let cause = Cause { reason: "DisruptionBudget".into(), message: why, ..Cause::default() };
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    Status::too_many_requests(message, wait).caused_by(cause)
}

fn being_processed(budget: &str) -> Status {
    refuse(RETRY, format!("The disruption budget {budget} is still being processed by the server."))
}

/// The reason why a budget does not permit a disruption now.
fn refusal(budget: &Object) -> Option<Status> {
    let name = budget.name();
    let number = |field| budget["status"][field].as_i64().unwrap_or(0);
    if number("observedGeneration") < budget.generation() {
        return Some(being_processed(name));
    }
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
        return Some(Status::forbidden("policy", "poddisruptionbudget", name, why));
    }
    if budget["status"]["disruptedPods"].as_object().is_some_and(|p| p.len() > MAX_DISRUPTED) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Some(Status::forbidden("policy", "poddisruptionbudget", name, why));
    }
    if allowed > 0 {
        return None;
    }
    let (desired, current) = (number("desiredHealthy"), number("currentHealthy"));
    let mut conditions = budget["status"]["conditions"].as_array().into_iter().flatten();
    let told = conditions.find(|c| c["type"] == "DisruptionAllowed" && c["status"] == "False");
    let (reason, message) =
        told.map_or(("", ""), |c| (c.str_at(&["reason"]), c.str_at(&["message"])));
    let denied = format!("The disruption budget {name} does not allow evicting pods currently");
    let why = match (reason, message) {
        ("SyncFailed", why) if !why.is_empty() => {
            format!("{denied} because it failed sync: {why}")
        }
        _ if current <= desired => format!(
            "The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        ),
        (_, "") => denied,
        (reason, why) => format!("{denied} ({reason}): {why}"),
    };
    Some(refuse(0, why))
}

/// Returns true if the budget permits evicting an unhealthy pod.
fn lets_unhealthy_go(budget: &Object, pod: &Object) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    if conditions.any(|c| c["type"] == "Ready" && c["status"] == "True") {
        return false;
    }
    let number = |field| budget["status"][field].as_i64().unwrap_or(0);
    let desired = number("desiredHealthy");
    budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        || (desired > 0 && number("currentHealthy") >= desired)
}

/// Charges the eviction to the budget that covers the pod; a dry run charges nothing. Returns the
/// budget's name if the pod does not count for it in its state.
async fn take_disruption(call: &Call<'_>, pod: &Object) -> Result<Option<String>, Status> {
    let kind = registry::find("policy", "v1", "poddisruptionbudgets")
        .ok_or_else(|| Status::internal("no disruption budgets"))?;
    loop {
        let (snapshot, _) = call.server.present(kind)?;
        let mut covering = Vec::new();
        for entry in snapshot.range(pod.namespace(), "") {
            let budget = entry.object();
            // An invalid selector covers nothing.
            let Ok(selector) = LabelSelector::from_value(&budget["spec"]["selector"]) else {
                continue;
            };
            if selector.matches(|key| pod.label(key)) {
                covering.push((entry.revision, budget));
            }
        }
        let (revision, mut budget) = match covering.len() {
            0 => return Ok(None),
            1 => covering.remove(0),
            _ => {
                return Err(Status::generic(
                    500,
                    "",
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        if lets_unhealthy_go(&budget, pod) {
            return Ok(Some(budget.name().to_owned()));
        }
        if let Some(status) = refusal(&budget) {
            return Err(status);
        }
        if call.dry_run() {
            return Ok(None);
        }
        let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0) - 1;
        budget.set_path(&["status", "disruptionsAllowed"], allowed.into());
        budget.set_path(&["status", "disruptedPods", pod.name()], time::now_rfc3339().into());
        if allowed == 0 {
            exhaust(&mut budget);
        }
        match call.server.commit(kind, &mut budget, Expect::At(revision)).await {
            Ok(()) => return Ok(None),
            Err(Failure::Refused(status)) => return Err(status),
            Err(Failure::Conflict) => {}
        }
    }
}

/// Sets the budget's condition to insufficient pods.
fn exhaust(budget: &mut Object) {
    let observed = budget["status"]["observedGeneration"].clone();
    let Some(conditions) = budget["status"]["conditions"].as_array_mut() else { return };
    for condition in conditions.iter_mut().filter(|c| c["type"] == "DisruptionAllowed") {
        if condition["status"] != "False" {
            condition["status"] = "False".into();
            condition["lastTransitionTime"] = time::now_rfc3339().into();
        }
        condition["reason"] = "InsufficientPods".into();
        condition["message"] = "".into();
        condition["observedGeneration"] = observed.clone();
    }
}

//! `pods/eviction`: a deletion that asks the disruption budgets first.

use apimachinery::selector::LabelSelector;
use apimachinery::status::Cause;
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use serde_json::Value;
use store::Expect;

use super::commit::Failure;
use super::create::Ownership;
use super::pod_binding::set_condition;
use super::{Call, update};
use crate::admission::{self, Operation};
use crate::body::Body;
use crate::decode::Expected;
use crate::encode::{self, view};
use crate::registry::{self, Sub};

const EVICTION: Expected<'static> = Expected { group: "policy", version: "v1", kind: "Eviction" };
/// What upstream tells a client to wait, in seconds.
const RETRY: u32 = 10;

pub(super) async fn evict(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let mut eviction = call.decode(body, EVICTION).await?;
    if !eviction.name().is_empty() && eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let entry = call
        .server
        .entry(call.kind, &call.info.namespace, &call.info.name)
        .ok_or_else(|| call.not_found())?;
    let pod = view(call.kind, &entry);
    // Before a budget is charged for it.
    admission::admit(call, Operation::Create, &mut eviction, Some(&pod)).await?;
    admission::validate(call, Operation::Create, Some(&eviction), Some(&pod)).await?;
    // Pods that are over or not running yet disturb nobody.
    let phase = pod.str_at(&["status", "phase"]);
    let free =
        matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.deletion_timestamp().is_some();
    if !free {
        take_disruption(call, &pod).await?;
    }
    if !call.dry_run()? {
        mark(call).await?;
    }
    let options = eviction.get("deleteOptions").cloned().unwrap_or(Value::Null);
    let body =
        crate::body::full(if options.is_null() { String::new() } else { options.to_string() });
    super::delete::delete(&call.upon(call.kind, None), body).await?;
    encode::value(StatusCode::CREATED, &Status::success().to_value(), call.accepted.encoding)
}

/// Says on the pod why it goes, for whoever counts its end.
async fn mark(call: &Call<'_>) -> Result<(), Status> {
    let call = call.upon(call.kind, Some(Sub::Status));
    let marked = update::change(&call, |old| {
        let mut pod = old.clone();
        pod.set_meta("resourceVersion", Value::Null);
        let (reason, message) = ("EvictionByEvictionAPI", "Eviction API: evicting");
        set_condition(&mut pod, "DisruptionTarget", reason, message);
        Ok((pod, Ownership::Update))
    });
    marked.await.map(drop)
}

/// Why a budget does not let a pod go now.
fn refusal(budget: &Object) -> Option<Status> {
    let name = budget.name();
    let number = |field| budget["status"][field].as_i64().unwrap_or(0);
    let refuse = |wait, why: String| {
        let cause = Cause { reason: "DisruptionBudget".into(), message: why, ..Cause::default() };
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        Some(Status::too_many_requests(message, wait).caused_by(cause))
    };
    if number("observedGeneration") < budget.generation() {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return refuse(RETRY, why);
    }
    let allowed = number("disruptionsAllowed");
    if allowed < 0 {
        let why = "pdb disruptions allowed is negative";
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
    refuse(0, why)
}

/// Whether the budget lets pods go that are not healthy anyway.
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

/// Counts the eviction against the budget that covers the pod.
async fn take_disruption(call: &Call<'_>, pod: &Object) -> Result<(), Status> {
    let kind = registry::find("policy", "v1", "poddisruptionbudgets")
        .ok_or_else(|| Status::internal("no disruption budgets"))?;
    loop {
        let (snapshot, _) = call.server.present(kind)?;
        let mut covering = Vec::new();
        for entry in snapshot.range(pod.namespace(), "") {
            let budget = entry.object();
            let selector = LabelSelector::from_value(&budget["spec"]["selector"])?;
            if selector.matches(|key| pod.label(key)) {
                covering.push((entry.revision, budget));
            }
        }
        let (revision, mut budget) = match covering.len() {
            0 => return Ok(()),
            1 => covering.remove(0),
            _ => {
                return Err(Status::internal(
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
                ));
            }
        };
        if lets_unhealthy_go(&budget, pod) {
            return Ok(());
        }
        if let Some(status) = refusal(&budget) {
            return Err(status);
        }
        let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        budget.set_path(&["status", "disruptionsAllowed"], (allowed - 1).into());
        budget.set_path(&["status", "disruptedPods", pod.name()], time::now_rfc3339().into());
        match call.server.commit(kind, &mut budget, Expect::At(revision)).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(status)) => return Err(status),
            Err(Failure::Conflict) => {}
        }
    }
}

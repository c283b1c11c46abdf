//! `pods/eviction`: a deletion that asks the disruption budgets first.

use apimachinery::selector::LabelSelector;
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use serde_json::Value;
use store::Expect;

use super::Call;
use super::commit::Failure;
use crate::body::Body;
use crate::decode::Expected;
use crate::encode::{self, view};
use crate::registry;

const EVICTION: Expected<'static> = Expected { group: "policy", version: "v1", kind: "Eviction" };
/// What upstream tells a client to wait, in seconds.
const RETRY: u32 = 10;

pub(super) async fn evict(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let eviction = call.decode(body, EVICTION).await?;
    if !eviction.name().is_empty() && eviction.name() != call.info.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let entry = call
        .server
        .entry(call.kind, &call.info.namespace, &call.info.name)
        .ok_or_else(|| call.not_found())?;
    let pod = view(call.kind, &entry);
    // Pods that are over or not running yet disturb nobody.
    let phase = pod.str_at(&["status", "phase"]);
    let free =
        matches!(phase, "Succeeded" | "Failed" | "Pending") || pod.deletion_timestamp().is_some();
    if !free {
        take_disruption(call, &pod).await?;
    }
    let options = eviction.get("deleteOptions").cloned().unwrap_or(Value::Null);
    let body =
        crate::body::full(if options.is_null() { String::new() } else { options.to_string() });
    let delete = Call {
        server: call.server,
        user: call.user.clone(),
        info: call.info.clone(),
        query: call.query.clone(),
        accepted: call.accepted,
        content_type: None,
        agent: call.agent.clone(),
        kind: call.kind,
        sub: None,
        warnings: Default::default(),
    };
    super::delete::delete(&delete, body).await?;
    encode::value(StatusCode::CREATED, &Status::success().to_value(), call.accepted.encoding)
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
        let blocked = |why: &str| {
            Err(Status::too_many_requests(
                format!("Cannot evict pod as it would violate the pod's disruption budget.{why}"),
                RETRY,
            ))
        };
        let observed = budget["status"]["observedGeneration"].as_i64().unwrap_or(0);
        let allowed = budget["status"]["disruptionsAllowed"].as_i64().unwrap_or(0);
        if observed < budget.generation() || allowed <= 0 {
            return blocked("");
        }
        budget.set_path(&["status", "disruptionsAllowed"], (allowed - 1).into());
        budget.set_path(&["status", "disruptedPods", pod.name()], time::now_rfc3339().into());
        match call.server.commit(kind, &mut budget, Expect::At(revision)).await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(status)) => return Err(status),
            Err(Failure::Conflict) => {}
        }
    }
}

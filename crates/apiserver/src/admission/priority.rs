//! Priority: a pod gets the priority of its class.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Plugin, Request};
use crate::registry;

pub(super) struct Priority;

#[async_trait]
impl Plugin for Priority {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        if !pod["spec"].is_object() {
            return Ok(());
        }
        if let Some(old) = request.old.filter(|_| request.updates_pod()) {
            // The original values are kept; validation refuses others.
            for field in ["priority", "preemptionPolicy"] {
                if pod["spec"][field].is_null() && !old["spec"][field].is_null() {
                    pod.set_path(&["spec", field], old["spec"][field].clone());
                }
            }
        }
        if !request.creates_pod() {
            return Ok(());
        }
        let kind = classes()?;
        let name = pod.str_at(&["spec", "priorityClassName"]).to_owned();
        let class = if name.is_empty() {
            default_class(request, kind)?
        } else {
            let entry = request.server.entry(kind, "", &name).ok_or_else(|| {
                request.forbidden(format!("no PriorityClass with name {name} was found"))
            })?;
            Some(entry.object())
        };
        let (value, policy) = match &class {
            Some(class) => {
                pod.set_path(&["spec", "priorityClassName"], class.name().into());
                let policy = class.str_at(&["preemptionPolicy"]);
                (
                    class["value"].as_i64().unwrap_or(0),
                    if policy.is_empty() { "PreemptLowerPriority" } else { policy },
                )
            }
            None => (0, "PreemptLowerPriority"),
        };
        if let Some(given) = pod["spec"]["priority"].as_i64()
            && given != value
        {
            return Err(request.forbidden(format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {value} from the given PriorityClass name"
            )));
        }
        pod.set_path(&["spec", "priority"], value.into());
        if let Some(given) = pod["spec"]["preemptionPolicy"].as_str()
            && given != policy
        {
            return Err(request.forbidden(format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
            )));
        }
        if pod["spec"]["preemptionPolicy"].is_null() {
            pod.set_path(&["spec", "preemptionPolicy"], policy.into());
        }
        Ok(())
    }

    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        if !request.is("scheduling.k8s.io", "priorityclasses") {
            return Ok(());
        }
        let Some(class) = object.filter(|class| class["globalDefault"] == true) else {
            return Ok(());
        };
        match default_class(request, classes()?)? {
            Some(other) if other.name() != class.name() => Err(request.forbidden(format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.name()
            ))),
            _ => Ok(()),
        }
    }
}

fn classes() -> Result<&'static registry::Kind, Status> {
    registry::find("scheduling.k8s.io", "v1", "priorityclasses")
        .ok_or_else(|| Status::internal("no priority classes"))
}

/// The lowest of the default classes.
fn default_class(
    request: &Request<'_>,
    kind: &'static crate::registry::Kind,
) -> Result<Option<Value>, Status> {
    let (snapshot, _) = request.server.present(kind)?;
    // Quotes are escaped inside of strings, so that no other text has it.
    let may_be = |text: &str| text.contains(r#""globalDefault":true"#);
    let entries = snapshot.range("", "").filter(|e| str::from_utf8(&e.bytes).is_ok_and(may_be));
    let classes = entries.map(|e| e.object()).filter(|c| c["globalDefault"] == true);
    Ok(classes.min_by_key(|c| c["value"].as_i64().unwrap_or(0)))
}

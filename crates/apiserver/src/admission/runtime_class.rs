//! RuntimeClass: pods get the overhead and the scheduling of their runtime class.

use apimachinery::{Object, ObjectExt, Status, text};
use async_trait::async_trait;
use rules::resources::Amounts;
use serde_json::{Value, json};

use super::{Plugin, Request, toleration};
use crate::registry;

/// The reason why a pod does not match its class.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Mismatch {
    #[error("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")]
    Overhead,
    #[error("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")]
    Stray,
    #[error(
        "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {class}; \
         pod.spec.nodeSelector[{key}] = {pod}"
    )]
    NodeSelector { key: String, class: String, pod: String },
}

pub(super) struct RuntimeClass;

#[async_trait]
impl Plugin for RuntimeClass {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        if !request.creates_pod() || !pod["spec"].is_object() {
            return Ok(());
        }
        let Some(class) = class_of(request, pod)? else { return Ok(()) };
        set_overhead(pod, &class)
            .and_then(|()| set_scheduling(pod, &class["scheduling"]))
            .map_err(|why| request.forbidden(why))
    }

    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        let Some(pod) = pod.filter(|_| request.creates_pod()) else { return Ok(()) };
        let class = class_of(request, pod)?.unwrap_or_default();
        let (defined, own) = (&class["overhead"], &pod["spec"]["overhead"]);
        let wrong = if defined.is_null() {
            (!own.is_null()).then_some(Mismatch::Stray)
        } else {
            (Amounts::read(&defined["podFixed"]) != Amounts::read(own))
                .then_some(Mismatch::Overhead)
        };
        wrong.map_or(Ok(()), |why| Err(request.forbidden(why)))
    }
}

/// The class that the pod names, if any.
fn class_of(request: &Request<'_>, pod: &Object) -> Result<Option<Object>, Status> {
    let Some(name) = pod.get_path(&["spec", "runtimeClassName"]).and_then(Value::as_str) else {
        return Ok(None);
    };
    // Upstream requests a class without a name, which its client refuses.
    if name.is_empty() {
        return Err(Status::generic(500, "", "resource name may not be empty"));
    }
    let kind = registry::find("node.k8s.io", "v1", "runtimeclasses")
        .ok_or_else(|| Status::internal("no runtime classes"))?;
    let entry = request.server.entry(kind, "", name).ok_or_else(|| {
        request.forbidden(format!("pod rejected: RuntimeClass {} not found", text::quote(name)))
    })?;
    Ok(Some(entry.object()))
}

fn set_overhead(pod: &mut Object, class: &Value) -> Result<(), Mismatch> {
    if class["overhead"].is_null() {
        return Ok(());
    }
    let fixed = &class["overhead"]["podFixed"];
    let own = Amounts::read(&pod["spec"]["overhead"]);
    if !own.is_empty() && own != Amounts::read(fixed) {
        return Err(Mismatch::Overhead);
    }
    if !fixed.is_null() {
        pod["spec"]["overhead"] = fixed.clone();
    }
    Ok(())
}

fn set_scheduling(pod: &mut Object, scheduling: &Value) -> Result<(), Mismatch> {
    if scheduling.is_null() {
        return Ok(());
    }
    for (key, value) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let path = ["spec", "nodeSelector", key];
        if let Some(own) = pod.get_path(&path).filter(|own| *own != value) {
            let show = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (class, pod) = (show(value), show(own));
            return Err(Mismatch::NodeSelector { key: key.clone(), class, pod });
        }
        pod.set_path(&path, value.clone());
    }
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut tolerations = list(&pod["spec"]["tolerations"]);
    tolerations.extend(list(&scheduling["tolerations"]));
    if !tolerations.is_empty() {
        pod["spec"]["tolerations"] = json!(toleration::merge(&tolerations));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overhead_comes_from_the_class_alone() {
        let class = json!({"overhead": {"podFixed": {"cpu": "100m"}}});
        for (overhead, result) in [
            (Value::Null, Ok(())),
            (json!({"cpu": "0.1"}), Ok(())),
            (json!({"cpu": "1"}), Err(Mismatch::Overhead)),
            (json!({"cpu": "100m", "memory": "1"}), Err(Mismatch::Overhead)),
        ] {
            let mut pod = json!({"spec": {"overhead": overhead}});
            assert_eq!(set_overhead(&mut pod, &class), result, "{overhead}");
            if result.is_ok() {
                assert_eq!(pod["spec"]["overhead"], json!({"cpu": "100m"}));
            }
        }
        let mut pod = json!({"spec": {}});
        assert_eq!(set_overhead(&mut pod, &json!({})), Ok(()));
        assert_eq!(pod, json!({"spec": {}}));
    }

    #[test]
    fn selectors_join_unless_they_conflict() {
        let scheduling = json!({"nodeSelector": {"a": "1"}, "tolerations": [{"key": "t", "operator": "Exists"}]});
        let mut pod = json!({"spec": {"nodeSelector": {"b": "2"}}});
        assert_eq!(set_scheduling(&mut pod, &scheduling), Ok(()));
        assert_eq!(pod["spec"]["nodeSelector"], json!({"a": "1", "b": "2"}));
        assert_eq!(pod["spec"]["tolerations"], scheduling["tolerations"]);
        let mut pod = json!({"spec": {"nodeSelector": {"a": "2"}}});
        assert_eq!(
            set_scheduling(&mut pod, &scheduling).unwrap_err().to_string(),
            "conflict: runtimeClass.scheduling.nodeSelector[a] = 1; pod.spec.nodeSelector[a] = 2"
        );
    }
}

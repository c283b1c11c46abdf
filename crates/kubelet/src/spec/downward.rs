//! The downward API: a pod's own fields and resources as text.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};

use crate::pod::{annotations, labels, name, namespace, qos, spec, uid};
use crate::quantity::{milli, value};

/// Facts for the downward API that the pod's object does not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Addresses of the node.
    pub(crate) host_ips: Vec<String>,
    /// Addresses of the pod.
    pub(crate) pod_ips: Vec<String>,
    /// The node's allocatable resources, in place of limits that are not set: milli-CPUs and bytes.
    pub(crate) allocatable: BTreeMap<String, i64>,
}

/// Why the downward API has no value for what is asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("fieldPath {0:?} does not support subscript")]
    Subscript(String),
    #[error("unsupported fieldPath: {0}")]
    Path(String),
    #[error("container {0} not found")]
    NoContainer(String),
    #[error("containerName is required")]
    ContainerRequired,
    #[error("unsupported container resource : {0}")]
    Resource(String),
}

/// The value of a field, as `fieldRef` names it.
///
/// # Errors
/// The path is not one the downward API has.
pub(crate) fn field(pod: &Pod, path: &str, facts: &Facts) -> Result<String, Error> {
    if let Some((map, key)) = subscript(path) {
        return match map {
            "metadata.labels" => Ok(labels(pod).get(key).cloned().unwrap_or_default()),
            "metadata.annotations" => Ok(annotations(pod).get(key).cloned().unwrap_or_default()),
            _ => Err(Error::Subscript(path.to_owned())),
        };
    }
    Ok(match path {
        "metadata.name" => name(pod).to_owned(),
        "metadata.namespace" => namespace(pod).to_owned(),
        "metadata.uid" => uid(pod).to_owned(),
        "metadata.labels" => format_map(labels(pod)),
        "metadata.annotations" => format_map(annotations(pod)),
        "spec.nodeName" => spec(pod).node_name.clone().unwrap_or_default(),
        "spec.serviceAccountName" => spec(pod).service_account_name.clone().unwrap_or_default(),
        "status.hostIP" => facts.host_ips.first().cloned().unwrap_or_default(),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => facts.pod_ips.first().cloned().unwrap_or_default(),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(Error::Path(path.to_owned())),
    })
}

/// `metadata.labels['key']` as map and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

/// One `key="value"` per line, as a downward API volume has it.
fn format_map(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<_> = map.iter().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// The value of a resource, as `resourceFieldRef` names it.
///
/// # Errors
/// The container or the resource does not exist.
pub(crate) fn resource(
    pod: &Pod,
    own: Option<&Container>,
    selector: &ResourceFieldSelector,
    facts: &Facts,
) -> Result<String, Error> {
    let named = selector.container_name.as_deref().filter(|name| !name.is_empty());
    let member = named.map(|name| {
        crate::pod::member(pod, name)
            .map(|member| member.container.into_owned())
            .ok_or_else(|| Error::NoContainer(name.to_owned()))
    });
    let named = member.transpose()?;
    let container = named.as_ref().or(own).ok_or(Error::ContainerRequired)?;
    let resources = container.resources.as_ref();
    let unsupported = || Error::Resource(selector.resource.clone());
    let (kind, resource) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let amount = match kind {
        "limits" => qos::limit(resources, resource)
            .or_else(|| facts.allocatable.get(resource).copied())
            .unwrap_or(0),
        "requests" => {
            resources.and_then(|resources| resources.requests.as_ref()?.get(resource)).map_or(
                0,
                |quantity| if resource == "cpu" { milli(quantity) } else { value(quantity) },
            )
        }
        _ => return Err(unsupported()),
    };
    let divisor = match &selector.divisor {
        Some(divisor) if milli(divisor) > 0 => {
            if resource == "cpu" {
                milli(divisor)
            } else {
                value(divisor)
            }
        }
        _ if resource == "cpu" => 1000,
        _ => 1,
    };
    Ok((amount / divisor + i64::from(amount % divisor != 0)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "labels": {"b": "say \"hi\"", "a/x": "1"}},
            "spec": {"containers": [{"name": "c", "resources": {
                "requests": {"cpu": "250m"}, "limits": {"memory": "1500Ki"}}}]},
        }))
        .unwrap()
    }

    #[test]
    fn fields() {
        let facts = Facts { pod_ips: vec!["10.0.0.1".into(), "fd::1".into()], ..Facts::default() };
        let table = [
            ("metadata.name", Ok("p")),
            ("metadata.labels['a/x']", Ok("1")),
            ("metadata.labels['none']", Ok("")),
            ("metadata.labels", Ok("a/x=\"1\"\nb=\"say \\\"hi\\\"\"")),
            ("status.podIP", Ok("10.0.0.1")),
            ("status.podIPs", Ok("10.0.0.1,fd::1")),
            ("spec.restartPolicy", Err(())),
        ];
        for (path, wanted) in table {
            let got = field(&pod(), path, &facts);
            assert_eq!(got.as_deref().map_err(drop), wanted, "{path}");
        }
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let facts = Facts { allocatable: [("cpu".into(), 4000)].into(), ..Facts::default() };
        let table = [
            ("requests.cpu", None, "1"),
            ("requests.cpu", Some("1m"), "250"),
            ("limits.cpu", None, "4"),
            ("limits.memory", Some("1Mi"), "2"),
            ("limits.memory", None, "1536000"),
        ];
        let pod = pod();
        for (name, divisor, wanted) in table {
            let selector = serde_json::from_value(
                json!({"resource": name, "containerName": "c", "divisor": divisor}),
            )
            .unwrap();
            assert_eq!(resource(&pod, None, &selector, &facts).unwrap(), wanted, "{name}");
        }
    }
}

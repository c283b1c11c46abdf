//! The environment of a container.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, FileKeySelector, Pod, Secret};

use super::downward::{self, Facts};
use super::env_file;
use super::expand::expand;
use crate::objects::{self, Objects};
use crate::pod::namespace;
use crate::volumes::Mounted;

/// Why the environment cannot be made. `CreateContainerConfigError` has these texts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Object(#[from] objects::Error),
    #[error(transparent)]
    Downward(#[from] downward::Error),
    #[error("{kind} {name:?} not found")]
    NoObject { kind: &'static str, name: String },
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    NoKey { kind: &'static str, namespace: String, name: String, key: String },
    #[error("cannot find the volume {0:?} referenced by FileKeyRef")]
    NoVolume(String),
    #[error("couldn't parse env file")]
    File(#[source] env_file::Error),
    #[error("environment variable key {key:?} not found in file {file:?}")]
    NotInFile { key: String, file: PathBuf },
    #[error("environment variable {0} has no source this kubelet knows")]
    NoSource(String),
}

/// Variables in the order they are set; a later one wins over an earlier one of its name.
#[derive(Debug, Default)]
struct Environment {
    order: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Environment {
    fn set(&mut self, name: String, value: String) {
        if self.values.insert(name.clone(), value).is_none() {
            self.order.push(name);
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }
}

/// All variables of a container: `services` first, then `envFrom`, then `env`, with `$(NAME)`
/// expanded.
///
/// # Errors
/// An object or key that is not optional does not exist; the message is upstream's and becomes
/// that of `CreateContainerConfigError`.
pub(crate) async fn resolve(
    pod: &Pod,
    container: &Container,
    services: Vec<(String, String)>,
    objects: &Objects,
    volumes: &Mounted,
    facts: &Facts,
) -> Result<Vec<(String, String)>, Error> {
    let mut environment = Environment::default();
    for (name, value) in services {
        environment.set(name, value);
    }
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let data = if let Some(from) = &source.config_map_ref {
            let map = objects.config_maps.get(namespace(pod), &from.name).await?;
            match map {
                Some(map) => map.data.clone().unwrap_or_default(),
                None if from.optional == Some(true) => continue,
                None => return Err(missing("configmap", &from.name)),
            }
        } else if let Some(from) = &source.secret_ref {
            match objects.secrets.get(namespace(pod), &from.name).await? {
                Some(secret) => text_of(&secret),
                None if from.optional == Some(true) => continue,
                None => return Err(missing("secret", &from.name)),
            }
        } else {
            continue;
        };
        for (key, value) in data {
            environment.set(format!("{prefix}{key}"), value);
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(EnvVarSource { file_key_ref: Some(from), .. }) => from_file(volumes, from)?,
            Some(source) => from_source(pod, container, variable, source, objects, facts).await?,
            None => {
                let text = variable.value.as_deref().unwrap_or_default();
                Some(expand(text, |name| environment.get(name)))
            }
        };
        if let Some(value) = value {
            environment.set(variable.name.clone(), value);
        }
    }
    let Environment { order, mut values } = environment;
    Ok(order
        .into_iter()
        .filter_map(|name| values.remove(&name).map(|value| (name, value)))
        .collect())
}

/// A variable in a file of a volume, which an init container has written.
fn from_file(volumes: &Mounted, from: &FileKeySelector) -> Result<Option<String>, Error> {
    let volume = volumes.get(&from.volume_name).filter(|volume| volume.image.is_none());
    let volume = volume.ok_or_else(|| Error::NoVolume(from.volume_name.clone()))?;
    let value = env_file::read(&volume.path, &from.path, &from.key).map_err(|error| {
        tracing::debug!(%error, "environment file");
        Error::File(error)
    })?;
    match value.is_empty() {
        false => Ok(Some(value)),
        true if from.optional == Some(true) => Ok(None),
        true => {
            let file = volume.path.join(&from.path);
            Err(Error::NotInFile { key: from.key.clone(), file })
        }
    }
}

async fn from_source(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    source: &EnvVarSource,
    objects: &Objects,
    facts: &Facts,
) -> Result<Option<String>, Error> {
    if let Some(field) = &source.field_ref {
        return Ok(Some(downward::field(pod, &field.field_path, facts)?));
    }
    if let Some(resource) = &source.resource_field_ref {
        return Ok(Some(downward::resource(pod, Some(container), resource, facts)?));
    }
    if let Some(from) = &source.config_map_key_ref {
        let optional = from.optional == Some(true);
        return match objects.config_maps.get(namespace(pod), &from.name).await? {
            Some(map) => match map.data.as_ref().and_then(|data| data.get(&from.key)) {
                Some(value) => Ok(Some(value.clone())),
                None if optional => Ok(None),
                None => Err(missing_key(pod, "ConfigMap", &from.name, &from.key)),
            },
            None if optional => Ok(None),
            None => Err(missing("configmap", &from.name)),
        };
    }
    if let Some(from) = &source.secret_key_ref {
        let optional = from.optional == Some(true);
        return match objects.secrets.get(namespace(pod), &from.name).await? {
            Some(secret) => match secret.data.as_ref().and_then(|data| data.get(&from.key)) {
                Some(value) => Ok(Some(String::from_utf8_lossy(&value.0).into_owned())),
                None if optional => Ok(None),
                None => Err(missing_key(pod, "Secret", &from.name, &from.key)),
            },
            None if optional => Ok(None),
            None => Err(missing("secret", &from.name)),
        };
    }
    Err(Error::NoSource(variable.name.clone()))
}

fn missing(kind: &'static str, name: &str) -> Error {
    Error::NoObject { kind, name: name.to_owned() }
}

fn missing_key(pod: &Pod, kind: &'static str, name: &str, key: &str) -> Error {
    let (namespace, name, key) = (namespace(pod).to_owned(), name.to_owned(), key.to_owned());
    Error::NoKey { kind, namespace, name, key }
}

fn text_of(secret: &Secret) -> BTreeMap<String, String> {
    let data = secret.data.iter().flatten();
    data.map(|(key, value)| (key.clone(), String::from_utf8_lossy(&value.0).into_owned())).collect()
}

/// The names of config maps and secrets a pod refers to, in its environment or its volumes.
pub(crate) fn referenced(pod: &Pod) -> (Vec<String>, Vec<String>) {
    let mut maps = Vec::new();
    let mut secrets = Vec::new();
    for member in crate::pod::members(pod) {
        for source in member.container.env_from.iter().flatten() {
            maps.extend(source.config_map_ref.iter().map(|from| from.name.clone()));
            secrets.extend(source.secret_ref.iter().map(|from| from.name.clone()));
        }
        for variable in member.container.env.iter().flatten() {
            let Some(source) = &variable.value_from else { continue };
            maps.extend(source.config_map_key_ref.iter().map(|from| from.name.clone()));
            secrets.extend(source.secret_key_ref.iter().map(|from| from.name.clone()));
        }
    }
    let spec = crate::pod::spec(pod);
    for volume in spec.volumes.iter().flatten() {
        maps.extend(volume.config_map.iter().map(|from| from.name.clone()));
        secrets.extend(volume.secret.iter().filter_map(|from| from.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|p| p.sources.iter().flatten()) {
            maps.extend(source.config_map.iter().map(|from| from.name.clone()));
            secrets.extend(source.secret.iter().map(|from| from.name.clone()));
        }
    }
    secrets.extend(spec.image_pull_secrets.iter().flatten().map(|from| from.name.clone()));
    for list in [&mut maps, &mut secrets] {
        list.retain(|name| !name.is_empty());
        list.sort();
        list.dedup();
    }
    (maps, secrets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    fn objects() -> Objects {
        let map: ConfigMap = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": "map"}, "data": {"k": "from-map", "x": "1"},
        }))
        .unwrap();
        let secret: Secret = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": "secret"}, "data": {"p": "aHVudGVyMg=="},
        }))
        .unwrap();
        Objects::fixed([map], [secret])
    }

    async fn environment(container: Value) -> Result<Vec<String>, Error> {
        let mut container = container;
        container["name"] = "c".into();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "ns", "name": "p"}, "spec": {"containers": [container]},
        }))
        .unwrap();
        let services = vec![("SVC_SERVICE_HOST".to_owned(), "10.96.0.9".to_owned())];
        let container = &crate::pod::spec(&pod).containers[0];
        let none = Mounted::default();
        let all = resolve(&pod, container, services, &objects(), &none, &Facts::default()).await?;
        Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    #[tokio::test]
    async fn every_source_in_order_and_expanded() {
        let got = environment(json!({
            "envFrom": [{"prefix": "M_", "configMapRef": {"name": "map"}},
                        {"configMapRef": {"name": "none", "optional": true}}],
            "env": [
                {"name": "A", "value": "a"},
                {"name": "B", "value": "$(A)/$(SVC_SERVICE_HOST)/$(LATER)"},
                {"name": "LATER", "value": "x"},
                {"name": "P", "valueFrom": {"secretKeyRef": {"name": "secret", "key": "p"}}},
                {"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "GONE", "valueFrom":
                    {"configMapKeyRef": {"name": "map", "key": "z", "optional": true}}},
                {"name": "M_x", "value": "overridden"},
            ],
        }));
        let wanted = [
            "SVC_SERVICE_HOST=10.96.0.9",
            "M_k=from-map",
            "M_x=overridden",
            "A=a",
            "B=a/10.96.0.9/$(LATER)",
            "LATER=x",
            "P=hunter2",
            "N=p",
        ];
        assert_eq!(got.await.unwrap(), wanted);
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let table = [
            (json!({"envFrom": [{"secretRef": {"name": "none"}}]}), "secret \"none\" not found"),
            (
                json!({"env": [{"name": "A", "valueFrom":
                    {"configMapKeyRef": {"name": "map", "key": "z"}}}]}),
                "couldn't find key z in ConfigMap ns/map",
            ),
        ];
        for (container, message) in table {
            assert_eq!(environment(container).await.unwrap_err().to_string(), message);
        }
    }
}

//! The file that configures admission plugins (`AdmissionConfiguration`).

use std::path::Path;

use apimachinery::codec::yaml;
use apimachinery::object::without_nulls;
use apimachinery::text::quote;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::chain::AdmissionError;

/// The reason why a plugin cannot run.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invalid {
    /// The document cannot be read as what it should be.
    Document(String),
    /// The document is one, but its values are wrong.
    Values(String),
}

/// The configuration of one plugin.
#[derive(Debug)]
pub(super) struct Document(Value);

fn decode(bytes: &[u8]) -> Result<Value, AdmissionError> {
    let malformed = AdmissionError::Malformed;
    let (value, twice) = yaml::decode(bytes).map_err(|why| malformed(why.message))?;
    match twice.first() {
        Some(duplicate) => Err(malformed(format!("strict decoding error: {duplicate}"))),
        None => Ok(value),
    }
}

impl Document {
    #[cfg(test)]
    pub(super) fn test(value: Value) -> Self {
        Self(value)
    }

    /// Reads it as an object of one of the versions of a kind.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        group: &str,
        versions: &[&str],
        kind: &str,
    ) -> Result<T, Invalid> {
        let mut value = self.0.clone();
        without_nulls(&mut value);
        let mut take = |field: &str| {
            let taken = value.as_object_mut().and_then(|map| map.remove(field));
            taken.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let (api_version, own) = (take("apiVersion"), take("kind"));
        for (field, text) in [("Kind", &own), ("apiVersion", &api_version)] {
            if text.is_empty() {
                let why = format!("Object '{field}' is missing in '{}'", self.0);
                return Err(Invalid::Document(why));
            }
        }
        let known = api_version
            .strip_prefix(group)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|version| versions.contains(&version));
        if !known || own != kind {
            let (own, api_version) = (quote(&own), quote(&api_version));
            let why = format!(
                "no kind {own} is registered for version {api_version}; expected {kind} of \
                 {group}/{}",
                versions[0]
            );
            return Err(Invalid::Document(why));
        }
        serde_json::from_value(value)
            .map_err(|why| Invalid::Document(format!("strict decoding error: {why}")))
    }

    /// Reads it as a document without a version.
    pub(super) fn read_unversioned<T: DeserializeOwned>(&self) -> Result<T, Invalid> {
        let mut value = self.0.clone();
        without_nulls(&mut value);
        serde_json::from_value(value).map_err(|why| Invalid::Document(why.to_string()))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Configuration {
    #[serde(default)]
    plugins: Vec<PluginConfiguration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PluginConfiguration {
    #[serde(default)]
    name: String,
    /// A file, from the directory of this one.
    #[serde(default)]
    path: String,
    /// The configuration itself, which goes before the file.
    configuration: Option<Value>,
}

/// The configurations of all plugins.
#[derive(Default)]
pub(super) struct Documents(Vec<PluginConfiguration>);

/// Plugins whose configuration may be the whole file, from before there was one for all.
const ALONE: &[(&str, &str)] =
    &[("ImagePolicyWebhook", "imagePolicy"), ("PodNodeSelector", "podNodeSelectorPluginConfig")];

fn read_file(path: &Path) -> Result<Vec<u8>, AdmissionError> {
    std::fs::read(path).map_err(|why| AdmissionError::Unreadable { path: path.to_owned(), why })
}

impl Documents {
    /// Reads the file for the plugins that run.
    pub(super) fn read(path: &Path, running: &[&str]) -> Result<Self, AdmissionError> {
        let value = decode(&read_file(path)?)?;
        if value["kind"].is_null() && ALONE.iter().any(|(_, field)| !value[field].is_null()) {
            let alone = ALONE.iter().filter(|(name, _)| running.contains(name));
            let whole = alone.map(|(name, _)| PluginConfiguration {
                name: (*name).to_owned(),
                path: String::new(),
                configuration: Some(value.clone()),
            });
            return Ok(Self(whole.collect()));
        }
        let document = Document(value);
        let read = document
            .read::<Configuration>("apiserver.config.k8s.io", &["v1"], "AdmissionConfiguration")
            .or_else(|invalid| {
                let old = ["v1alpha1"];
                let old = document.read("apiserver.k8s.io", &old, "AdmissionConfiguration");
                // The error names the present version.
                old.map_err(|_| invalid)
            });
        let mut read = read.map_err(|invalid| match invalid {
            Invalid::Document(why) | Invalid::Values(why) => AdmissionError::Malformed(why),
        })?;
        let base = path.parent().unwrap_or(Path::new(""));
        for plugin in &mut read.plugins {
            if !plugin.path.is_empty() {
                plugin.path = base.join(&plugin.path).to_string_lossy().into_owned();
            }
        }
        Ok(Self(read.plugins))
    }

    fn find(&self, name: &str) -> Option<&PluginConfiguration> {
        self.0.iter().find(|plugin| plugin.name == name)
    }

    /// Returns true if there is something for a plugin.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The configuration of a plugin, if it has one.
    pub(super) fn of(&self, name: &str) -> Result<Option<Document>, AdmissionError> {
        let Some(plugin) = self.find(name) else { return Ok(None) };
        if let Some(value) = &plugin.configuration {
            return Ok(Some(Document(value.clone())));
        }
        if plugin.path.is_empty() {
            return Ok(None);
        }
        Ok(Some(Document(decode(&read_file(Path::new(&plugin.path))?)?)))
    }

    /// Says of configurations that they are for nobody; upstream accepts them.
    pub(super) fn complain(&self, known: &[&str]) {
        for plugin in self.0.iter().filter(|plugin| !known.contains(&plugin.name.as_str())) {
            tracing::warn!(plugin = plugin.name, "configuration of an unknown admission plugin");
        }
    }

    /// Says of the configuration of a plugin that it has no effect; upstream accepts it.
    pub(super) fn complain_of(&self, name: &str) {
        if self.has(name) {
            tracing::warn!(plugin = name, "this admission plugin takes no configuration");
        }
    }
}

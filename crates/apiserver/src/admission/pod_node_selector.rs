//! PodNodeSelector: the pods of a namespace run on its nodes.

use std::collections::BTreeMap;

use apimachinery::field::{ErrorList, Path};
use apimachinery::{Object, ObjectExt, Status, names};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::configuration::{Document, Invalid};
use super::{Plugin, Request};
use crate::registry;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
/// The namespaces' default, among the lists of what each may select.
const DEFAULT: &str = "clusterDefaultNodeSelector";

type Labels = BTreeMap<String, String>;

/// The reason why a selector is none.
#[derive(Debug, PartialEq, thiserror::Error)]
enum NoSelector {
    #[error("invalid selector: [{0}]")]
    Form(String),
    #[error("{0}")]
    Part(ErrorList),
}

#[derive(Debug, Default)]
struct PodNodeSelector {
    selectors: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Configuration {
    pod_node_selector_plugin_config: BTreeMap<String, String>,
}

pub(super) fn configure(document: Option<&Document>) -> Result<Box<dyn Plugin>, Invalid> {
    let read = document.map(Document::read_unversioned::<Configuration>).transpose()?;
    let selectors = read.unwrap_or_default().pod_node_selector_plugin_config;
    for (namespace, selector) in &selectors {
        // Upstream only finds out when a pod is made.
        parse(selector).map_err(|why| Invalid::Values(format!("{namespace}: {why}")))?;
    }
    Ok(Box::new(PodNodeSelector { selectors }))
}

#[async_trait]
impl Plugin for PodNodeSelector {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        if !request.creates_pod() || !pod["spec"].is_object() {
            return Ok(());
        }
        let wanted = self.of_namespace(request)?;
        refuse_conflict(request, &wanted, &own(pod))?;
        for (key, value) in wanted {
            pod.set_path(&["spec", "nodeSelector", &key], json!(value));
        }
        self.check(request, pod)
    }

    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        match pod.filter(|_| request.creates_pod()) {
            Some(pod) => self.check(request, pod),
            None => Ok(()),
        }
    }
}

impl PodNodeSelector {
    fn check(&self, request: &Request<'_>, pod: &Object) -> Result<(), Status> {
        let own = own(pod);
        refuse_conflict(request, &self.of_namespace(request)?, &own)?;
        let permitted = self.configured(request.namespace)?;
        let is_subset = own.iter().all(|(key, value)| permitted.get(key) == Some(value));
        if permitted.is_empty() || is_subset {
            return Ok(());
        }
        let why = "pod node label selector labels conflict with its namespace whitelist";
        Err(request.forbidden(why))
    }

    fn configured(&self, name: &str) -> Result<Labels, Status> {
        parse(self.selectors.get(name).map_or("", String::as_str)).map_err(plain)
    }

    /// The selector that the namespace, or else the cluster, gives to pods.
    fn of_namespace(&self, request: &Request<'_>) -> Result<Labels, Status> {
        let namespace = namespace(request)?;
        match namespace.annotation(ANNOTATION) {
            Some(selector) => parse(selector).map_err(plain),
            None => self.configured(DEFAULT),
        }
    }
}

/// The namespace of a request.
pub(super) fn namespace(request: &Request<'_>) -> Result<Object, Status> {
    registry::find("", "v1", "namespaces")
        .and_then(|kind| request.server.entry(kind, "", request.namespace))
        .map(|entry| entry.object())
        .ok_or_else(|| Status::internal(format!("namespace {} does not exist", request.namespace)))
}

/// An error that is a plain one in upstream, without a reason.
pub(super) fn plain(why: impl std::fmt::Display) -> Status {
    Status::generic(500, "", why.to_string())
}

fn own(pod: &Object) -> Labels {
    let own = pod["spec"]["nodeSelector"].as_object().into_iter().flatten();
    own.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

fn refuse_conflict(request: &Request<'_>, wanted: &Labels, own: &Labels) -> Result<(), Status> {
    let differs = |(key, value)| own.get(key).is_some_and(|own| own != value);
    if wanted.iter().any(differs) {
        let why = "pod node label selector conflicts with its namespace node label selector";
        return Err(request.forbidden(why));
    }
    Ok(())
}

/// Reads `key=value,key=value`.
fn parse(selector: &str) -> Result<Labels, NoSelector> {
    let mut labels = Labels::new();
    if selector.is_empty() {
        return Ok(labels);
    }
    for term in selector.split(',') {
        let parts: Vec<&str> = term.split('=').collect();
        let [key, value] = parts[..] else { return Err(NoSelector::Form(parts.join(" "))) };
        let (key, value) = (key.trim(), value.trim());
        let mut errors = ErrorList::new();
        errors.invalid_all(&Path::root(), key, names::qualified_name(key));
        if errors.is_empty() {
            errors.invalid_all(&Path::root().key(key), value, names::label_value(value));
        }
        if !errors.is_empty() {
            return Err(NoSelector::Part(errors));
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_pairs() {
        let pairs = |text| parse(text).map(|labels| labels.into_iter().collect::<Vec<_>>());
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(pairs(""), Ok(vec![]));
        assert_eq!(pairs("b = 2,a=,b=3"), Ok(vec![pair("a", ""), pair("b", "3")]));
        assert_eq!(pairs("a").unwrap_err().to_string(), "invalid selector: [a]");
        assert_eq!(pairs("a=b=c").unwrap_err().to_string(), "invalid selector: [a b c]");
        assert!(matches!(pairs("a b=c"), Err(NoSelector::Part(_))));
        assert!(matches!(pairs("a=b c"), Err(NoSelector::Part(_))));
    }
}

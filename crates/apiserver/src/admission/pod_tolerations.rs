//! PodTolerationRestriction: the taints that the pods of a namespace tolerate, and may.

use apimachinery::field::{ErrorList, Path};
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::Toleration;
use rules::resources::{PodResources, QosClass};
use serde::Deserialize;
use serde_json::{Value, json};

use super::configuration::{Document, Invalid};
use super::pod_node_selector::{namespace, plain};
use super::toleration;
use super::{Operation, Plugin, Request};
use crate::registry::tolerations_at;

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const PERMITTED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";
const GROUP: &str = "podtolerationrestriction.admission.k8s.io";

#[derive(Debug, Default)]
struct PodTolerations {
    defaults: Vec<Value>,
    permitted: Vec<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    default: Vec<Toleration>,
    whitelist: Vec<Toleration>,
}

pub(super) fn configure(document: Option<&Document>) -> Result<Box<dyn Plugin>, Invalid> {
    let read = document.map(|document| document.read(GROUP, &["v1alpha1"], "Configuration"));
    let Configuration { default, whitelist } = read.transpose()?.unwrap_or_default();
    let path = Path::new("podtolerationrestriction");
    let mut errors = ErrorList::new();
    let mut trees = |field: &str, list: &[Toleration]| {
        let trees: Vec<Value> = list.iter().map(tree).collect();
        errors.extend(tolerations_at(&path.child(field), &json!(trees)));
        trees
    };
    let made = PodTolerations {
        defaults: trees("default", &default),
        permitted: trees("whitelist", &whitelist),
    };
    match errors.is_empty() {
        true => Ok(Box::new(made)),
        false => Err(Invalid::Document(format!("invalid config: {errors}"))),
    }
}

fn tree(toleration: &Toleration) -> Value {
    // It is made of text and a number.
    serde_json::to_value(toleration).unwrap_or_default()
}

/// The tolerations in an annotation; `None` without it.
fn annotated(namespace: &Object, key: &str) -> Result<Option<Vec<Value>>, Status> {
    match namespace.annotation(key) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => {
            let read: Vec<Toleration> = serde_json::from_str(text).map_err(plain)?;
            Ok(Some(read.iter().map(tree).collect()))
        }
    }
}

fn own(pod: &Object) -> Vec<Value> {
    pod["spec"]["tolerations"].as_array().cloned().unwrap_or_default()
}

#[async_trait]
impl Plugin for PodTolerations {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        if !(request.creates_pod() || request.updates_pod()) || !pod["spec"].is_object() {
            return Ok(());
        }
        let mut more = Vec::new();
        if request.operation == Operation::Create {
            let given = annotated(&namespace(request)?, DEFAULTS)?;
            more = given.unwrap_or_else(|| self.defaults.clone());
        }
        if PodResources::of_spec(&pod["spec"]).qos_class() != QosClass::BestEffort {
            more.push(json!({
                "key": "node.kubernetes.io/memory-pressure",
                "operator": "Exists",
                "effect": "NoSchedule",
            }));
        }
        if !more.is_empty() {
            let all: Vec<Value> = own(pod).into_iter().chain(more).collect();
            pod["spec"]["tolerations"] = json!(toleration::merge(&all));
        }
        self.check(request, pod)
    }

    async fn validate(&self, request: &Request<'_>, pod: Option<&Object>) -> Result<(), Status> {
        match pod.filter(|_| request.creates_pod() || request.updates_pod()) {
            Some(pod) => self.check(request, pod),
            None => Ok(()),
        }
    }
}

impl PodTolerations {
    fn check(&self, request: &Request<'_>, pod: &Object) -> Result<(), Status> {
        let own = own(pod);
        if own.is_empty() {
            return Ok(());
        }
        let (scope, permitted) = match annotated(&namespace(request)?, PERMITTED)? {
            Some(permitted) => ("namespace", permitted),
            None => ("cluster", self.permitted.clone()),
        };
        let is_permitted =
            |toleration: &Value| permitted.iter().any(|p| toleration::covers(p, toleration));
        if permitted.is_empty() || own.iter().all(is_permitted) {
            return Ok(());
        }
        Err(plain(format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its \
             {scope} whitelist"
        )))
    }
}

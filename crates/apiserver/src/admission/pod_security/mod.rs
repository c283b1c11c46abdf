//! PodSecurity: pods keep to the standard that their namespace asks for.
//!
//! Pods are refused, workloads only warned about: what they make is refused later.

mod checks;
mod configuration;
mod existing;
mod policy;

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Operation, Plugin, Request};
use crate::metrics::{Decision, PodSecurity as Metrics};
use crate::registry::{self, Sub};
use checks::{Pod, Refusal};
use configuration::Exemptions;
pub(super) use configuration::configure;
use policy::{Level, PREFIX, Policy, Standard, Version};

/// The newest release that this server knows checks of.
const RELEASE: i64 = 37;

/// The plugin.
pub(super) struct PodSecurity {
    defaults: Policy,
    exempt: Exemptions,
}

/// Where the pod of a kind's object is; `None` if it has none.
fn pod_at(group: &str, resource: &str) -> Option<&'static [&'static str]> {
    Some(match (group, resource) {
        ("", "pods") => &[],
        ("", "podtemplates") => &["template"],
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        _ => return None,
    })
}

#[async_trait]
impl Plugin for PodSecurity {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        let Some(object) = object.filter(|_| writes) else { return Ok(()) };
        if request.is("", "namespaces") {
            return match request.sub {
                None => self.check_namespace(request, object).await,
                Some(_) => Ok(()),
            };
        }
        let Some(path) = pod_at(request.kind.group, request.kind.resource) else { return Ok(()) };
        let concerned = match request.sub {
            None => true,
            // The subresources that change what runs in a pod.
            Some(Sub::EphemeralContainers | Sub::Resize) => path.is_empty(),
            Some(_) => false,
        };
        if !concerned {
            return Ok(());
        }
        self.check_pod(&Attempt::new(request), path, object)
    }
}

impl PodSecurity {
    fn check_pod(
        &self,
        attempt: &Attempt<'_>,
        path: &[&str],
        object: &Object,
    ) -> Result<(), Status> {
        let (request, is_pod) = (attempt.request, path.is_empty());
        if self.exempt.namespaces.contains(request.namespace) {
            return attempt.exempt("namespace");
        }
        if self.exempt.users.contains(&request.user.name) {
            return attempt.exempt("user");
        }
        let namespace = registry::find("", "v1", "namespaces")
            .and_then(|kind| request.server.entry(kind, "", request.namespace));
        let Some(namespace) = namespace else {
            let why = format!("failed to lookup namespace {}", quote(request.namespace));
            attempt.error(true, &why);
            return if is_pod { Err(Status::internal(why)) } else { Ok(()) };
        };
        let (policy, errors) = Policy::of(|key| namespace.label(key), &self.defaults);
        if errors.is_empty() {
            let quiet = [policy.audit, policy.warn].iter().all(|s| s.level == Level::Privileged);
            if is_pod && policy.is_privileged() {
                attempt.decided(Decision::Allow, policy.enforce, "enforce");
                attempt.tell("enforce-policy", &Standard::PRIVILEGED.to_string());
                return Ok(());
            } else if !is_pod && quiet {
                return Ok(());
            }
        }
        let Some(found) = object.get_path(path).filter(|found| !found.is_null()) else {
            return Ok(());
        };
        if is_pod && request.old.is_some_and(|old| !is_significant(object, old)) {
            return Ok(());
        }
        let pod = Pod::new(found);
        if self.exempt.runtime_classes.contains(pod.runtime_class()) {
            return attempt.exempt("runtimeClass");
        }
        if !errors.is_empty() {
            attempt.error(false, &format!("Failed to parse policy: {}", errors.message()));
        }
        attempt.judge(&policy, pod, is_pod)
    }

    async fn check_namespace(&self, request: &Request<'_>, object: &Object) -> Result<(), Status> {
        let of = |object: &Object| Policy::of(|key| object.label(key), &self.defaults);
        let (policy, errors) = of(object);
        let old = request.old.map(of);
        let known = old.as_ref().is_some_and(|(_, known)| *known == errors);
        if !errors.is_empty() && !known {
            let kind = request.kind;
            return Err(Status::invalid(kind.group, kind.kind, request.name, errors));
        }
        let exempt = self.exempt.namespaces.contains(request.name);
        if let Some((old, _)) = old {
            let (new, old) = (policy.enforce, old.enforce);
            let relaxed = new.version == old.version && new.level <= old.level;
            if new == old || new.level == Level::Privileged || relaxed {
                return Ok(());
            }
            if !exempt {
                let warnings = existing::warnings(request, new, &self.exempt).await?;
                request.call.warn(warnings);
                return Ok(());
            }
        }
        if exempt {
            request.call.warn(self.without_effect(object, &policy));
        }
        Ok(())
    }

    /// The warning that the labels of an exempt namespace have no effect.
    fn without_effect(&self, namespace: &Object, policy: &Policy) -> Option<String> {
        if policy.is_privileged() || policy.permits_as(&self.defaults) {
            return None;
        }
        let has = |key: String| namespace.label(&format!("{PREFIX}{key}")).is_some();
        let given: Vec<String> =
            [("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn)]
                .into_iter()
                .filter(|(_, standard)| standard.level != Level::Privileged)
                .filter(|(mode, _)| has((*mode).to_owned()) || has(format!("{mode}-version")))
                .map(|(mode, standard)| format!("{mode}={standard}"))
                .collect();
        let (name, given) = (quote(namespace.name()), given.join(", "));
        Some(format!(
            "namespace {name} is exempt from Pod Security, and the policy ({given}) will be ignored"
        ))
    }
}

/// One request that is judged, for its metrics and its audit.
struct Attempt<'a> {
    request: &'a Request<'a>,
    metrics: &'a Metrics,
}

impl<'a> Attempt<'a> {
    fn new(request: &'a Request<'a>) -> Self {
        Self { request, metrics: &request.server.metrics.pod_security }
    }

    /// The labels of metrics that say what is asked.
    fn asked(&self) -> [&'static str; 3] {
        let operation = match self.request.operation {
            Operation::Create => "create",
            _ => "update",
        };
        let resource = if self.request.is("", "pods") { "pod" } else { "controller" };
        [operation, resource, self.request.sub.map_or("", Sub::name)]
    }

    /// An annotation of the request's audit event.
    fn tell(&self, key: &str, text: &str) {
        let audit = &self.request.call.audit;
        if audit.is_on() {
            audit.annotate(&format!("{PREFIX}{key}"), text);
        }
    }

    fn exempt(&self, why: &str) -> Result<(), Status> {
        self.metrics.exempted(self.asked());
        self.tell("exempt", why);
        Ok(())
    }

    fn error(&self, fatal: bool, why: &str) {
        self.metrics.failed(fatal, self.asked());
        self.tell("error", why);
    }

    fn decided(&self, decision: Decision, standard: Standard, mode: &str) {
        let version = match standard.version {
            Version::Minor(minor) if standard.level != Level::Privileged => {
                if minor > RELEASE {
                    "future".to_owned()
                } else {
                    format!("v1.{minor}")
                }
            }
            _ => "latest".to_owned(),
        };
        self.metrics.evaluated(decision, standard.level.name(), &version, mode, self.asked());
    }

    /// Judges a pod by all modes of a policy; a workload's is not refused.
    fn judge(&self, policy: &Policy, pod: Pod<'_>, enforce: bool) -> Result<(), Status> {
        let mut known: Vec<(Standard, Vec<Refusal>)> = Vec::new();
        let mut details = |standard: Standard| {
            let at = known.iter().position(|(of, _)| *of == standard).unwrap_or_else(|| {
                known.push((standard, checks::evaluate(standard, pod)));
                known.len() - 1
            });
            let refusals = &known[at].1;
            (!refusals.is_empty()).then(|| checks::details(refusals))
        };
        let mut outcome = Ok(());
        if enforce {
            let standard = policy.enforce;
            self.tell("enforce-policy", &standard.to_string());
            let refused = details(standard);
            let decision = if refused.is_some() { Decision::Deny } else { Decision::Allow };
            self.decided(decision, standard, "enforce");
            if let Some(details) = refused {
                let why = format!("violates PodSecurity \"{standard}\": {details}");
                outcome = Err(self.request.forbidden(why));
            }
        }
        let would = |standard: Standard, details: String| {
            format!("would violate PodSecurity \"{standard}\": {details}")
        };
        if let Some(found) = details(policy.audit) {
            self.decided(Decision::Deny, policy.audit, "audit");
            self.tell("audit-violations", &would(policy.audit, found));
        }
        // A request that fails says more than warnings.
        if outcome.is_ok()
            && let Some(found) = details(policy.warn)
        {
            self.decided(Decision::Deny, policy.warn, "warn");
            self.request.call.warn([would(policy.warn, found)]);
        }
        outcome
    }
}

/// Returns true if an update of a pod may make something else run in it. Other fields cannot change,
/// or cannot matter.
fn is_significant(pod: &Object, old: &Object) -> bool {
    fn list<'a>(pod: &'a Object, field: &str) -> &'a [Value] {
        pod["spec"][field].as_array().map(Vec::as_slice).unwrap_or_default()
    }
    let by_place = ["containers", "initContainers"].iter().any(|field| {
        let (new, old) = (list(pod, field), list(old, field));
        let mut both = new.iter().zip(old);
        new.len() != old.len() || both.any(|(new, old)| new["image"] != old["image"])
    });
    let known = list(old, "ephemeralContainers");
    by_place
        || list(pod, "ephemeralContainers").iter().any(|new| {
            let old = known.iter().find(|old| old["name"] == new["name"]);
            old.is_none_or(|old| old["image"] != new["image"])
        })
}

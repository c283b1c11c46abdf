//! The usage of objects under resource quotas (upstream's `pkg/quota/v1`).
//!
//! The API server charges a quota before it admits an object, and a controller counts again what
//! is there: both measure with this.

mod claims;
mod devices;
mod pods;
mod scope;
mod services;

use jiff::Timestamp;
use serde_json::Value;

use crate::resources::Amounts;
pub use scope::Scope;

pub use claims::same_charge as same_claim;
pub use pods::{is_terminating, missing as missing_of_pod};

/// A resource of which quotas limit more than the number of objects.
struct Evaluator {
    group: &'static str,
    resource: &'static str,
    /// Returns true if a limit of this name is about the resource, besides `count/...`.
    tracks: fn(&str) -> bool,
    /// The usage of an object, besides `count/...`.
    usage: fn(&Value, Timestamp) -> Amounts,
    /// Returns true if an object is in a scope.
    in_scope: fn(&Scope<'_>, &Value) -> bool,
}

static EVALUATORS: &[Evaluator] =
    &[pods::EVALUATOR, services::EVALUATOR, claims::EVALUATOR, devices::EVALUATOR];

/// Kinds of the core group whose plain name limits their number, as `count/...` does for all.
const PLAIN: &[&str] = &["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// Resources that are not stored, or never were limited.
const IGNORED: &[(&str, &[&str])] = &[
    ("", &["bindings", "componentstatuses", "events"]),
    ("events.k8s.io", &["events"]),
    ("authentication.k8s.io", &["tokenreviews", "selfsubjectreviews"]),
    (
        "authorization.k8s.io",
        &[
            "subjectaccessreviews",
            "selfsubjectaccessreviews",
            "localsubjectaccessreviews",
            "selfsubjectrulesreviews",
        ],
    ),
];

/// A resource as quotas count it.
pub struct Counted {
    /// `count/deployments.apps`.
    count: String,
    plain: Option<&'static str>,
    evaluator: Option<&'static Evaluator>,
}

impl Counted {
    /// The resource of a group; `None` for the few that no quota limits.
    #[must_use]
    pub fn of(group: &str, resource: &str) -> Option<Self> {
        let ignored = |(g, list): &(&str, &[&str])| *g == group && list.contains(&resource);
        if IGNORED.iter().any(ignored) {
            return None;
        }
        let plain = PLAIN.iter().copied().find(|name| group.is_empty() && *name == resource);
        let evaluator = EVALUATORS.iter().find(|e| e.group == group && e.resource == resource);
        let name = apimachinery::status::qualified(group, resource);
        Some(Self { count: format!("count/{name}"), plain, evaluator })
    }

    /// Returns true if all objects of the resource count the same.
    #[must_use]
    pub fn only_counts(&self) -> bool {
        self.evaluator.is_none()
    }

    /// Returns true if the resource is pods, for which quotas have rules of their own.
    #[must_use]
    pub fn counts_pods(&self) -> bool {
        self.evaluator.is_some_and(|e| e.resource == pods::EVALUATOR.resource)
    }

    /// Returns true if a limit of this name is about the resource.
    #[must_use]
    pub fn tracks(&self, name: &str) -> bool {
        name == self.count
            || self.plain == Some(name)
            || self.evaluator.is_some_and(|evaluator| (evaluator.tracks)(name))
    }

    /// The usage of an object at a time.
    #[must_use]
    pub fn usage(&self, object: &Value, now: Timestamp) -> Amounts {
        let mut usage = match self.evaluator {
            Some(evaluator) => (evaluator.usage)(object, now),
            None => Amounts::default(),
        };
        usage.count(&*self.count, 1);
        if let Some(plain) = self.plain {
            usage.count(plain, 1);
        }
        usage
    }

    /// Returns true if an object is in every scope of a quota. Without scopes a quota covers
    /// everything; a scope that does not fit the resource covers nothing.
    #[must_use]
    pub fn covers(&self, quota: &Value, object: &Value) -> bool {
        scope::of(quota).all(|scope| self.is_in(&scope, object))
    }

    fn is_in(&self, scope: &Scope<'_>, object: &Value) -> bool {
        self.evaluator.is_some_and(|evaluator| (evaluator.in_scope)(scope, object))
    }

    /// The names of the scopes of a quota that an object is in.
    pub fn scopes_of<'q>(&self, quota: &'q Value, object: &Value) -> impl Iterator<Item = &'q str> {
        scope::of(quota).filter(|scope| self.is_in(scope, object)).map(|scope| scope.name)
    }

    /// Returns true if an object is in the scope of a requirement, as selectors of scopes have them.
    #[must_use]
    pub fn meets(&self, requirement: &Value, object: &Value) -> bool {
        self.is_in(&Scope::of_requirement(requirement), object)
    }
}

/// The hard limits in the `part` of a quota, which is `spec` or `status`.
#[must_use]
pub fn hard(quota: &Value, part: &str) -> Amounts {
    Amounts::read(&quota[part]["hard"])
}

/// The usage in a quota's status.
#[must_use]
pub fn used(quota: &Value) -> Amounts {
    Amounts::read(&quota["status"]["used"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_resource_is_counted_by_its_full_name() {
        let now = Timestamp::now();
        for (group, resource, usage) in [
            ("", "configmaps", "configmaps=1,count/configmaps=1"),
            ("", "endpoints", "count/endpoints=1"),
            ("apps", "deployments", "count/deployments.apps=1"),
            ("example.com", "secrets", "count/secrets.example.com=1"),
        ] {
            let counted = Counted::of(group, resource).unwrap();
            let used = counted.usage(&json!({}), now);
            assert_eq!(used.to_string(), usage);
            assert!(used.names().all(|name| counted.tracks(name)) && counted.only_counts());
            assert!(!counted.tracks("pods") && !counted.tracks("count/pods"));
        }
        assert!(Counted::of("", "events").is_none());
        assert!(Counted::of("events.k8s.io", "events").is_none());
        assert!(Counted::of("example.com", "events").is_some());
    }

    #[test]
    fn what_has_no_scopes_is_covered_without_scopes_only() {
        let counted = Counted::of("apps", "deployments").unwrap();
        assert!(counted.covers(&json!({"spec": {}}), &json!({})));
        assert!(!counted.covers(&json!({"spec": {"scopes": ["BestEffort"]}}), &json!({})));
    }
}

//! The webhooks of all configurations, read once for each change of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::{Object, ObjectExt};
use arc_swap::ArcSwapOption;
use serde_json::Value;

use crate::admission::expressions::Conditions;
use crate::admission::matching::Selection;
use crate::registry;
use crate::registry::admissionregistration::environment;
use crate::server::Server;
use crate::webhook::{CallError, Target};

/// Upstream's default of `timeoutSeconds`.
const TIMEOUT: u64 = 10;

/// One webhook of a configuration.
#[derive(Debug)]
pub(super) struct Hook {
    /// Distinguishes it from all others: configuration, name, and which one of that name.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) target: Result<Target, CallError>,
    pub(super) selection: Selection,
    pub(super) conditions: Conditions,
    pub(super) ignores_failures: bool,
    pub(super) without_side_effects: bool,
    pub(super) reinvoked: bool,
    pub(super) timeout: Duration,
    /// The version of AdmissionReview it gets.
    pub(super) review: Option<&'static str>,
}

/// The webhooks of one kind of configuration.
pub(crate) struct Hooks {
    resource: &'static str,
    known: ArcSwapOption<(u64, Vec<Arc<Hook>>)>,
}

impl Hooks {
    pub(crate) fn mutating() -> Self {
        Self { resource: "mutatingwebhookconfigurations", known: ArcSwapOption::empty() }
    }

    pub(crate) fn validating() -> Self {
        Self { resource: "validatingwebhookconfigurations", known: ArcSwapOption::empty() }
    }

    /// All webhooks, by the names of their configurations.
    pub(super) fn all(&self, server: &Server) -> Arc<(u64, Vec<Arc<Hook>>)> {
        let collection = registry::find("admissionregistration.k8s.io", "v1", self.resource)
            .and_then(|kind| server.collection(kind).ok());
        let Some(collection) = collection else { return Arc::default() };
        let snapshot = collection.snapshot();
        if let Some(known) = &*self.known.load()
            && known.0 == snapshot.revision
        {
            return known.clone();
        }
        let configurations = snapshot.range("", "").map(|entry| entry.object());
        let hooks = configurations.flat_map(|object| read(&object)).map(Arc::new).collect();
        let known = Arc::new((snapshot.revision, hooks));
        self.known.store(Some(known.clone()));
        known
    }
}

fn read(configuration: &Object) -> Vec<Hook> {
    let mut of_name: HashMap<String, usize> = HashMap::new();
    let hooks = configuration["webhooks"].as_array().into_iter().flatten();
    hooks
        .map(|hook| {
            let name = hook.str_at(&["name"]).to_owned();
            let count = of_name.entry(name.clone()).or_default();
            let id = format!("{}/{name}/{count}", configuration.name());
            *count += 1;
            Hook::read(hook, id, name)
        })
        .collect()
}

impl Hook {
    fn read(hook: &Value, id: String, name: String) -> Self {
        let mut versions = hook["admissionReviewVersions"].as_array().into_iter().flatten();
        Self {
            id,
            name,
            target: Target::read(&hook["clientConfig"]),
            selection: Selection::of_webhook(hook),
            conditions: Conditions::compile(&hook["matchConditions"], &environment(false)),
            ignores_failures: hook["failurePolicy"] == "Ignore",
            without_side_effects: matches!(hook.str_at(&["sideEffects"]), "None" | "NoneOnDryRun"),
            reinvoked: hook["reinvocationPolicy"] == "IfNeeded",
            timeout: Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(TIMEOUT)),
            review: versions.find_map(|version| match version.as_str() {
                Some("v1") => Some("v1"),
                Some("v1beta1") => Some("v1beta1"),
                _ => None,
            }),
        }
    }
}

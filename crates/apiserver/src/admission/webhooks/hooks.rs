//! The webhooks of all configurations, read once for each change of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::{Object, ObjectExt};
use cel::admission::environment;
use serde_json::Value;

use crate::admission::derived::Derived;
use crate::admission::expressions::Conditions;
use crate::admission::matching::Selection;
use crate::server::Server;
use crate::webhook::{self, CallError, Target};

/// Upstream's default of `timeoutSeconds`.
const TIMEOUT: u64 = 10;

/// One webhook of a configuration.
#[derive(Debug)]
pub(super) struct Hook {
    /// Distinguishes it from all others: configuration, name, and which one of that name.
    pub(super) id: String,
    pub(super) configuration: String,
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
    known: Derived<Vec<Hook>, 1>,
}

impl Hooks {
    pub(crate) fn mutating() -> Self {
        Self { resource: "mutatingwebhookconfigurations", known: Derived::default() }
    }

    pub(crate) fn validating() -> Self {
        Self { resource: "validatingwebhookconfigurations", known: Derived::default() }
    }

    /// All webhooks, by the names of their configurations.
    pub(super) fn all(&self, server: &Server) -> Arc<Vec<Hook>> {
        self.known.get(server, [self.resource], |[configurations]| {
            let configurations = configurations.range("", "").map(|entry| entry.object());
            configurations.flat_map(|object| read(&object)).collect()
        })
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
            Hook::read(hook, id, configuration.name().to_owned(), name)
        })
        .collect()
}

impl Hook {
    fn read(hook: &Value, id: String, configuration: String, name: String) -> Self {
        Self {
            id,
            configuration,
            name,
            target: Target::read(&hook["clientConfig"]),
            selection: Selection::of_webhook(hook),
            conditions: Conditions::compile(&hook["matchConditions"], &environment(false)),
            ignores_failures: hook["failurePolicy"] == "Ignore",
            without_side_effects: matches!(hook.str_at(&["sideEffects"]), "None" | "NoneOnDryRun"),
            reinvoked: hook["reinvocationPolicy"] == "IfNeeded",
            timeout: Duration::from_secs(hook["timeoutSeconds"].as_u64().unwrap_or(TIMEOUT)),
            review: webhook::review_version(&hook["admissionReviewVersions"]),
        }
    }
}

//! AuthorizationConfiguration: the file of `--authorization-config` (KEP-3221).

mod rules;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use apimachinery::text::aggregate;
use apimachinery::time::parse_duration;
use serde_json::{Value, json};

use super::webhook::Conditions;
use crate::config_file::FileKind;
use crate::registry::check::check;

/// Types of authorizers, by upstream's names.
pub(super) const MODES: [(&str, Mode); 6] = [
    ("ABAC", Mode::Abac),
    ("AlwaysAllow", Mode::AlwaysAllow),
    ("AlwaysDeny", Mode::AlwaysDeny),
    ("Node", Mode::Node),
    ("RBAC", Mode::Rbac),
    ("Webhook", Mode::Webhook),
];

/// A type of authorizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mode {
    Abac,
    AlwaysAllow,
    AlwaysDeny,
    Node,
    Rbac,
    Webhook,
}

impl Mode {
    pub(super) fn of(name: &str) -> Option<Self> {
        MODES.iter().find(|(known, _)| *known == name).map(|(_, mode)| *mode)
    }

    pub(super) fn name(self) -> &'static str {
        MODES.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizationConfigError {
    /// It cannot be decoded.
    #[error("failed to load AuthorizationConfiguration from file: {0}")]
    Malformed(String),
    /// It says what cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// An authorizer whose fields were validated.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) mode: Mode,
    pub(super) name: String,
    /// Of a webhook alone.
    pub(super) webhook: Option<WebhookConfiguration>,
}

/// How a webhook is asked, and its answers are believed.
#[derive(Debug)]
pub(super) struct WebhookConfiguration {
    /// How long an answer is kept that allows; zero for not at all.
    pub(super) authorized_ttl: Duration,
    pub(super) unauthorized_ttl: Duration,
    pub(super) timeout: Duration,
    /// The version of SubjectAccessReview that it reads.
    pub(super) version: &'static str,
    /// A failure denies what other authorizers could allow.
    pub(super) denies_on_failure: bool,
    pub(super) kubeconfig: PathBuf,
    pub(super) conditions: Conditions,
}

/// The versions of SubjectAccessReview that webhooks may read.
pub(super) const REVIEWS: [&str; 2] = ["v1", "v1beta1"];

static KIND: LazyLock<FileKind> = LazyLock::new(|| {
    let text = || json!({"type": "string"});
    let flag = || json!({"type": "boolean"});
    let object = |fields: Value| json!({"type": "object", "properties": fields});
    let list = |items: Value| json!({"type": "array", "items": items});
    let webhook = object(json!({
        "authorizedTTL": text(), "cacheAuthorizedRequests": flag(),
        "unauthorizedTTL": text(), "cacheUnauthorizedRequests": flag(),
        "timeout": text(), "subjectAccessReviewVersion": text(),
        "matchConditionSubjectAccessReviewVersion": text(), "failurePolicy": text(),
        "connectionInfo": object(json!({"type": text(), "kubeConfigFile": text()})),
        "matchConditions": list(object(json!({"expression": text()}))),
    }));
    let authorizer = object(json!({"type": text(), "name": text(), "webhook": webhook}));
    let shape = object(json!({"authorizers": list(authorizer)}));
    FileKind::new("AuthorizationConfiguration", &["v1", "v1beta1", "v1alpha1"], &shape)
});

/// The fields of a webhook that are times, and their defaults.
const TIMES: [(&str, Option<&str>); 3] =
    [("timeout", None), ("authorizedTTL", Some("5m0s")), ("unauthorizedTTL", Some("30s"))];

/// Reads a configuration, which must have these types of authorizers.
///
/// # Errors
/// It cannot be decoded, is not valid, or lacks one.
pub(super) fn read(
    text: &str,
    required: &[Mode],
) -> Result<Vec<Configured>, AuthorizationConfigError> {
    let malformed = AuthorizationConfigError::Malformed;
    // An empty file is a configuration without fields.
    let mut value = match text.is_empty() {
        true => json!({}),
        false => KIND.decode(text).map_err(|why| malformed(why.of(text)))?,
    };
    let list = value.get_mut("authorizers").and_then(Value::as_array_mut);
    for authorizer in list.into_iter().flatten() {
        let Some(webhook) = authorizer.get_mut("webhook").filter(|w| w.is_object()) else {
            continue;
        };
        for (field, default) in TIMES {
            let said = webhook[field].as_str().unwrap_or_default();
            let nanos = match said {
                "" => 0,
                said => parse_duration(said)
                    .ok_or_else(|| malformed(format!("time: invalid duration {said:?}")))?,
            };
            if let (0, Some(default)) = (nanos, default) {
                webhook[field] = default.into();
            }
        }
    }
    let mut configured = Vec::new();
    let errors = check(&value, |root| configured = rules::check_configuration(root));
    if !errors.0.is_empty() {
        return Err(AuthorizationConfigError::Invalid(errors.message()));
    }
    check_names(&configured, required)?;
    Ok(configured)
}

/// Checks that all but webhooks have the names of their types, and that none is missing.
fn check_names(
    configured: &[Configured],
    required: &[Mode],
) -> Result<(), AuthorizationConfigError> {
    let mut wrong = Vec::new();
    let mut seen = HashSet::new();
    for Configured { mode, name, .. } in configured.iter().filter(|c| c.mode != Mode::Webhook) {
        seen.insert(*mode);
        let expected = mode.name().to_lowercase();
        if expected != *name {
            let mode = mode.name();
            wrong.push(format!("expected name {expected} for authorizer {mode} instead of {name}"));
        }
    }
    let missing = required.iter().filter(|mode| !seen.contains(mode));
    let mut missing: Vec<&str> = missing.map(|mode| mode.name()).collect();
    if !missing.is_empty() {
        missing.sort_unstable();
        wrong.push(format!("missing required types: [{}]", missing.join(" ")));
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(AuthorizationConfigError::Invalid(aggregate(&wrong))),
    }
}

#[cfg(test)]
mod tests;

//! Validation of AuthorizationConfiguration, with upstream's messages.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use apimachinery::names::dns1123_subdomain;
use apimachinery::time::{format_duration, parse_duration};
use serde_json::json;

use super::{Configured, MODES, Mode, REVIEWS, WebhookConfiguration};
use crate::authz::webhook::Conditions;
use crate::registry::check::Field;

/// The longest time for an answer.
const LONGEST: Duration = Duration::from_secs(30);

/// Checks the whole configuration and returns what it configures, which is complete if there were
/// no findings.
pub(super) fn check_configuration(root: &Field<'_>) -> Vec<Configured> {
    if root.len("authorizers") == 0 {
        root.at("authorizers").required("at least one authorization mode must be defined");
    }
    let (mut modes, mut names) = (HashSet::new(), HashSet::new());
    let mut configured = Vec::new();
    for authorizer in root.items("authorizers") {
        let (ty, name) = (authorizer.at("type"), authorizer.at("name"));
        let Some(mode) = Mode::of(ty.text()) else {
            match ty.text() {
                "" => ty.required(""),
                _ => ty.not_supported(&MODES.map(|(name, _)| name)),
            }
            continue;
        };
        if !modes.insert(mode) && mode != Mode::Webhook {
            ty.duplicate();
            continue;
        }
        let seen = !names.insert(name.text());
        match name.text() {
            "" => name.required(""),
            _ if seen => name.duplicate(),
            text => {
                let wrong = dns1123_subdomain(text);
                if !wrong.is_empty() {
                    name.invalid(format!("authorizer name is invalid: {}", wrong.join(", ")));
                }
            }
        }
        let webhook = authorizer.at("webhook");
        let webhook = match (mode, webhook.value().is_null()) {
            (Mode::Webhook, true) => {
                webhook.required("required when type=Webhook");
                continue;
            }
            // The paths of upstream's findings leave out that they are about a webhook.
            (Mode::Webhook, false) => check_webhook(&authorizer.instead(webhook.value())),
            (_, false) => {
                let why = "may only be specified when type=Webhook";
                webhook.invalid_value("non-null", why);
                None
            }
            (_, true) => None,
        };
        configured.push(Configured { mode, name: name.text().to_owned(), webhook });
    }
    configured
}

fn check_webhook(webhook: &Field<'_>) -> Option<WebhookConfiguration> {
    let timeout = check_time(&webhook.at("timeout"), Some(LONGEST));
    let authorized = check_time(&webhook.at("authorizedTTL"), None);
    let unauthorized = check_time(&webhook.at("unauthorizedTTL"), None);
    let cached = |ttl: Duration, flag: &str| match webhook.get(flag) == false {
        true => Duration::ZERO,
        false => ttl,
    };
    let version = webhook.at("subjectAccessReviewVersion");
    let known = REVIEWS.into_iter().find(|known| *known == version.text());
    match (known, version.text()) {
        (Some(_), _) => {}
        (None, "") => version.required(""),
        (None, _) => version.not_supported(&REVIEWS),
    }
    let conditions_version = webhook.at("matchConditionSubjectAccessReviewVersion");
    match conditions_version.text() {
        "v1" => {}
        "" if webhook.len("matchConditions") == 0 => {}
        "" => conditions_version.required("required if match conditions are specified"),
        _ => conditions_version.not_supported(&["v1"]),
    }
    let policy = webhook.at("failurePolicy");
    match policy.text() {
        "NoOpinion" | "Deny" => {}
        "" => policy.required(""),
        _ => policy.not_supported(&["NoOpinion", "Deny"]),
    }
    check_connection(&webhook.at("connectionInfo"));
    Some(WebhookConfiguration {
        authorized_ttl: cached(authorized?, "cacheAuthorizedRequests"),
        unauthorized_ttl: cached(unauthorized?, "cacheUnauthorizedRequests"),
        timeout: timeout?,
        version: known?,
        denies_on_failure: policy.text() == "Deny",
        kubeconfig: webhook.at("connectionInfo").str("kubeConfigFile").into(),
        conditions: Conditions::check(webhook),
    })
}

/// A time that is more than none, and not more than this.
fn check_time(field: &Field<'_>, most: Option<Duration>) -> Option<Duration> {
    let nanos = parse_duration(field.text()).unwrap_or_default();
    let time = u64::try_from(nanos).map(Duration::from_nanos).ok();
    match time {
        Some(Duration::ZERO) => field.required(""),
        Some(time) if most.is_none_or(|most| time <= most) => {}
        _ => {
            let most = if most.is_some() { " and <= 30s" } else { "" };
            field.invalid_value(format_duration(nanos), format!("must be > 0s{most}"));
        }
    }
    time
}

fn check_connection(connection: &Field<'_>) {
    const IN_CLUSTER: &str = "InClusterConfig";
    const FILE: &str = "KubeConfigFile";
    let (ty, file) = (connection.at("type"), connection.at("kubeConfigFile"));
    match ty.text() {
        "" => ty.required(""),
        // Upstream's validation is for other API servers, too; this one would ask itself.
        IN_CLUSTER => match file.value().is_null() {
            true => ty.invalid("InClusterConfig is not allowed for kube-apiserver"),
            false => file.invalid("can only be set when type=KubeConfigFile"),
        },
        FILE => check_file(&file),
        text => {
            let shown = json!({"Type": text, "KubeConfigFile": file.value()});
            ty.instead(&shown).not_supported(&[IN_CLUSTER, FILE]);
        }
    }
}

fn check_file(file: &Field<'_>) {
    let path = Path::new(file.text());
    if file.text().is_empty() {
        return file.required("");
    }
    if !path.is_absolute() {
        return file.invalid("must be an absolute path");
    }
    match std::fs::metadata(path) {
        Err(why) => file.invalid(format!("error loading file: {why}")),
        Ok(info) if !info.is_file() => file.invalid("must be a regular file"),
        Ok(_) => {}
    }
}

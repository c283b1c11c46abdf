//! Removes tokens that were made for accounts automatically and that nobody uses any more: marked
//! invalid after a year without use, and deleted a year later (KEP-2799).

use std::collections::HashSet;
use std::time::Duration;

use client::helpers::{is_conflict, is_not_found};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, ServiceAccount};
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};

use crate::common::meta;
use crate::tokens::{ACCOUNT, ACCOUNT_UID, TYPE};
use crate::{Context, Error};

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Since when the API server notes the use of tokens.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
/// Days without use after which a token is marked, and after which it is deleted.
const UNUSED: i32 = 365;
/// Time between looks, since what matters changes by the day.
const EVERY: Duration = Duration::from_secs(24 * 3600);

pub(crate) async fn run(context: Context) {
    let accounts = context.informers.informer::<ServiceAccount>();
    let secrets = context.informers.informer::<Secret>();
    let pods = context.informers.informer::<Pod>();
    accounts.wait_synced().await;
    secrets.wait_synced().await;
    pods.wait_synced().await;
    loop {
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        match tracked_since(&context).await {
            Ok(Some(since)) if !long_ago(since, today) => {}
            Ok(Some(_)) => {
                let pods = pods.store().list();
                let used = pods.iter().map(|pod| (meta::namespace(&**pod), secrets_of(pod)));
                let used: Vec<(&str, HashSet<String>)> = used.collect();
                for secret in secrets.store().list() {
                    let namespace = meta::namespace(&*secret);
                    let name = meta::annotation(&*secret, ACCOUNT).unwrap_or_default();
                    let account = accounts.store().get_in(namespace, name);
                    let mounted = used.iter().any(|(ns, names)| {
                        *ns == namespace && names.contains(meta::name(&*secret))
                    });
                    let verdict = judge(&secret, account.as_deref(), mounted, today);
                    if let Err(error) = execute(&context, &secret, verdict, today).await {
                        tracing::warn!(%error, name = meta::name(&*secret), "cleaning a token");
                    }
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "reading since when tokens are tracked"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// The day after the one on which tracking began, if it did.
async fn tracked_since(context: &Context) -> Result<Option<Date>, Error> {
    let map = context.api::<ConfigMap>("kube-system").get_opt(TRACKING).await?;
    let since = map.and_then(|map| map.data?.get("since")?.parse::<Date>().ok());
    Ok(since.and_then(|since| since.checked_add(1.day()).ok()))
}

/// Returns true if a day is so long ago that a token not used since counts as unused.
fn long_ago(day: Date, today: Date) -> bool {
    day.checked_add(UNUSED.days()).is_ok_and(|end| end < today)
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Mark,
    Delete,
}

/// Decides on a Secret. Only tokens that the account lists were made automatically.
fn judge(secret: &Secret, account: Option<&ServiceAccount>, used: bool, today: Date) -> Verdict {
    let created = meta::created(secret).to_zoned(TimeZone::UTC).date();
    if secret.type_.as_deref() != Some(TYPE) || meta::deleting(secret) || !long_ago(created, today)
    {
        return Verdict::Keep;
    }
    match meta::label(secret, LAST_USED).map(str::parse::<Date>) {
        None => {}
        Some(Ok(day)) if long_ago(day, today) => {}
        Some(_) => return Verdict::Keep,
    }
    let name = meta::name(secret);
    let uid = meta::annotation(secret, ACCOUNT_UID).unwrap_or_default();
    let made = account.is_some_and(|account| {
        (uid.is_empty() || uid == meta::uid(account))
            && account.secrets.iter().flatten().any(|s| s.name.as_deref() == Some(name))
    });
    if !made || used {
        return Verdict::Keep;
    }
    match meta::label(secret, INVALID_SINCE).map(str::parse::<Date>) {
        Some(Ok(day)) if !long_ago(day, today) => Verdict::Keep,
        Some(Ok(_)) => Verdict::Delete,
        _ => Verdict::Mark,
    }
}

async fn execute(
    context: &Context,
    secret: &Secret,
    verdict: Verdict,
    today: Date,
) -> Result<(), Error> {
    let api = context.api::<Secret>(meta::namespace(secret));
    let name = meta::name(secret);
    let outcome = match verdict {
        Verdict::Keep => return Ok(()),
        Verdict::Mark => {
            let patch = json!({"metadata": {
                "uid": secret.metadata.uid, "labels": {INVALID_SINCE: today.to_string()},
            }});
            api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
        }
        Verdict::Delete => {
            let resource_version = secret.metadata.resource_version.clone();
            let preconditions = Some(Preconditions { uid: None, resource_version });
            let params = DeleteParams { preconditions, ..DeleteParams::default() };
            api.delete(name, &params).await.map(drop)
        }
    };
    match outcome {
        Err(error) if !is_conflict(&error) && !is_not_found(&error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Names of the Secrets that a pod uses in whatever way.
fn secrets_of(pod: &Pod) -> HashSet<String> {
    let mut found = HashSet::new();
    let spec = serde_json::to_value(&pod.spec).unwrap_or_default();
    let pulls = spec["imagePullSecrets"].as_array().into_iter().flatten();
    found.extend(pulls.filter_map(|s| s["name"].as_str().map(str::to_owned)));
    collect(&spec, &mut found);
    found
}

fn collect(value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = match key.as_str() {
                    "secretName" => value.as_str(),
                    "secret" | "secretRef" | "secretKeyRef" | "nodePublishSecretRef" => {
                        value["name"].as_str()
                    }
                    _ => None,
                };
                found.extend(name.map(str::to_owned));
                collect(value, found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(created: &str, labels: Value) -> Secret {
        serde_json::from_value(json!({
            "type": TYPE,
            "metadata": {
                "name": "t", "namespace": "ns", "creationTimestamp": format!("{created}T00:00:00Z"),
                "labels": labels, "annotations": {ACCOUNT: "sa", ACCOUNT_UID: "u"},
            },
        }))
        .unwrap()
    }

    #[test]
    fn unused_tokens_are_marked_and_then_deleted() {
        let today: Date = "2026-06-01".parse().unwrap();
        let account = |secrets: Value| -> ServiceAccount {
            let metadata = json!({"name": "sa", "namespace": "ns", "uid": "u"});
            serde_json::from_value(json!({"metadata": metadata, "secrets": secrets})).unwrap()
        };
        let listed = account(json!([{"name": "t"}]));
        let other = account(json!([{"name": "x"}]));
        let old = "2024-01-01";
        for (created, labels, account, used, want) in [
            (old, json!({}), &listed, false, Verdict::Mark),
            ("2026-05-01", json!({}), &listed, false, Verdict::Keep),
            (old, json!({}), &listed, true, Verdict::Keep),
            (old, json!({}), &other, false, Verdict::Keep),
            (old, json!({LAST_USED: "2026-01-01"}), &listed, false, Verdict::Keep),
            (old, json!({LAST_USED: "2025-06-01"}), &listed, false, Verdict::Keep),
            (old, json!({LAST_USED: "yesterday"}), &listed, false, Verdict::Keep),
            (old, json!({LAST_USED: "2025-05-31"}), &listed, false, Verdict::Mark),
            (old, json!({INVALID_SINCE: "2026-01-01"}), &listed, false, Verdict::Keep),
            (old, json!({INVALID_SINCE: "long ago"}), &listed, false, Verdict::Mark),
            (old, json!({INVALID_SINCE: "2025-05-01"}), &listed, false, Verdict::Delete),
        ] {
            let verdict = judge(&token(created, labels.clone()), Some(account), used, today);
            assert_eq!(verdict, want, "{created} {labels}");
        }
        assert_eq!(judge(&token(old, json!({})), None, false, today), Verdict::Keep);
    }

    #[test]
    fn a_pod_uses_secrets_in_many_ways() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "imagePullSecrets": [{"name": "a"}],
            "containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "b"}}], "env": [
                {"name": "E", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}},
            ]}],
            "volumes": [
                {"name": "v", "secret": {"secretName": "d"}},
                {"name": "w", "projected": {"sources": [{"secret": {"name": "e"}}]}},
                {"name": "x", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "f"}}},
            ],
        }}))
        .unwrap();
        let mut names: Vec<String> = secrets_of(&pod).into_iter().collect();
        names.sort();
        assert_eq!(names, ["a", "b", "c", "d", "e", "f"]);
    }
}

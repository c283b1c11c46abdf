//! ServiceAccount: every pod runs as an account, with its token where clients look for it.

use std::time::Duration;

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use rand::RngExt;
use serde_json::{Value, json};

use super::{Plugin, Request};
use crate::registry::{self, items_mut};

const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The account of a new namespace is created by a controller: how long to wait for it.
const WAIT: Duration = Duration::from_secs(1);
/// Lifetime of a mounted token in seconds; the kubelet renews it.
const TOKEN_SECONDS: i64 = 3607;
/// Alphabet of generated names.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

pub(super) struct ServiceAccount;

#[async_trait]
impl Plugin for ServiceAccount {
    async fn admit(&self, request: &Request<'_>, pod: &mut Object) -> Result<(), Status> {
        // Mirror pods represent pods that a kubelet runs already.
        if !request.creates_pod() || pod.annotation(crate::registry::MIRROR_POD).is_some() {
            return Ok(());
        }
        if pod.str_at(&["spec", "serviceAccountName"]).is_empty() {
            pod.set_path(&["spec", "serviceAccountName"], "default".into());
            pod.set_path(&["spec", "serviceAccount"], "default".into());
        }
        let name = pod.str_at(&["spec", "serviceAccountName"]).to_owned();
        let account = find(request, &name).await.ok_or_else(|| {
            request.forbidden(format!(
                "error looking up service account {}/{name}: serviceaccount {} not found",
                request.namespace,
                apimachinery::text::quote(&name)
            ))
        })?;
        if wants_token(pod, &account) {
            mount_token(pod);
        }
        if pod["spec"]["imagePullSecrets"].as_array().is_none_or(Vec::is_empty)
            && let Some(secrets) = account["imagePullSecrets"].as_array().filter(|s| !s.is_empty())
        {
            pod.set_path(&["spec", "imagePullSecrets"], Value::Array(secrets.clone()));
        }
        Ok(())
    }
}

/// Returns the account, waiting for it if it does not exist yet.
async fn find(request: &Request<'_>, name: &str) -> Option<Object> {
    let kind = registry::find("", "v1", "serviceaccounts")?;
    let collection = request.server.collection(kind).ok()?;
    let mut cursor = collection.watch_after(request.server.cache.revision()).ok()?;
    let found = || collection.get(request.namespace, name).map(|e| e.object());
    let wait = async {
        loop {
            if let Some(account) = found() {
                return account;
            }
            cursor.wait().await;
        }
    };
    tokio::time::timeout(WAIT, wait).await.ok()
}

/// The pod decides, then the account; the default is yes.
fn wants_token(pod: &Object, account: &Object) -> bool {
    let own = pod.get_path(&["spec", "automountServiceAccountToken"]).and_then(Value::as_bool);
    own.or(account["automountServiceAccountToken"].as_bool()).unwrap_or(true)
}

fn mount_token(pod: &mut Object) {
    let mut needed = false;
    let mut rng = rand::rng();
    let suffix: String =
        (0..5).map(|_| ALPHABET[rng.random_range(0..ALPHABET.len())] as char).collect();
    let volume = format!("kube-api-access-{suffix}");
    for list in ["initContainers", "containers"] {
        for container in items_mut(&mut pod["spec"], list) {
            let mounts = container["volumeMounts"].as_array();
            if mounts.into_iter().flatten().any(|m| m["mountPath"] == MOUNT_PATH) {
                continue;
            }
            needed = true;
            let mount = json!({"name": volume, "readOnly": true, "mountPath": MOUNT_PATH});
            match container["volumeMounts"].as_array_mut() {
                Some(mounts) => mounts.push(mount),
                None => container["volumeMounts"] = json!([mount]),
            }
        }
    }
    if !needed {
        return;
    }
    let volume = json!({"name": volume, "projected": {"defaultMode": 0o644, "sources": [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace",
            "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}]}},
    ]}});
    match pod["spec"]["volumes"].as_array_mut() {
        Some(volumes) => volumes.push(volume),
        None => pod["spec"]["volumes"] = json!([volume]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_mounted_once_and_not_over_ones_own() {
        let mut pod = json!({"spec": {"containers": [
            {"name": "a"},
            {"name": "b", "volumeMounts": [{"name": "own", "mountPath": MOUNT_PATH}]},
        ]}});
        mount_token(&mut pod);
        assert_eq!(pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap().len(), 1);
        assert_eq!(pod["spec"]["containers"][1]["volumeMounts"].as_array().unwrap().len(), 1);
        let once = pod.clone();
        mount_token(&mut pod);
        assert_eq!(pod, once);
    }
}

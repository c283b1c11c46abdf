//! Service account tokens: valid as long as the objects they are bound to exist.

use apimachinery::{Object, ObjectExt, time};
use jiff::{SignedDuration, Timestamp};
use pki::{BoundObject, Claims, TokenError};

use super::TokenOutcome;
use crate::registry;
use crate::server::Server;
use crate::user::User;

/// Allowed clock difference (upstream's `jwt.DefaultLeeway`).
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

pub(super) fn authenticate(server: &Server, token: &str, audiences: &[String]) -> TokenOutcome {
    let signer = &server.settings.signer;
    let claims = match signer.verify(token) {
        Ok(claims) => claims,
        Err(TokenError::Foreign) => return TokenOutcome::Unknown,
        Err(TokenError::Invalid(why)) => return TokenOutcome::Invalid(why),
    };
    let own = &server.authn.audiences[..];
    let wanted = if audiences.is_empty() { own } else { audiences };
    let good: Vec<String> = claims.aud.iter().filter(|a| wanted.contains(a)).cloned().collect();
    if good.is_empty() {
        return TokenOutcome::Invalid(format!(
            "token audiences {:?} is invalid for the target audiences {wanted:?}",
            claims.aud
        ));
    }
    match bound_objects_exist(server, &claims) {
        Err(gone) => TokenOutcome::Invalid(gone.to_string()),
        Ok(()) => TokenOutcome::Valid(user(&claims), good),
    }
}

/// The object that a token is bound to was deleted.
#[derive(Debug, thiserror::Error)]
#[error("{resource} {namespace}/{name} has been deleted")]
struct Gone {
    resource: &'static str,
    namespace: String,
    name: String,
}

fn bound_objects_exist(server: &Server, claims: &Claims) -> Result<(), Gone> {
    let bound = &claims.kubernetes;
    let namespace = bound.namespace.as_str();
    let now = Timestamp::now();
    let check = |resource: &'static str, namespace: &str, wanted: &BoundObject| {
        let kind = registry::find("", "v1", resource);
        let entry = kind.and_then(|k| server.entry(k, namespace, &wanted.name));
        match entry.map(|e| e.object()) {
            Some(object) if object.uid() == wanted.uid && !is_gone(&object, now) => Ok(()),
            _ => {
                let (namespace, name) = (namespace.to_owned(), wanted.name.clone());
                Err(Gone { resource, namespace, name })
            }
        }
    };
    check("serviceaccounts", namespace, &bound.serviceaccount)?;
    if let Some(pod) = &bound.pod {
        check("pods", namespace, pod)?;
    }
    if let Some(secret) = &bound.secret {
        check("secrets", namespace, secret)?;
    }
    if let (Some(node), None) = (&bound.node, &bound.pod) {
        check("nodes", "", node)?;
    }
    Ok(())
}

/// Returns true if the object was deleted longer ago than the leeway, even if a finalizer keeps it.
fn is_gone(object: &Object, now: Timestamp) -> bool {
    let deleted = object.deletion_timestamp().and_then(time::parse);
    deleted.is_some_and(|deleted| now.duration_since(deleted) > LEEWAY)
}

fn user(claims: &Claims) -> User {
    let bound = &claims.kubernetes;
    let mut user = User::service_account(&bound.namespace, &bound.serviceaccount.name);
    user.uid = bound.serviceaccount.uid.clone();
    let mut add = |key: &str, value: &str| {
        user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
    };
    add("credential-id", &format!("JTI={}", claims.jti));
    if let Some(pod) = &bound.pod {
        add("pod-name", &pod.name);
        add("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        add("node-name", &node.name);
        add("node-uid", &node.uid);
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_deleted_a_minute_ago_is_gone() {
        let now = Timestamp::now();
        let at = |seconds: i64| {
            let deleted = time::rfc3339(now + SignedDuration::from_secs(seconds));
            is_gone(&json!({"metadata": {"deletionTimestamp": deleted}}), now)
        };
        assert_eq!([at(-63), at(-58), at(30)], [true, false, false]);
        assert!(!is_gone(&json!({"metadata": {}}), now));
    }
}

//! Tokens held by Secrets: valid while Secret and account match the token. The day of their last
//! use is recorded on the Secret (KEP-2799).

use std::sync::Arc;

use apimachinery::{Object, ObjectExt, time};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use pki::{SecretClaims, TokenError};
use serde_json::json;
use store::Expect;
use telemetry::task;
use tokio::sync::mpsc;

use super::TokenOutcome;
use crate::registry;
use crate::server::Server;
use crate::user::User;
use crate::verbs::Failure;

const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// Uses waiting to be recorded; further ones are recorded on a later use.
const WAITING: usize = 64;

/// Reports uses: namespace and name of the Secret.
pub(crate) type Uses = mpsc::Sender<(String, String)>;

/// A channel for uses.
pub(crate) fn uses() -> (Uses, mpsc::Receiver<(String, String)>) {
    mpsc::channel(WAITING)
}

pub(super) fn authenticate(server: &Server, token: &str, audiences: &[String]) -> TokenOutcome {
    let signer = &server.settings.signer;
    let claims = match signer.verify_secret(token) {
        Ok(claims) => claims,
        Err(TokenError::Foreign) => return TokenOutcome::Unknown,
        Err(TokenError::Invalid(why)) => return TokenOutcome::Invalid(why),
    };
    // Such a token names no audience: it is for this server.
    let own = &server.authn.audiences;
    let good = super::for_this_server(server, audiences);
    if good.is_empty() {
        return TokenOutcome::Invalid(format!(
            "token audiences {own:?} is invalid for the target audiences {audiences:?}"
        ));
    }
    match check(server, token, &claims) {
        Err(why) => TokenOutcome::Invalid(why.to_string()),
        Ok(()) => {
            let mut user = User::service_account(&claims.namespace, &claims.account);
            user.uid = claims.account_uid;
            TokenOutcome::Valid(user, good)
        }
    }
}

/// The reason why the token of a Secret is invalid.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("Token has been invalidated")]
    NoSecret,
    #[error("Token does not match server's copy")]
    Mismatch,
    #[error("ServiceAccount {namespace}/{account} has been deleted")]
    NoAccount { namespace: String, account: String },
    #[error("ServiceAccount UID ({uid}) does not match claim ({claimed})")]
    Uid { uid: String, claimed: String },
    #[error(
        "the token in secret {namespace}/{secret} for service account {namespace}/{account} has \
         been marked invalid. Use tokens from the TokenRequest API or manually created secret-based \
         tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of \
         this token"
    )]
    MarkedInvalid { namespace: String, secret: String, account: String },
}

fn check(server: &Server, token: &str, claims: &SecretClaims) -> Result<(), Refusal> {
    let (namespace, name) = (&claims.namespace, &claims.secret);
    let find = |resource: &str, name: &str| {
        let kind = registry::find("", "v1", resource)?;
        server.entry(kind, namespace, name).map(|entry| entry.object())
    };
    let present = |object: &Object| object.deletion_timestamp().is_none();
    let secret = find("secrets", name).filter(present).ok_or(Refusal::NoSecret)?;
    let kept = STANDARD.decode(secret.str_at(&["data", "token"])).unwrap_or_default();
    if kept != token.as_bytes() {
        return Err(Refusal::Mismatch);
    }
    let account = find("serviceaccounts", &claims.account).filter(present);
    let account = account.ok_or_else(|| Refusal::NoAccount {
        namespace: namespace.clone(),
        account: claims.account.clone(),
    })?;
    if account.uid() != claims.account_uid {
        let (uid, claimed) = (account.uid().to_owned(), claims.account_uid.clone());
        return Err(Refusal::Uid { uid, claimed });
    }
    // Tomorrow's date may come from a server whose clock is ahead.
    let now = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let recent = [Some(now), now.checked_add(1.day()).ok()];
    let used = secret.label(LAST_USED).unwrap_or_default();
    if !recent.iter().flatten().any(|day| day.to_string() == used) {
        let _ = server.token_uses.try_send((namespace.clone(), name.clone()));
    }
    if secret.label(INVALID_SINCE).is_some_and(|since| !since.is_empty()) {
        return Err(Refusal::MarkedInvalid {
            namespace: namespace.clone(),
            secret: name.clone(),
            account: claims.account.clone(),
        });
    }
    Ok(())
}

/// Records uses on the Secrets until the server is dropped.
pub(crate) fn track(server: &Arc<Server>, mut uses: mpsc::Receiver<(String, String)>) {
    let server = Arc::downgrade(server);
    task::spawn("token-uses", async move {
        while let Some((namespace, name)) = uses.recv().await {
            let Some(server) = server.upgrade() else { return };
            // A panic about one Secret does not prevent others from being recorded.
            let note = async move { note(&server, &namespace, &name).await };
            let _reported = task::caught(task::watched("token-uses", note)).await;
        }
    });
}

async fn note(server: &Server, namespace: &str, name: &str) {
    let Some(kind) = registry::find("", "v1", "secrets") else { return };
    loop {
        let Some(entry) = server.entry(kind, namespace, name) else { return };
        let (mut secret, today) = (entry.object(), today());
        if secret.label(LAST_USED) == Some(&today) {
            return;
        }
        secret.set_path(&["metadata", "labels", LAST_USED], today.into());
        match server.commit(kind, &mut secret, Expect::At(entry.revision)).await {
            Err(Failure::Conflict) => {}
            Err(Failure::Refused(status)) => {
                tracing::warn!(%status, namespace, name, "noting the use of a token");
                return;
            }
            Ok(()) => return,
        }
    }
}

fn today() -> String {
    let now = time::now_rfc3339();
    now.split('T').next().unwrap_or_default().to_owned()
}

/// Publishes since when uses are recorded, for tools that remove unused tokens.
pub(crate) fn tracking() -> Object {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "kube-apiserver-legacy-service-account-token-tracking",
            "namespace": "kube-system",
        },
        "data": {"since": today()},
    })
}

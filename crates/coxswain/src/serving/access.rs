//! Authorization of readers. As upstream, everything but health needs it, and the API server decides
//! about everybody but administrators.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use client::{Client, review};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReviewSpec};
use tokio::sync::{Mutex, Semaphore};

use super::answers::refuse;

/// Paths that tell nothing but whether all is well.
const OPEN: [&str; 3] = ["/healthz", "/livez", "/readyz"];
/// The group that may read everything.
const ADMINISTRATORS: &str = "system:masters";
/// How long an answer holds (upstream's `--authorization-webhook-cache-authorized-ttl` and
/// `--authentication-token-webhook-cache-ttl`).
const HOLDS: Duration = Duration::from_secs(10);
/// Answers that are remembered.
const REMEMBERED: usize = 256;
/// Questions to the API server at once: unknown clients must not be able to flood it.
const QUESTIONS: usize = 8;

type Refused = Box<Response>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Identity {
    user: String,
    groups: Vec<String>,
}

/// Asks the API server, and remembers its answers for a moment.
pub(crate) struct Access {
    client: Client,
    questions: Semaphore,
    decisions: Mutex<HashMap<(Identity, String), (Instant, bool)>>,
}

/// The layer: lets a request pass, or answers in its place.
pub(super) async fn authorize(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let (head, body) = request.into_parts();
    match access.check(&head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refused) => *refused,
    }
}

impl Access {
    pub(crate) fn new(client: Client) -> Self {
        let questions = Semaphore::new(QUESTIONS);
        Self { client, questions, decisions: Mutex::default() }
    }

    /// Lets a request pass, or gives the answer in its place.
    async fn check(&self, request: &Parts) -> Result<(), Refused> {
        let path = request.uri.path();
        if OPEN.contains(&path) {
            return Ok(());
        }
        let busy = || {
            let text = "too many requests, please try again later.";
            Box::new(refuse(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", text))
        };
        let _question = self.questions.try_acquire().map_err(|_| busy())?;
        let identity = self.authenticate(request).await?;
        if identity.groups.iter().any(|group| group == ADMINISTRATORS) {
            return Ok(());
        }
        let verb = match request.method {
            Method::GET => "get",
            Method::HEAD => "head",
            Method::POST => "post",
            Method::PUT => "put",
            Method::DELETE => "delete",
            _ => "other",
        };
        if self.may(&identity, verb, path).await {
            return Ok(());
        }
        let user = &identity.user;
        let text = format!("forbidden: User {user:?} cannot {verb} path {path:?}");
        Err(Box::new(refuse(StatusCode::FORBIDDEN, "Forbidden", &text)))
    }

    async fn authenticate(&self, request: &Parts) -> Result<Identity, Refused> {
        let peer = request.extensions.get::<Arc<pki::ClientCertificate>>();
        if let Some(identity) = peer.and_then(|peer| peer.identity()) {
            let mut groups = identity.groups.clone();
            groups.push("system:authenticated".to_owned());
            return Ok(Identity { user: identity.user.clone(), groups });
        }
        let Some(header) = request.headers.get(AUTHORIZATION) else {
            let groups = vec!["system:unauthenticated".to_owned()];
            return Ok(Identity { user: "system:anonymous".to_owned(), groups });
        };
        let token = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
        let reviewed = match token {
            Some(token) => review::token(&self.client, token.to_owned()).await,
            None => None,
        };
        let unauthorized =
            || Box::new(refuse(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"));
        let reviewed = reviewed.ok_or_else(unauthorized)?;
        Ok(Identity { user: reviewed.user, groups: reviewed.groups })
    }

    async fn may(&self, identity: &Identity, verb: &str, path: &str) -> bool {
        let key = (identity.clone(), format!("{verb} {path}"));
        let mut decisions = self.decisions.lock().await;
        if let Some((at, allowed)) = decisions.get(&key)
            && at.elapsed() < HOLDS
        {
            return *allowed;
        }
        drop(decisions);
        let spec = SubjectAccessReviewSpec {
            user: Some(identity.user.clone()),
            groups: Some(identity.groups.clone()),
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some(verb.to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        };
        let allowed = review::allows(&self.client, spec).await;
        decisions = self.decisions.lock().await;
        if decisions.len() >= REMEMBERED {
            decisions.clear();
        }
        decisions.insert(key, (Instant::now(), allowed));
        allowed
    }
}

//! Authentication: client certificates, service account tokens, impersonation.

mod impersonation;
mod service_account;

use std::sync::Arc;

use apimachinery::Status;
use http::Request;
use http::header::AUTHORIZATION;

use crate::body::Body;
use crate::server::Server;
use crate::user::{AUTHENTICATED, User};

pub(crate) use impersonation::impersonate;

/// The verified client certificate of a connection.
#[derive(Clone)]
pub(crate) struct Peer(pub(crate) Option<Arc<pki::Identity>>);

/// What a token turned out to be.
pub(crate) enum TokenOutcome {
    /// Valid for these of the wanted audiences.
    Valid(User, Vec<String>),
    Invalid(String),
    /// No authenticator knows it.
    Unknown,
}

/// Who sent a request. Without credentials: the anonymous user, who may see health and discovery.
pub(crate) fn authenticate(server: &Server, request: &Request<Body>) -> Result<User, Status> {
    if let Some(Peer(Some(identity))) = request.extensions().get::<Peer>() {
        let mut groups = identity.groups.clone();
        groups.push(AUTHENTICATED.to_owned());
        return Ok(User { name: identity.user.clone(), groups, ..User::default() });
    }
    let Some(header) = request.headers().get(AUTHORIZATION) else { return Ok(User::anonymous()) };
    let credentials = header.to_str().unwrap_or_default();
    let bearer =
        credentials.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    match bearer.map(|(_, t)| token(server, t.trim(), &[])) {
        Some(TokenOutcome::Valid(user, _)) => Ok(user),
        Some(TokenOutcome::Invalid(why)) => {
            tracing::debug!(why, "token refused");
            Err(Status::unauthorized("Unauthorized"))
        }
        _ => Err(Status::unauthorized("Unauthorized")),
    }
}

/// Authenticates a token for one of `audiences`; none means this server.
pub(crate) fn token(server: &Server, token: &str, audiences: &[String]) -> TokenOutcome {
    service_account::authenticate(server, token, audiences)
}

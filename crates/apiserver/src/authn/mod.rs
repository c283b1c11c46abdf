//! Authentication: client certificates, service account tokens, impersonation.

mod impersonation;
mod secret_token;
mod service_account;

use std::sync::Arc;

use apimachinery::Status;
use http::Request;
use http::header::AUTHORIZATION;

use crate::body::Body;
use crate::server::Server;
use crate::user::{AUTHENTICATED, User};

pub(crate) use impersonation::impersonate;
pub(crate) use secret_token::{Uses, track, tracking, uses};

/// The verified client certificate of a connection.
#[derive(Clone)]
pub(crate) struct Peer(pub(crate) Option<Arc<pki::ClientCertificate>>);

/// The outcome of authenticating a token.
pub(crate) enum TokenOutcome {
    /// Valid for these of the requested audiences.
    Valid(User, Vec<String>),
    Invalid(String),
    /// No authenticator recognizes it.
    Unknown,
}

/// Returns the sender. Without credentials it is anonymous and may read health and discovery.
pub(crate) fn authenticate(server: &Server, request: &Request<Body>) -> Result<User, Status> {
    if let Some(Peer(Some(certificate))) = request.extensions().get::<Peer>() {
        server.metrics.access.certificate(certificate.remaining());
        // The connection outlives the certificate; its rights do not.
        let identity =
            certificate.identity().ok_or_else(|| Status::unauthorized("Unauthorized"))?;
        if !identity.user.is_empty() {
            return Ok(by_certificate(identity, certificate.fingerprint()));
        }
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

fn by_certificate(identity: &pki::Identity, fingerprint: &str) -> User {
    let mut groups = identity.groups.clone();
    groups.push(AUTHENTICATED.to_owned());
    let credential = vec![format!("X509SHA256={fingerprint}")];
    let extra = [("authentication.kubernetes.io/credential-id".to_owned(), credential)];
    User { name: identity.user.clone(), groups, extra: extra.into(), ..User::default() }
}

/// Authenticates a token for one of `audiences`; none means this server.
pub(crate) fn token(server: &Server, token: &str, audiences: &[String]) -> TokenOutcome {
    if pki::is_of_secret(token) {
        return secret_token::authenticate(server, token, audiences);
    }
    service_account::authenticate(server, token, audiences)
}

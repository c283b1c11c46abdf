//! Tokens of OpenID Connect providers, by the issuers that are configured.

mod claims;
mod fetch;
mod issuer;
mod keys;

use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::config::{Configuration, Mapper};
use crate::metrics::Jwt;

pub(super) use issuer::Issuer;
pub use issuer::Unusable;

/// The issuers of now; replaced as a whole when their configuration changes.
#[derive(Default)]
pub(crate) struct Issuers(ArcSwap<Vec<Arc<Issuer>>>);

impl Issuers {
    /// The one that a token says it is of. Nothing of the token is verified.
    pub(super) fn of(&self, token: &str) -> Option<Arc<Issuer>> {
        let all = self.0.load();
        if all.is_empty() {
            return None;
        }
        let url = claimed_issuer(token)?;
        all.iter().find(|issuer| issuer.url() == url).cloned()
    }

    /// Serves others from now on.
    pub(super) fn replace(&self, issuers: Vec<Arc<Issuer>>) {
        self.0.store(Arc::new(issuers));
    }
}

/// The issuers of a configuration. They begin to look for their keys at once.
///
/// # Errors
/// An authority is unusable, or a way out of the cluster is demanded that there is none of.
pub(super) fn issuers(
    configuration: &Configuration,
    mappers: Vec<Mapper>,
    algorithms: &[String],
    metrics: &Jwt,
) -> Result<Vec<Arc<Issuer>>, Unusable> {
    let all = configuration.jwt.iter().zip(mappers);
    let all = all.map(|(jwt, mapper)| Issuer::start(jwt.clone(), mapper, algorithms, metrics));
    all.collect()
}

/// The `iss` of a token, which is nobody's word yet.
fn claimed_issuer(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&payload).ok()?;
    let issuer = claims.get("iss")?.as_str()?;
    Some(match issuer {
        // Google leaves the scheme out in some of its tokens.
        "accounts.google.com" => "https://accounts.google.com".to_owned(),
        issuer => issuer.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_of_a_token_is_read_of_its_claims() {
        let token = |claims: &str| format!("e30.{}.", URL_SAFE_NO_PAD.encode(claims));
        for (claims, issuer) in [
            (r#"{"iss":"https://a"}"#, Some("https://a")),
            (r#"{"iss":"accounts.google.com"}"#, Some("https://accounts.google.com")),
            (r#"{"iss":1}"#, None),
            ("[]", None),
        ] {
            assert_eq!(claimed_issuer(&token(claims)).as_deref(), issuer, "{claims}");
        }
        for token in ["", "a.b", "{\"payload\":\"\"}", "a.b.c.d"] {
            assert_eq!(claimed_issuer(token), None, "{token}");
        }
    }
}

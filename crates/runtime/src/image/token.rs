//! The token that a registry's authorization server gives (Distribution's token authentication
//! specification), read bounded: that server is whatever the registry names.

use http_auth::ChallengeParser;
use oci_client::Reference;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth as Secret;
use reqwest::{Client, StatusCode, header};
use serde::Deserialize;

use super::manifest::read;

/// Longer answers hold no token; as containerd's.
const MAX_TOKEN: u64 = 1 << 20;

/// The answer of an authorization server; both names are in use.
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
}

/// The `Bearer` challenge of a registry: where to get a token, and for which service.
struct Challenge {
    realm: String,
    service: Option<String>,
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let challenges = ChallengeParser::new(header).filter_map(Result::ok);
        let bearer = challenges.into_iter().find(|c| c.scheme.eq_ignore_ascii_case("Bearer"))?;
        let parameter = |name: &str| {
            let found = bearer.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.to_unescaped())
        };
        Some(Self { realm: parameter("realm")?, service: parameter("service") })
    }
}

/// The credentials for the registry's own requests: those given, or the token that its
/// authorization server gives for them.
///
/// # Errors
/// A server does not answer, refuses, or answers without a token.
pub(super) async fn credentials(
    client: &Client,
    reference: &Reference,
    plain: bool,
    secret: Secret,
) -> Result<Secret, OciDistributionError> {
    if let Secret::Bearer(_) = secret {
        return Ok(secret);
    }
    let scheme = if plain { "http" } else { "https" };
    let ping = client.get(format!("{scheme}://{}/v2/", reference.resolve_registry()));
    let ping = ping.send().await?;
    let challenge = ping.headers().get(header::WWW_AUTHENTICATE);
    let Some(challenge) = challenge.and_then(|c| Challenge::parse(c.to_str().ok()?)) else {
        return Ok(secret);
    };
    let mut query = vec![("scope", format!("repository:{}:pull", reference.repository()))];
    query.extend(challenge.service.map(|service| ("service", service)));
    let mut request = client.get(&challenge.realm).query(&query);
    if let Secret::Basic(user, password) = &secret {
        request = request.basic_auth(user, Some(password));
    }
    let answer = request.send().await?;
    let status = answer.status();
    let bytes = read(answer, MAX_TOKEN, "the registry's token").await?;
    if status != StatusCode::OK {
        let reason = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned();
        return Err(OciDistributionError::AuthenticationFailure(reason));
    }
    let undecodable = |why: String| OciDistributionError::RegistryTokenDecodeError(why);
    let granted: Granted =
        serde_json::from_slice(&bytes).map_err(|error| undecodable(error.to_string()))?;
    let token = granted.token.or(granted.access_token).filter(|token| !token.is_empty());
    token.map(Secret::Bearer).ok_or_else(|| undecodable("no token in the answer".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        for (header, want) in [
            (
                r#"Bearer realm="https://a.example/token",service="r",scope="x""#,
                Some(("https://a.example/token", Some("r"))),
            ),
            (
                r#"Basic realm="b", bearer REALM="https://a.example""#,
                Some(("https://a.example", None)),
            ),
            (r#"Bearer service="r""#, None),
            (r#"Basic realm="b""#, None),
            ("", None),
        ] {
            let got = Challenge::parse(header);
            let got = got.as_ref().map(|c| (c.realm.as_str(), c.service.as_deref()));
            assert_eq!(got, want, "{header}");
        }
    }
}

//! Claims of a token whose signature was verified: that it is for this server and of now, and the
//! user that they describe.

use apimachinery::text::quote;
use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::authn::config::{self, JwtAuthenticator, Mapper, Mapping};
use crate::authn::config::{text, texts};
use crate::user::User;

/// How far the clock of an issuer may be ahead.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// Why claims make no user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("oidc: {0}")]
pub(in crate::authn) struct Refused(String);

fn refused(why: impl Into<String>) -> Refused {
    Refused(why.into())
}

/// Why a claim cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreadable(String);

/// Claims by name.
struct Claims(Value);

impl Claims {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A claim of this type. `null` is the type's zero, as in Go.
    fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Unreadable> {
        match self.get(name) {
            None => Err(Unreadable("claim not present".to_owned())),
            Some(Value::Null) => Ok(T::default()),
            Some(value) => T::deserialize(value).map_err(|why| Unreadable(why.to_string())),
        }
    }

    /// A claim that is a text or a list of texts.
    fn list(&self, name: &str) -> Result<Vec<String>, Unreadable> {
        match self.get(name) {
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            _ => self.read(name),
        }
    }

    /// A time in seconds since the epoch.
    fn time(&self, name: &str) -> Result<Option<Timestamp>, Refused> {
        let seconds = match self.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64)),
        };
        let seconds =
            seconds.ok_or_else(|| refused("verify token: oidc: failed to unmarshal claims"))?;
        // A time beyond all calendars lies at their ends.
        let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Ok(Some(Timestamp::from_second(seconds).unwrap_or(end)))
    }
}

/// The user that the claims of a token describe.
pub(super) fn user(
    config: &JwtAuthenticator,
    mapper: &Mapper,
    payload: &[u8],
) -> Result<User, Refused> {
    let claims: Map<String, Value> = serde_json::from_slice(payload)
        .map_err(|_| refused("verify token: oidc: failed to unmarshal claims"))?;
    let claims = Claims(Value::Object(claims));
    check_token(config, &claims)?;

    let mut user = User {
        name: username(config, mapper, &claims)?,
        groups: groups(config, mapper, &claims)?,
        uid: uid(config, mapper, &claims)?,
        ..User::default()
    };
    if let Ok(id) = claims.read::<String>("jti")
        && !id.is_empty()
    {
        user.extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
    }
    for (program, source, key) in &mapper.extra {
        let values = texts(program, source, &claims.0).map_err(|why| match why {
            config::Refused::Type(why) => {
                refused(format!("error evaluating extra claim expression: {source}: {why}"))
            }
            failed => Refused(failed.to_string()),
        })?;
        if !values.is_empty() {
            user.extra.insert(key.clone(), values);
        }
    }
    check_required(config, &claims)?;
    let failed = |what: &str, why| refused(format!("error evaluating {what}: {why}"));
    mapper.check_claims(&claims.0).map_err(|why| failed("claim validation expression", why))?;
    mapper.check_user(&user).map_err(|why| failed("user info validation rule", why))?;
    Ok(user)
}

/// Refuses a token of another issuer, for others, or of another time.
fn check_token(config: &JwtAuthenticator, claims: &Claims) -> Result<(), Refused> {
    let unreadable = |_| refused("verify token: oidc: failed to unmarshal claims");
    let issuer: String = claims.read("iss").map_err(unreadable)?;
    let wanted = &config.issuer.url;
    let google = wanted == "https://accounts.google.com" && issuer == "accounts.google.com";
    if issuer != *wanted && !google {
        return Err(refused(format!(
            "verify token: oidc: id token issued by a different provider, expected {} got {}",
            quote(wanted),
            quote(&issuer)
        )));
    }
    let audiences = match claims.get("aud") {
        None => Vec::new(),
        Some(_) => claims.list("aud").map_err(unreadable)?,
    };
    let ours = &config.issuer.audiences;
    if !ours.iter().any(|ours| audiences.contains(ours)) {
        let list = |all: &[String]| {
            let all: Vec<String> = all.iter().map(|one| quote(one)).collect();
            format!("[{}]", all.join(" "))
        };
        let expected = match &ours[..] {
            [one] => format!("audience {}", quote(one)),
            several => {
                let mut several = several.to_vec();
                several.sort();
                format!("audience in {}", list(&several))
            }
        };
        let got = list(&audiences);
        return Err(refused(format!("verify token: oidc: expected {expected} got {got}")));
    }
    let now = Timestamp::now();
    let expires = claims.time("exp")?;
    if expires.is_none_or(|expires| expires < now) {
        let shown = expires.map_or("none".to_owned(), |expires| expires.to_string());
        return Err(refused(format!(
            "verify token: oidc: token is expired (Token Expiry: {shown})"
        )));
    }
    if let Some(begins) = claims.time("nbf")?
        && now.saturating_add(LEEWAY).is_ok_and(|now| now < begins)
    {
        return Err(refused(format!(
            "verify token: oidc: current time {now} before the nbf (not before) time: {begins}"
        )));
    }
    Ok(())
}

fn username(
    config: &JwtAuthenticator,
    mapper: &Mapper,
    claims: &Claims,
) -> Result<String, Refused> {
    let mapping = &config.claim_mappings.username;
    if let Some(program) = &mapper.username {
        let wrong = "username claim expression must return a string";
        let name = text(program, &mapping.expression, &claims.0, wrong)
            .map_err(|why| refused(format!("error evaluating username claim expression: {why}")))?;
        return match name.is_empty() {
            true => Err(refused("empty username via CEL expression is not allowed")),
            false => Ok(name),
        };
    }
    let claim = &mapping.claim;
    let name: String = claims
        .read(claim)
        .map_err(|why| refused(format!("parse username claims {}: {why}", quote(claim))))?;
    if claim == "email" && claims.get("email_verified").is_some() {
        let verified: bool = claims
            .read("email_verified")
            .map_err(|why| refused(format!("parse 'email_verified' claim: {why}")))?;
        if !verified {
            return Err(refused("email not verified"));
        }
    }
    Ok(format!("{}{name}", mapping.prefix))
}

fn groups(
    config: &JwtAuthenticator,
    mapper: &Mapper,
    claims: &Claims,
) -> Result<Vec<String>, Refused> {
    let Mapping { claim, prefix, expression } = &config.claim_mappings.groups;
    if !claim.is_empty() {
        if claims.get(claim).is_some() {
            let groups = claims
                .list(claim)
                .map_err(|why| refused(format!("parse groups claim {}: {why}", quote(claim))))?;
            return Ok(groups.into_iter().map(|group| format!("{prefix}{group}")).collect());
        }
        let elsewhere = claims.get("_claim_names").and_then(|names| names.get(claim));
        if elsewhere.is_some() {
            return Err(refused(
                "could not expand distributed claims: this server does not ask other endpoints",
            ));
        }
    }
    let Some(program) = &mapper.groups else { return Ok(Vec::new()) };
    texts(program, expression, &claims.0)
        .map_err(|why| refused(format!("error evaluating group claim expression: {why}")))
}

fn uid(config: &JwtAuthenticator, mapper: &Mapper, claims: &Claims) -> Result<String, Refused> {
    let Mapping { claim, expression, .. } = &config.claim_mappings.uid;
    if !claim.is_empty() {
        let read = claims.read(claim);
        return read.map_err(|why| refused(format!("parse uid claim {}: {why}", quote(claim))));
    }
    let Some(program) = &mapper.uid else { return Ok(String::new()) };
    text(program, expression, &claims.0, "uid claim expression must return a string")
        .map_err(|why| refused(format!("error evaluating uid claim expression: {why}")))
}

/// Refuses a token without a required claim of the required value.
fn check_required(config: &JwtAuthenticator, claims: &Claims) -> Result<(), Refused> {
    for rule in config.claim_validation_rules.iter().filter(|rule| !rule.claim.is_empty()) {
        let (claim, wanted) = (&rule.claim, &rule.required_value);
        if claims.get(claim).is_none() {
            return Err(refused(format!("required claim {claim} not present in ID token")));
        }
        let found: String =
            claims.read(claim).map_err(|why| refused(format!("parse claim {claim}: {why}")))?;
        if found != *wanted {
            return Err(refused(format!(
                "required claim {claim} value does not match. Got = {found}, want = {wanted}"
            )));
        }
    }
    Ok(())
}

//! Bootstrap tokens: Secrets by which a machine that is nobody yet asks for a certificate.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use apimachinery::{ObjectExt, time};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use regex::Regex;
use serde_json::Value;

use crate::registry;
use crate::server::Server;
use crate::user::User;

const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

static TOKEN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\A([a-z0-9]{6})\.([a-z0-9]{16})\z").ok());
static EXTRA_GROUP: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\z").ok());

/// The user of a bootstrap token. Nobody learns why another has none.
pub(super) fn authenticate(server: &Server, token: &str) -> Option<User> {
    let parts = TOKEN.as_ref()?.captures(token)?;
    let (id, secret) = (parts.get(1)?.as_str(), parts.get(2)?.as_str());
    let kind = registry::find("", "v1", "secrets")?;
    let name = format!("bootstrap-token-{id}");
    let stored = server.entry(kind, "kube-system", &name)?.object();
    match user(&stored, id, secret, Timestamp::now()) {
        Ok(user) => Some(user),
        Err(why) => {
            tracing::debug!(secret = name, %why, "bootstrap secret matching bearer token");
            None
        }
    }
}

/// Why a Secret makes nobody of a token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Refused(&'static str);

fn user(stored: &Value, id: &str, secret: &str, now: Timestamp) -> Result<User, Refused> {
    let data = |key: &str| STANDARD.decode(stored.str_at(&["data", key])).unwrap_or_default();
    let text = |key: &str| String::from_utf8(data(key)).unwrap_or_default();
    if stored.deletion_timestamp().is_some() {
        return Err(Refused("is deleted and awaiting removal"));
    }
    if stored.str_at(&["type"]) != TYPE || stored["data"].is_null() {
        return Err(Refused("has invalid type"));
    }
    if !same(&data("token-secret"), secret.as_bytes()) {
        return Err(Refused("has invalid value for key token-secret"));
    }
    if text("token-id") != id {
        return Err(Refused("has invalid value for key token-id"));
    }
    let expires = data("expiration");
    // A time that cannot be read has passed.
    let expires_at = std::str::from_utf8(&expires).ok().and_then(time::parse);
    if !expires.is_empty() && expires_at.is_none_or(|at| at <= now) {
        return Err(Refused("has expired"));
    }
    if text("usage-bootstrap-authentication") != "true" {
        return Err(Refused("is not marked usage-bootstrap-authentication=true"));
    }
    let mut groups = BTreeSet::from([GROUP.to_owned()]);
    let extra = data("auth-extra-groups");
    if !extra.is_empty() {
        let extra = std::str::from_utf8(&extra).map_err(|_| Refused("has invalid groups"))?;
        for group in extra.split(',') {
            if !EXTRA_GROUP.as_ref().is_some_and(|pattern| pattern.is_match(group)) {
                return Err(Refused("has invalid value for key auth-extra-groups"));
            }
            groups.insert(group.to_owned());
        }
    }
    let groups: Vec<String> = groups.into_iter().collect();
    let user = User { name: format!("system:bootstrap:{id}"), groups, ..User::default() };
    Ok(user.with_standing())
}

/// Compares in a time that depends on the lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differing = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(differing) == 0 && a.len() == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_says_who_a_token_is_and_until_when() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let secret = |changes: &[(&str, &str)]| {
            let mut data = json!({
                "token-id": STANDARD.encode("abcdef"),
                "token-secret": STANDARD.encode("0123456789abcdef"),
                "usage-bootstrap-authentication": STANDARD.encode("true"),
            });
            for (key, value) in changes {
                data[*key] = STANDARD.encode(value).into();
            }
            json!({"type": TYPE, "data": data})
        };
        let ask = |stored: &Value| user(stored, "abcdef", "0123456789abcdef", now);
        let plain = ask(&secret(&[])).unwrap();
        assert_eq!(plain.name, "system:bootstrap:abcdef");
        assert_eq!(plain.groups, ["system:bootstrappers", "system:authenticated"]);
        let more = secret(&[
            ("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a"),
            ("expiration", "2026-01-01T01:00:00+01:00x"),
        ]);
        assert_eq!(ask(&more), Err(Refused("has expired")));
        let more = secret(&[
            ("auth-extra-groups", "system:bootstrappers:b,system:bootstrappers:a"),
            ("expiration", "2026-01-01T01:00:01+01:00"),
        ]);
        let groups = ask(&more).unwrap().groups;
        assert_eq!(groups[1..3], ["system:bootstrappers:a", "system:bootstrappers:b"]);
        for change in [
            ("token-secret", "0123456789abcdeg"),
            ("token-secret", "0123456789abcde"),
            ("token-secret", ""),
            ("token-id", "abcdeg"),
            ("usage-bootstrap-authentication", "yes"),
            ("expiration", "2025-12-31T23:59:59Z"),
            ("expiration", "tomorrow"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:a,"),
        ] {
            assert!(ask(&secret(&[change])).is_err(), "{change:?}");
        }
        let mut other = secret(&[]);
        other["type"] = "Opaque".into();
        assert!(ask(&other).is_err());
        other = secret(&[]);
        other["metadata"] = json!({"deletionTimestamp": "2026-01-01T00:00:00Z"});
        assert!(ask(&other).is_err());
    }
}

//! Registry credentials from pull secrets.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use runtime::RegistryAuth;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::records::PullSecret;

#[derive(Deserialize)]
struct DockerConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    registrytoken: String,
}

impl Entry {
    fn credential(self) -> Option<RegistryAuth> {
        if !self.registrytoken.is_empty() {
            return Some(RegistryAuth::Bearer(self.registrytoken));
        }
        if !self.auth.is_empty()
            && let Ok(bytes) = STANDARD.decode(self.auth.trim())
            && let Ok(text) = String::from_utf8(bytes)
            && let Some((username, password)) = text.split_once(':')
        {
            let (username, password) = (username.to_owned(), password.to_owned());
            return Some(RegistryAuth::Basic { username, password });
        }
        if self.username.is_empty() {
            return None;
        }
        Some(RegistryAuth::Basic { username: self.username, password: self.password })
    }
}

/// A credential, and the secret it is from.
#[derive(Debug, Clone)]
pub(crate) struct Credential {
    pub(crate) auth: RegistryAuth,
    pub(crate) secret: PullSecret,
}

impl Credential {
    fn new(auth: RegistryAuth, secret: &Secret) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut hash = Sha256::new();
        // Each part with its length, so that no two credentials are the same text.
        let parts = match &auth {
            RegistryAuth::Basic { username, password } => ["basic", username, password],
            RegistryAuth::Bearer(token) => ["bearer", token, ""],
        };
        for part in parts {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let secret = PullSecret {
            namespace: text(&secret.metadata.namespace),
            name: text(&secret.metadata.name),
            uid: text(&secret.metadata.uid),
            credential_hash: hex::encode(hash.finalize()),
        };
        Self { auth, secret }
    }
}

/// The credentials in `secrets` that are meant for the image's registry, those with the longest
/// matching path first.
pub(crate) fn for_image(secrets: &[Arc<Secret>], reference: &str) -> Vec<Credential> {
    let image = normalised(reference);
    let mut matching: Vec<(usize, Credential)> = secrets
        .iter()
        .flat_map(|secret| entries(secret).into_iter().map(move |entry| (secret, entry)))
        .filter_map(|(secret, (registry, entry))| {
            let path = location(&registry);
            covers(&path, &image).then_some(())?;
            Some((path.len(), Credential::new(entry.credential()?, secret)))
        })
        .collect();
    matching.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    matching.into_iter().map(|(_, credential)| credential).collect()
}

fn entries(secret: &Secret) -> BTreeMap<String, Entry> {
    let data = |key: &str| secret.data.as_ref()?.get(key).map(|value| value.0.as_slice());
    if let Some(json) = data(".dockerconfigjson") {
        return serde_json::from_slice::<DockerConfigJson>(json)
            .map(|config| config.auths)
            .unwrap_or_default();
    }
    data(".dockercfg").and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default()
}

/// A registry key as host and path, without scheme and API version.
fn location(registry: &str) -> String {
    let text = registry.split_once("://").map_or(registry, |(_, rest)| rest);
    let text = text.trim_end_matches('/');
    let text = text.strip_suffix("/v1").or_else(|| text.strip_suffix("/v2")).unwrap_or(text);
    match text {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        other => other.to_owned(),
    }
}

/// Returns true if the credential at `path` is for `image`; host labels may be `*`.
fn covers(path: &str, image: &str) -> bool {
    let (host, prefix) = path.split_once('/').unwrap_or((path, ""));
    let (image_host, repository) = image.split_once('/').unwrap_or((image, ""));
    let labels = |host: &str| host.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, actual) = (labels(host), labels(image_host));
    let same_host = pattern.len() == actual.len()
        && pattern.iter().zip(&actual).all(|(want, got)| want == "*" || want == got);
    same_host && (prefix.is_empty() || repository.starts_with(prefix))
}

/// The image's name with its registry.
fn normalised(reference: &str) -> String {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => reference.to_owned(),
        Some(_) => format!("docker.io/{reference}"),
        None => format!("docker.io/library/{reference}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use serde_json::json;

    fn secret(key: &str, value: serde_json::Value) -> Arc<Secret> {
        let data = [(key.to_owned(), ByteString(value.to_string().into_bytes()))].into();
        Arc::new(Secret { data: Some(data), ..Secret::default() })
    }

    fn users(secrets: &[Arc<Secret>], image: &str) -> Vec<String> {
        for_image(secrets, image)
            .into_iter()
            .map(|credential| match credential.auth {
                RegistryAuth::Basic { username, password } => format!("{username}:{password}"),
                RegistryAuth::Bearer(token) => token,
            })
            .collect()
    }

    #[test]
    fn the_longest_match_comes_first() {
        let secrets = [
            secret(
                ".dockerconfigjson",
                json!({"auths": {
                    "https://index.docker.io/v1/": {"auth": STANDARD.encode("hub:1")},
                    "reg.example:5000": {"username": "all", "password": "2"},
                    "reg.example:5000/team": {"username": "team", "password": "3"},
                    "*.example.com": {"username": "any", "password": "4"},
                }}),
            ),
            secret(".dockercfg", json!({"old.example": {"username": "old", "password": "5"}})),
        ];
        let table: [(&str, &[&str]); 6] = [
            ("busybox", &["hub:1"]),
            ("reg.example:5000/team/app:1", &["team:3", "all:2"]),
            ("reg.example:5000/other", &["all:2"]),
            ("a.example.com/x", &["any:4"]),
            ("a.b.example.com/x", &[]),
            ("old.example/x", &["old:5"]),
        ];
        for (image, wanted) in table {
            assert_eq!(users(&secrets, image), wanted, "{image}");
        }
    }
}

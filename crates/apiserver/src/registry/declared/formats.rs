//! Forms of text that declared rules require (upstream's `k8s-` formats).

use apimachinery::field::{FieldError, Path};
use apimachinery::names;
use apimachinery::text::quote;

const UUID: &str = "must be a lowercase UUID in 8-4-4-4-12 format";
const MAX_POOL: usize = 253;
const MAX_DOMAIN: usize = 63;
const MAX_ID: usize = 32;

/// Their names.
#[cfg(test)]
pub(super) const KNOWN: &[&str] = &[
    "k8s-short-name",
    "k8s-long-name",
    "k8s-long-name-caseless",
    "k8s-label-key",
    "k8s-prefixed-label-key",
    "k8s-uuid",
    "k8s-resource-pool-name",
    "k8s-resource-fully-qualified-name",
    "k8s-extended-resource-name",
];

/// The findings about a text.
pub(super) fn check(format: &str, text: &str, path: &Path) -> Vec<FieldError> {
    let invalid = |why: String| FieldError::invalid(path, text, why);
    let all = |messages: Vec<String>| messages.into_iter().map(invalid).collect();
    match format {
        "k8s-short-name" => all(names::short_name(text)),
        "k8s-long-name" => all(names::long_name(text)),
        "k8s-long-name-caseless" => all(names::long_name_caseless(text)),
        "k8s-label-key" => all(names::qualified_name(text)),
        "k8s-prefixed-label-key" => {
            let mut messages = names::qualified_name(text);
            if messages.is_empty() && !text.contains('/') {
                messages.push("must be a domain-prefixed key (such as \"acme.io/foo\")".to_owned());
            }
            all(messages)
        }
        "k8s-uuid" if !is_uuid(text) => vec![invalid(UUID.to_owned())],
        "k8s-resource-pool-name" => pool(text, path),
        "k8s-resource-fully-qualified-name" => qualified(text, path),
        "k8s-extended-resource-name" => all(extended(text)),
        _ => Vec::new(),
    }
}

/// Returns true for a UUID in the normal form of RFC 4122.
pub(in crate::registry) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn pool(text: &str, path: &Path) -> Vec<FieldError> {
    let mut found = Vec::new();
    if text.len() > MAX_POOL {
        found.push(FieldError::too_long(path, MAX_POOL));
    }
    for (i, part) in text.split('/').enumerate() {
        if part.is_empty() {
            let why = format!("segment {i}: must not be empty");
            found.push(FieldError::invalid(path, text, why));
            continue;
        }
        for message in names::long_name(part) {
            found.push(FieldError::invalid(path, part, format!("segment {i}: {message}")));
        }
    }
    found
}

/// `domain/name`. Upstream accepts further slashes.
fn qualified(text: &str, path: &Path) -> Vec<FieldError> {
    let mut found = Vec::new();
    let empty = |why: &str| FieldError::invalid(path, "", why);
    let (domain, id) = match text.split('/').collect::<Vec<_>>()[..] {
        [id] => (None, Some(id)),
        [domain, id] => (Some(domain), Some(id)),
        _ => (None, None),
    };
    match domain {
        Some("") => found.push(empty("prefix must not be empty")),
        Some(domain) => {
            if domain.len() > MAX_DOMAIN {
                found.push(FieldError::too_long(path, MAX_DOMAIN));
            }
            for message in names::long_name(domain) {
                found.push(FieldError::invalid(path, domain, format!("prefix: {message}")));
            }
        }
        None => {}
    }
    match id {
        Some("") if domain.is_some() => found.push(empty("name must not be empty")),
        Some(id) => {
            if id.len() > MAX_ID {
                found.push(FieldError::too_long(path, MAX_ID));
            }
            let messages = names::c_identifier(id);
            found.extend(messages.into_iter().map(|m| FieldError::invalid(path, id, m)));
        }
        None => {}
    }
    if !text.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        found.push(FieldError::invalid(path, text, why));
    }
    found
}

fn extended(text: &str) -> Vec<String> {
    const NATIVE: &str = "kubernetes.io/";
    const QUOTA: &str = "requests.";
    let mut messages = Vec::new();
    if !text.contains('/') {
        messages.push(
            "a name must be a domain-prefixed path, such as 'example.com/my-prop'".to_owned(),
        );
    } else if text.contains(NATIVE) {
        messages.push(format!("must not have {} domain", quote(NATIVE)));
    }
    if text.starts_with(QUOTA) {
        messages.push(format!("must not have {} prefix", quote(QUOTA)));
    }
    messages.extend(names::qualified_name(&format!("{QUOTA}{text}")));
    messages
}

//! Names of certificate signers (upstream's `ValidateSignerName`).

use apimachinery::names;
use apimachinery::text::quote;

use super::Field;

const MAX_DOMAIN: usize = 253;
/// A label, a subdomain, and the two separators.
const MAX: usize = MAX_DOMAIN + 253 + 63 + 2;

/// `example.com/signer`.
pub(crate) fn check_signer_name(field: &Field<'_>) {
    let name = field.text();
    if name.is_empty() {
        return field.required("");
    }
    let [domain, path] = name.split('/').collect::<Vec<_>>()[..] else {
        return field.invalid(
            "must be a fully qualified domain and path of the form 'example.com/signer-name'",
        );
    };
    if domain.len() > MAX_DOMAIN {
        field.too_long(MAX_DOMAIN);
    }
    labels(field, domain, names::dns1123_label);
    if !domain.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        field.invalid_value(domain, detail);
    }
    labels(field, path, names::dns1123_subdomain);
    if name.len() > MAX {
        field.too_long(MAX);
    }
}

/// Only reports the first invalid label: the others would repeat the message.
fn labels(field: &Field<'_>, part: &str, rule: fn(&str) -> Vec<String>) {
    let wrong = part.split('.').map(|label| (label, rule(label))).find(|(_, e)| !e.is_empty());
    if let Some((label, messages)) = wrong {
        for message in messages {
            field.invalid_value(part, format!("validating label {}: {message}", quote(label)));
        }
    }
}

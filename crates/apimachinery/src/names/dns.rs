//! DNS names.

use super::{lower_alnum, max_len_error, regex_error, shaped};

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const MAX_LABEL: usize = 63;
pub(super) const MAX_SUBDOMAIN: usize = 253;

fn is_label(value: &str) -> bool {
    shaped(value, lower_alnum, |b| lower_alnum(b) || b == b'-', lower_alnum)
}

pub(super) fn is_subdomain(value: &str) -> bool {
    value.split('.').all(is_label)
}

/// A lowercase RFC 1123 label, up to 63 bytes.
#[must_use]
pub fn dns1123_label(value: &str) -> Vec<String> {
    label(value, max_len_error(MAX_LABEL))
}

/// The same in the words of upstream's declarative validation.
#[must_use]
pub fn short_name(value: &str) -> Vec<String> {
    label(value, format!("must be no more than {MAX_LABEL} bytes"))
}

fn label(value: &str, too_long: String) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_LABEL {
        errors.push(too_long);
    }
    if !is_label(value) {
        errors.push(if is_subdomain(value) {
            "must not contain dots".to_owned()
        } else {
            regex_error(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters \
                 or '-', and must start and end with an alphanumeric character",
                LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    errors
}

pub(super) fn subdomain_pattern_error() -> String {
    regex_error(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
         '-' or '.', and must start and end with an alphanumeric character",
        SUBDOMAIN,
        &["example.com"],
    )
}

/// A lowercase RFC 1123 subdomain, up to 253 bytes: the rule for most object names.
#[must_use]
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    subdomain(value, max_len_error(MAX_SUBDOMAIN))
}

/// The same in the words of upstream's declarative validation.
#[must_use]
pub fn long_name(value: &str) -> Vec<String> {
    subdomain(value, format!("must be no more than {MAX_SUBDOMAIN} bytes"))
}

/// The same with capital letters, which some older kinds take.
#[must_use]
pub fn long_name_caseless(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_SUBDOMAIN {
        errors.push(format!("must be no more than {MAX_SUBDOMAIN} bytes"));
    }
    if !is_subdomain(&value.to_ascii_lowercase()) {
        errors.push(regex_error(
            "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must \
             start and end with an alphanumeric character",
            SUBDOMAIN,
            &["Example.com"],
        ));
    }
    errors
}

fn subdomain(value: &str, too_long: String) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_SUBDOMAIN {
        errors.push(too_long);
    }
    if !is_subdomain(value) {
        errors.push(subdomain_pattern_error());
    }
    errors
}

/// A subdomain whose labels may begin with and contain `_`, as DNS search paths do.
#[must_use]
pub fn dns1123_subdomain_with_underscore(value: &str) -> Vec<String> {
    const LABEL: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    let mut errors = Vec::new();
    if value.len() > MAX_SUBDOMAIN {
        errors.push(max_len_error(MAX_SUBDOMAIN));
    }
    let inner = |b| lower_alnum(b) || matches!(b, b'-' | b'_');
    let label = |part: &str| {
        shaped(part.strip_prefix('_').unwrap_or(part), lower_alnum, inner, lower_alnum)
    };
    if !value.split('.').all(label) {
        errors.push(regex_error(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, \
             '_', '-' or '.', and must start and end with an alphanumeric character",
            &format!("{LABEL}(\\.{LABEL})*"),
            &["example.com"],
        ));
    }
    errors
}

/// A label that starts with a letter, up to 63 bytes: the rule for Service names.
#[must_use]
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_LABEL {
        errors.push(max_len_error(MAX_LABEL));
    }
    let lower = |b: u8| b.is_ascii_lowercase();
    if !shaped(value, lower, |b| lower_alnum(b) || b == b'-', lower_alnum) {
        errors.push(regex_error(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start \
             with an alphabetic character, and end with an alphanumeric character",
            "[a-z]([-a-z0-9]*[a-z0-9])?",
            &["my-name", "abc-123"],
        ));
    }
    errors
}

/// `*.` and a subdomain.
#[must_use]
pub fn wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX_SUBDOMAIN {
        errors.push(max_len_error(MAX_SUBDOMAIN));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        errors.push(regex_error(
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS \
             subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and \
             end with an alphanumeric character",
            &format!("\\*\\.{SUBDOMAIN}"),
            &["*.example.com"],
        ));
    }
    errors
}

//! Paths below a domain (upstream's `IsDomainPrefixedPath`), and names of CSI drivers.

use std::sync::LazyLock;

use apimachinery::field::FieldError;
use apimachinery::names;
use regex::Regex;

use super::Field;

const PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
static PATH_REGEX: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("^{PATH}$")).ok());

/// The name of a CSI driver.
pub(crate) fn check_csi_driver_name(name: &Field<'_>) {
    if name.text().is_empty() {
        return name.required("");
    }
    if name.text().len() > 63 {
        name.too_long(63);
    }
    name.invalid_all(names::dns1123_subdomain(&name.text().to_lowercase()));
}

/// `example.com/path`.
pub(crate) fn check_domain_path(field: &Field<'_>) {
    let text = field.text();
    if text.is_empty() {
        return field.required("");
    }
    match text.split_once('/') {
        Some((host, path)) if !host.is_empty() && !path.is_empty() => {
            for message in names::dns1123_subdomain(host) {
                field.invalid_value(host, message);
            }
            if PATH_REGEX.as_ref().is_some_and(|r| !r.is_match(path)) {
                let message = names::regex_error("Invalid path", PATH, &[]);
                field.push(FieldError::invalid(field.path(), path, message));
            }
        }
        _ => field.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")"),
    }
}

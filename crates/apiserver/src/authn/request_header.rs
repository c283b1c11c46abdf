//! Users as a front proxy names them, in headers that only its certificate makes credible.

use std::path::PathBuf;

use http::{HeaderMap, HeaderName};

use super::certificate::{Authority, Presented};
use super::options::OptionsError;
use crate::request::percent_decode;
use crate::user::User;

/// The headers that upstream removes from every request, however it is configured.
const STANDARD: [&str; 3] = ["x-remote-user", "x-remote-uid", "x-remote-group"];
const STANDARD_EXTRA: &str = "x-remote-extra-";

/// Options of front proxies (`--requestheader-*`).
#[derive(Clone, Debug, Default)]
pub struct RequestHeader {
    /// Authority of the proxies' certificates; without it no proxy is believed.
    pub client_ca_file: Option<PathBuf>,
    /// Common names of the proxies; none means every certificate of the authority.
    pub allowed_names: Vec<String>,
    /// Headers with the name of the user; the first that is there counts.
    pub username_headers: Vec<String>,
    /// Headers with its unique id.
    pub uid_headers: Vec<String>,
    /// Headers with its groups, of which all count.
    pub group_headers: Vec<String>,
    /// Beginnings of headers with its further attributes.
    pub extra_headers_prefix: Vec<String>,
}

/// The word of front proxies, and how they give it.
pub(super) struct FrontProxies {
    options: RequestHeader,
}

impl FrontProxies {
    /// Checks the options.
    pub(super) fn new(options: &RequestHeader) -> Result<Self, OptionsError> {
        check(options)?;
        let lower = |names: &[String]| {
            names.iter().map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        };
        let options = RequestHeader {
            username_headers: lower(&options.username_headers),
            uid_headers: lower(&options.uid_headers),
            group_headers: lower(&options.group_headers),
            extra_headers_prefix: lower(&options.extra_headers_prefix),
            ..options.clone()
        };
        Ok(Self { options })
    }

    /// The user that a proxy of the authority names.
    pub(super) fn user(
        &self,
        authority: Option<&Authority>,
        presented: &Presented,
        headers: &HeaderMap,
    ) -> Option<User> {
        if !authority?.verifies(presented) {
            return None;
        }
        let (options, identity) = (&self.options, presented.certificate.identity()?);
        if !options.allowed_names.is_empty() && !options.allowed_names.contains(&identity.user) {
            tracing::debug!(name = identity.user, "a front proxy is not in the allowed list");
            return None;
        }
        let first = |names: &[String]| {
            let mut values = names.iter().filter_map(|name| headers.get(name)).map(text);
            values.find(|value| !value.is_empty()).unwrap_or_default()
        };
        let name = first(&options.username_headers);
        if name.is_empty() {
            return None;
        }
        let groups = options.group_headers.iter().flat_map(|name| headers.get_all(name)).map(text);
        let mut user = User {
            name,
            uid: first(&options.uid_headers),
            groups: groups.filter(|group| !group.is_empty()).collect(),
            ..User::default()
        };
        for prefix in &options.extra_headers_prefix {
            for header in headers.keys() {
                let Some(key) = header.as_str().strip_prefix(prefix.as_str()) else { continue };
                let key = percent_decode(key).unwrap_or_else(|| key.to_owned());
                let values = headers.get_all(header).iter().map(text);
                user.extra.entry(key).or_default().extend(values);
            }
        }
        Some(user.with_standing())
    }

    /// Removes what could be taken for a proxy's word later on.
    pub(super) fn clear(&self, headers: &mut HeaderMap) {
        let named = self.options.username_headers.iter();
        let named = named.chain(&self.options.uid_headers).chain(&self.options.group_headers);
        for name in named.map(String::as_str).chain(STANDARD) {
            headers.remove(name);
        }
        let prefixes = self.options.extra_headers_prefix.iter().map(String::as_str);
        for prefix in prefixes.chain([STANDARD_EXTRA]) {
            let found: Vec<HeaderName> =
                headers.keys().filter(|name| name.as_str().starts_with(prefix)).cloned().collect();
            for name in found {
                headers.remove(name);
            }
        }
    }
}

/// Undecodable values are kept: one that is dropped silently could be the one that restricts.
fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn check(options: &RequestHeader) -> Result<(), OptionsError> {
    for (flag, names) in [
        ("requestheader-username-headers", &options.username_headers),
        ("requestheader-group-headers", &options.group_headers),
        ("requestheader-extra-headers-prefix", &options.extra_headers_prefix),
        ("requestheader-allowed-names", &options.allowed_names),
        ("requestheader-uid-headers", &options.uid_headers),
    ] {
        if names.iter().any(|name| name.trim().is_empty()) {
            return Err(OptionsError::EmptyName(flag));
        }
    }
    let lacks = |names: &[String], standard: &str| {
        !names.is_empty() && !names.iter().any(|name| name.eq_ignore_ascii_case(standard))
    };
    if lacks(&options.uid_headers, "X-Remote-Uid") {
        return Err(OptionsError::NoStandardUid);
    }
    for (flag, names, standard) in [
        ("username-headers", &options.username_headers, "X-Remote-User"),
        ("group-headers", &options.group_headers, "X-Remote-Group"),
        ("extra-headers-prefix", &options.extra_headers_prefix, "X-Remote-Extra-"),
    ] {
        if lacks(names, standard) {
            tracing::warn!(
                "--requestheader-{flag} is set without specifying the standard {standard} header - \
                 API aggregation will not work"
            );
        }
    }
    Ok(())
}

//! `Impersonate-*` headers: acting as another user, if permitted.

mod modes;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use apimachinery::Status;
use apimachinery::text::quote;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::authz::Attributes;
use crate::expiring::Expiring;
use crate::request::percent_decode;
use crate::server::Server;
use crate::user::User;

use modes::{MODES, Mode};

const PREFIX: &str = "impersonate-";
const EXTRA: &str = "impersonate-extra-";

/// Users whose last way to impersonate is remembered (upstream's number).
const REMEMBERED: usize = 10_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(3600);

/// The identity that headers ask for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    name: String,
    uid: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
}

/// The user that a request becomes.
#[derive(Debug)]
pub(crate) struct Impersonated {
    pub(crate) user: User,
    /// The right that allowed it, if it is one that is limited to some requests.
    pub(crate) constraint: Option<&'static str>,
}

/// By which mode users impersonated the last time. It is tried first, so that a user of one mode
/// costs no checks of others.
pub(crate) struct LastModes(Mutex<Expiring<usize>>);

impl Default for LastModes {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(REMEMBERED, 1)))
    }
}

/// All values of a header. Undecodable values are kept: a group that is dropped silently could be
/// the one that restricts.
fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect()
}

/// The requested identity as Go prints upstream's struct.
fn asked(wanted: &Wanted) -> String {
    let texts = |texts: &[String]| match texts {
        [] => "[]string(nil)".to_owned(),
        texts => {
            let texts: Vec<String> = texts.iter().map(|text| quote(text)).collect();
            format!("[]string{{{}}}", texts.join(", "))
        }
    };
    let extra = wanted.extra.iter();
    let entries: Vec<String> =
        extra.map(|(key, values)| format!("{}:{}", quote(key), texts(values))).collect();
    let extra = match &entries[..] {
        [] => "(nil)".to_owned(),
        entries => format!("{{{}}}", entries.join(", ")),
    };
    format!(
        "&user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:map[string][]string{extra}}}",
        quote(&wanted.uid),
        texts(&wanted.groups)
    )
}

/// The identity that the headers ask for, if they do. Nothing passes them on.
///
/// # Errors
/// They name no user.
pub(crate) fn wanted(headers: &mut HeaderMap) -> Result<Option<Wanted>, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Ok(None);
    }
    let first = |name| all(headers, name).into_iter().next().unwrap_or_default();
    let mut wanted = Wanted {
        name: first("impersonate-user"),
        uid: first("impersonate-uid"),
        groups: all(headers, "impersonate-group"),
        extra: BTreeMap::new(),
    };
    for header in headers.keys() {
        if let Some(key) = header.as_str().strip_prefix(EXTRA) {
            // Keys may contain characters that header names cannot, percent-encoded.
            let key = percent_decode(key).unwrap_or_else(|| key.to_owned());
            wanted.extra.entry(key).or_default().extend(all(headers, header.as_str()));
        }
    }
    if wanted.name.is_empty() {
        if wanted.groups.is_empty() && wanted.uid.is_empty() && wanted.extra.is_empty() {
            return Ok(None);
        }
        let message = format!("requested {} without impersonating a user name", asked(&wanted));
        return Err(Status::bad_request(message));
    }
    let ours = |name: &&HeaderName| {
        let name = name.as_str();
        ["impersonate-user", "impersonate-uid", "impersonate-group"].contains(&name)
            || name.starts_with(EXTRA)
    };
    let ours: Vec<HeaderName> = headers.keys().filter(ours).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    Ok(Some(wanted))
}

/// The user that the wanted identity makes of the sender of a request, by the first mode that allows
/// it (KEP-5284).
///
/// # Errors
/// None does.
pub(crate) async fn impersonate(
    server: &Server,
    wanted: &Wanted,
    request: Attributes<'_>,
) -> Result<Impersonated, Status> {
    let begun = Instant::now();
    let outcome = by_some_mode(server, wanted, request).await;
    let allowed = outcome.as_ref().ok().map(|impersonated| {
        impersonated.constraint.map_or("legacy", |verb| verb.trim_start_matches("impersonate:"))
    });
    server.metrics.impersonation.attempted(allowed, begun.elapsed());
    outcome
}

async fn by_some_mode(
    server: &Server,
    wanted: &Wanted,
    request: Attributes<'_>,
) -> Result<Impersonated, Status> {
    let last_modes = &server.authn.last_modes.0;
    let key = Sha256::digest(&request.user.name).into();
    let last = last_modes.lock().get(&key, Instant::now()).copied();
    let order = last.into_iter().chain((0..MODES.len()).filter(|at| Some(*at) != last));
    let mut refused = None;
    for at in order {
        let mode: &Mode = &MODES[at];
        match mode.check(server, wanted, request).await {
            Ok(Some(impersonated)) => {
                last_modes.lock().keep(key, (at, 0), REMEMBERED_FOR, Instant::now());
                return Ok(impersonated);
            }
            Ok(None) => {}
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    Err(refused.unwrap_or_else(|| Status::internal("all impersonation modes failed")))
}

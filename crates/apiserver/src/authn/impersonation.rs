//! `Impersonate-*` headers: acting as another user, if permitted.

use std::collections::BTreeMap;

use apimachinery::Status;
use http::HeaderMap;

use crate::authz::{self, Attributes, Decision};
use crate::request::percent_decode;
use crate::server::Server;
use crate::user::{AUTHENTICATED, UNAUTHENTICATED, User};

/// All values of a header. Undecodable values are kept: a group that is dropped silently could be
/// the one that restricts.
fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).collect()
}

/// The requested identities as Go prints upstream's object references: kind, namespace, name, uid,
/// version, resource version and field path.
fn asked(groups: &[String], extra: &BTreeMap<String, Vec<String>>, uid: &str) -> String {
    const VERSION: &str = "authentication.k8s.io/v1";
    let mut all: Vec<String> = groups.iter().map(|name| format!("{{Group  {name}    }}")).collect();
    for (key, values) in extra {
        all.extend(values.iter().map(|v| format!("{{UserExtra  {v}  {VERSION}  {key}}}")));
    }
    if !uid.is_empty() {
        all.push(format!("{{UID  {uid}  {VERSION}  }}"));
    }
    all.join(" ")
}

/// The user to impersonate, if the headers name one.
pub(crate) fn impersonate(
    server: &Server,
    user: &User,
    headers: &HeaderMap,
) -> Result<Option<User>, Status> {
    let first = |name| all(headers, name).into_iter().next().unwrap_or_default();
    let (name, uid) = (first("impersonate-user"), first("impersonate-uid"));
    let groups = all(headers, "impersonate-group");
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for header in headers.keys() {
        if let Some(key) = header.as_str().strip_prefix("impersonate-extra-") {
            // Keys may contain characters that header names cannot, percent-encoded.
            let key = percent_decode(key).unwrap_or_else(|| key.to_owned());
            extra.entry(key).or_default().extend(all(headers, header.as_str()));
        }
    }
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(None);
        }
        let asked = asked(&groups, &extra, &uid);
        let message = format!("requested [{asked}] without impersonating a user");
        return Err(Status::bad_request(message));
    }

    let may = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            subresource: sub,
            namespace,
            name,
            ..Attributes::on_resource(user, "impersonate", group, resource)
        };
        match authz::decide(server, &attributes) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) => Err(authz::forbidden(&attributes, &reason)),
        }
    };
    let service_account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
        .filter(|(ns, sa)| !ns.is_empty() && !sa.is_empty() && !sa.contains(':'))
        .map(|(ns, sa)| (ns.to_owned(), sa.to_owned()));
    match &service_account {
        Some((namespace, account)) => may("", "serviceaccounts", "", namespace, account)?,
        None => may("", "users", "", "", &name)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    for (key, values) in &extra {
        for value in values {
            may("authentication.k8s.io", "userextras", key, "", value)?;
        }
    }
    if !uid.is_empty() {
        may("authentication.k8s.io", "uids", "", "", &uid)?;
    }

    let mut becoming = match &service_account {
        Some((namespace, account)) if groups.is_empty() => {
            User::service_account(namespace, account)
        }
        _ => User { name: name.clone(), groups, ..User::default() },
    };
    let (standing, other) = if name == "system:anonymous" {
        (UNAUTHENTICATED, UNAUTHENTICATED)
    } else {
        (AUTHENTICATED, UNAUTHENTICATED)
    };
    // A request for either group has already decided the user's standing.
    if !becoming.in_group(standing) && !becoming.in_group(other) {
        becoming.groups.push(standing.to_owned());
    }
    becoming.uid = uid;
    becoming.extra = extra;
    Ok(Some(becoming))
}

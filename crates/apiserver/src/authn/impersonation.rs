//! `Impersonate-*` headers: acting as somebody else, if one may.

use std::collections::BTreeMap;

use apimachinery::Status;
use http::HeaderMap;

use crate::authz::{self, Attributes, Decision};
use crate::server::Server;
use crate::user::{AUTHENTICATED, UNAUTHENTICATED, User};

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok().map(str::to_owned)).collect()
}

/// The user the request is to be done as.
pub(crate) fn impersonate(
    server: &Server,
    user: User,
    headers: &HeaderMap,
) -> Result<User, Status> {
    let names = all(headers, "impersonate-user");
    let groups = all(headers, "impersonate-group");
    let uid = all(headers, "impersonate-uid").into_iter().next().unwrap_or_default();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix("impersonate-extra-") {
            extra.insert(key.to_owned(), all(headers, name.as_str()));
        }
    }
    let Some(name) = names.into_iter().next() else {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(Status::bad_request(
            "requested to impersonate groups, uid or extra without impersonating a user",
        ));
    };

    let may = |group: &str, resource: &str, sub: &str, namespace: &str, name: &str| {
        let attributes = Attributes {
            user: &user,
            verb: "impersonate",
            group,
            resource,
            subresource: sub,
            namespace,
            name,
            path: "",
            is_resource: true,
        };
        match authz::decide(server, &attributes) {
            Decision::Allow(_) => Ok(()),
            Decision::Deny(reason) => Err(authz::forbidden(&attributes, &reason)),
        }
    };
    let service_account = name
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'))
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
    let standing = if name == "system:anonymous" { UNAUTHENTICATED } else { AUTHENTICATED };
    if !becoming.in_group(standing) {
        becoming.groups.push(standing.to_owned());
    }
    becoming.uid = uid;
    becoming.extra = extra;
    Ok(becoming)
}

//! The user that sends a request.

use std::collections::BTreeMap;

/// An authenticated user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Name, such as `system:node:n1`.
    pub name: String,
    /// Unique id, if the authenticator knows one.
    pub uid: String,
    /// Groups, such as `system:nodes`.
    pub groups: Vec<String>,
    /// Additional attributes, such as the pod that a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Group of every authenticated user.
pub(crate) const AUTHENTICATED: &str = "system:authenticated";
/// Group of users without credentials.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Name of users without credentials.
const ANONYMOUS: &str = "system:anonymous";
/// Group with all rights.
pub(crate) const MASTERS: &str = "system:masters";

impl User {
    /// A user with these groups and the group of authenticated users.
    pub fn new(name: impl Into<String>, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|g| (*g).to_owned()).collect();
        groups.push(AUTHENTICATED.to_owned());
        Self { name: name.into(), groups, ..Self::default() }
    }

    /// The service account `name` in `namespace`.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        let in_namespace = format!("system:serviceaccounts:{namespace}");
        Self::new(
            format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &in_namespace],
        )
    }

    /// The user of requests without credentials.
    pub(crate) fn anonymous() -> Self {
        Self { name: ANONYMOUS.into(), groups: vec![UNAUTHENTICATED.into()], ..Self::default() }
    }

    /// The user with the group of authenticated users, unless it is known to be in it or not.
    pub(crate) fn with_standing(mut self) -> Self {
        let known = self.in_group(AUTHENTICATED) || self.in_group(UNAUTHENTICATED);
        if !known && self.name != ANONYMOUS {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    pub(crate) fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The node, if this user is its kubelet.
    pub(crate) fn node(&self) -> Option<&str> {
        self.name.strip_prefix("system:node:").filter(|_| self.in_group("system:nodes"))
    }
}

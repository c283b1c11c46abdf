//! Ways to impersonate: by rights to become a kind of user and to do as such a user what the request
//! does, or by the right to become the user for everything.

use std::time::Instant;

use apimachinery::Status;
use apimachinery::field::Path;
use apimachinery::names::dns1123_subdomain;
use apimachinery::text::quote;
use serde_json::Value;

use super::{Impersonated, Wanted};
use crate::authz::{self, Attributes, Decision, Refusal, forbidden};
use crate::registry::check::{check_at, check_domain_path};
use crate::server::Server;
use crate::user::{AUTHENTICATED, MASTERS, UNAUTHENTICATED, User};

const GROUP: &str = "authentication.k8s.io";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_KEYS: &str = "authentication.kubernetes.io/associated-node-keys";

/// So many checks are first tried as one for everything.
const MANY: usize = 4;

/// One way.
pub(super) struct Mode {
    name: &'static str,
    /// The right to become the user.
    verb: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

/// All of them, in the order in which they are tried.
pub(super) const MODES: [Mode; 5] = [
    Mode {
        name: "associated-node",
        verb: "impersonate:associated-node",
        kind: Kind::AssociatedNode,
    },
    Mode { name: "arbitrary-node", verb: "impersonate:arbitrary-node", kind: Kind::ArbitraryNode },
    Mode { name: "serviceaccount", verb: "impersonate:serviceaccount", kind: Kind::ServiceAccount },
    Mode { name: "user-info", verb: "impersonate:user-info", kind: Kind::UserInfo },
    Mode { name: "legacy", verb: "impersonate", kind: Kind::Legacy },
];

fn node(name: &str) -> Option<&str> {
    let node = name.strip_prefix("system:node:")?;
    dns1123_subdomain(node).is_empty().then_some(node)
}

/// The namespace and the name of a service account.
fn account(name: &str) -> Option<(&str, &str)> {
    let (namespace, account) = name.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let good = !namespace.is_empty() && !account.is_empty() && !account.contains(':');
    good.then_some((namespace, account))
}

impl Wanted {
    fn is_name_only(&self) -> bool {
        self.uid.is_empty() && self.groups.is_empty() && self.extra.is_empty()
    }
}

/// The checks of one mode for one request.
struct Checks<'a> {
    server: &'a Server,
    mode: &'a Mode,
    requestor: &'a User,
}

impl Mode {
    /// Returns true if it is for such a user and requestor.
    fn is_for(&self, wanted: &Wanted, requestor: &User) -> bool {
        let (node, account_name) = (node(&wanted.name), account(&wanted.name));
        match self.kind {
            Kind::AssociatedNode => {
                let here = requestor.extra.get(NODE_NAME).map_or(&[][..], Vec::as_slice);
                wanted.is_name_only()
                    && account(&requestor.name).is_some()
                    && matches!((here, node), ([here], Some(node)) if here == node)
            }
            Kind::ArbitraryNode => wanted.is_name_only() && node.is_some(),
            Kind::ServiceAccount => wanted.is_name_only() && account_name.is_some(),
            Kind::UserInfo => node.is_none() && account_name.is_none(),
            Kind::Legacy => true,
        }
    }

    /// The user that the request becomes; `None` if this mode is not for such a user.
    ///
    /// # Errors
    /// The requestor lacks a right.
    pub(super) async fn check(
        &self,
        server: &Server,
        wanted: &Wanted,
        request: Attributes<'_>,
    ) -> Result<Option<Impersonated>, Status> {
        if !self.is_for(wanted, request.user) {
            return Ok(None);
        }
        let associated;
        let requestor = match self.kind {
            // Authorizers get to know that there is such a node and not which one it is.
            Kind::AssociatedNode => {
                let keys = request.user.extra.keys().cloned().collect();
                let extra = [(NODE_KEYS.to_owned(), keys)].into();
                associated = User { extra, ..request.user.clone() };
                &associated
            }
            _ => request.user,
        };
        let checks = Checks { server, mode: self, requestor };
        if self.kind != Kind::Legacy {
            let verb = format!("impersonate-on:{}:{}", self.name, request.verb);
            checks.may(Attributes { user: requestor, verb: &verb, ..request }).await?;
        }
        let user = checks.become_user(wanted).await?;
        let constraint = (self.kind != Kind::Legacy).then_some(self.verb);
        Ok(Some(Impersonated { user, constraint }))
    }
}

impl Checks<'_> {
    fn is_constrained(&self) -> bool {
        self.mode.kind != Kind::Legacy
    }

    async fn may(&self, attributes: Attributes<'_>) -> Result<(), Status> {
        let begun = Instant::now();
        let decision = authz::decide(self.server, attributes).await;
        let metrics = &self.server.metrics.impersonation;
        metrics.authorized(self.mode.name, decision.is_allowed(), begun.elapsed());
        let Decision::Deny(Refusal { reason, error, .. }) = decision else { return Ok(()) };
        let why = match (error, reason.is_empty()) {
            (Some(error), true) => error,
            (Some(error), false) => format!("{error}: {reason}"),
            (None, _) => reason,
        };
        Err(forbidden(&attributes, &why))
    }

    fn attributes<'b>(&'b self, group: &'b str, resource: &'b str) -> Attributes<'b> {
        let attributes = Attributes::on_resource(self.requestor, self.mode.verb, group, resource);
        Attributes { version: "v1", ..attributes }
    }

    /// The group of names and groups of users.
    fn group(&self) -> &'static str {
        if self.is_constrained() { GROUP } else { "" }
    }

    async fn become_user(&self, wanted: &Wanted) -> Result<User, Status> {
        let mut user = User {
            name: wanted.name.clone(),
            uid: wanted.uid.clone(),
            groups: wanted.groups.clone(),
            extra: wanted.extra.clone(),
        };
        self.may_be(wanted, &mut user).await?;
        if !wanted.uid.is_empty() {
            let uid = Attributes { name: &wanted.uid, ..self.attributes(GROUP, "uids") };
            self.may(uid).await?;
        }
        self.may_join(wanted).await?;
        self.may_have(wanted).await?;
        let standing = match wanted.name == "system:anonymous" {
            true => Some(UNAUTHENTICATED),
            false => (!user.in_group(UNAUTHENTICATED)).then_some(AUTHENTICATED),
        };
        if let Some(standing) = standing.filter(|standing| !user.in_group(standing)) {
            user.groups.push(standing.to_owned());
        }
        Ok(user)
    }

    async fn may_be(&self, wanted: &Wanted, user: &mut User) -> Result<(), Status> {
        let name = wanted.name.as_str();
        let mut attributes = Attributes { name, ..self.attributes(self.group(), "users") };
        if let (true, Some(node)) = (self.is_constrained(), node(name)) {
            // The right is for every node of a requestor, wherever it runs.
            let any = self.mode.kind == Kind::AssociatedNode;
            attributes.resource = "nodes";
            attributes.name = if any { "*" } else { node };
            user.groups = vec!["system:nodes".to_owned()];
        }
        if let Some((namespace, account)) = account(name) {
            attributes.resource = "serviceaccounts";
            (attributes.namespace, attributes.name) = (namespace, account);
            if wanted.groups.is_empty() {
                user.groups = User::service_account(namespace, account).groups;
                // Its standing comes last.
                user.groups.retain(|group| group != AUTHENTICATED);
            }
        }
        self.may(attributes).await
    }

    async fn may_join(&self, wanted: &Wanted) -> Result<(), Status> {
        let groups = &wanted.groups;
        let any = self.attributes(self.group(), "groups");
        if self.is_constrained() {
            if groups.iter().any(String::is_empty) {
                let why = "impersonating the empty string group is not allowed";
                return Err(forbidden(&any, why));
            }
            if groups.iter().any(|group| group == MASTERS) {
                let why = "impersonating the system:masters group is not allowed";
                return Err(forbidden(&Attributes { name: MASTERS, ..any }, why));
            }
            if groups.len() >= MANY && self.may(Attributes { name: "*", ..any }).await.is_ok() {
                return Ok(());
            }
        }
        for group in groups {
            self.may(Attributes { name: group, ..any }).await?;
        }
        Ok(())
    }

    async fn may_have(&self, wanted: &Wanted) -> Result<(), Status> {
        let any = self.attributes(GROUP, "userextras");
        let entries = wanted.extra.iter();
        let values: Vec<(&String, &String)> = entries
            .flat_map(|(key, values)| values.iter().map(move |value| (key, value)))
            .collect();
        if self.is_constrained() {
            check_extra(wanted).map_err(|why| forbidden(&any, &why.0))?;
            let many = wanted.extra.len() >= MANY || values.len() >= MANY;
            let all = Attributes { subresource: "*", name: "*", ..any };
            if many && self.may(all).await.is_ok() {
                return Ok(());
            }
        }
        for (key, value) in values {
            self.may(Attributes { subresource: key, name: value, ..any }).await?;
        }
        Ok(())
    }
}

/// The reason why attributes may not be impersonated, whatever the rights.
struct Unusable(String);

fn check_extra(wanted: &Wanted) -> Result<(), Unusable> {
    let refused = |what: &str| Err(Unusable(format!("impersonating {what} is not allowed")));
    for (key, values) in &wanted.extra {
        if key.is_empty() {
            return refused("the empty string key in extra");
        }
        let key_value = Value::from(key.as_str());
        let path = Path::new("extra").child("key");
        let errors = check_at(&key_value, path, check_domain_path);
        if !errors.0.is_empty() {
            let why = errors.message();
            let what = "impersonating an invalid key in extra is not allowed";
            return Err(Unusable(format!("{what}: {why}")));
        }
        if *key != key.to_lowercase() {
            let what = "impersonating a non-lowercase key in extra is not allowed";
            return Err(Unusable(format!("{what}: {}", quote(key))));
        }
        if values.is_empty() {
            return refused("empty values in extra");
        }
        if values.iter().any(String::is_empty) {
            return refused("the empty string value in extra");
        }
    }
    Ok(())
}

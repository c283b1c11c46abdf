//! Authorization: the node authorizer, then RBAC.

pub(crate) mod escalation;
mod node;
pub(crate) mod policy;
mod rbac;

use apimachinery::Status;
use apimachinery::selector::FieldSelector;
use apimachinery::text::aggregate;
use serde_json::{Value, json};

use crate::request::RequestInfo;
use crate::server::Server;
use crate::user::{MASTERS, User};

pub(crate) use node::{POD_CONFIG_MAPS, POD_SECRETS, any_reference, claims_of};
pub(crate) use rbac::{Held, Rbac, Rule, has};

/// An operation that a user wants to perform.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) user: &'a User,
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The selection of a list, watch or deletecollection, if known.
    pub(crate) fields: Option<&'a FieldSelector>,
    /// Path of a request that is not for a resource.
    pub(crate) path: &'a str,
    pub(crate) is_resource: bool,
}

impl<'a> Attributes<'a> {
    /// `verb` on a resource, with all other attributes empty.
    pub(crate) fn on_resource(
        user: &'a User,
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
    ) -> Self {
        Self {
            user,
            verb,
            group,
            resource,
            subresource: "",
            namespace: "",
            name: "",
            fields: None,
            path: "",
            is_resource: true,
        }
    }

    /// `verb` on a path that is not of a resource.
    pub(crate) fn on_path(user: &'a User, verb: &'a str, path: &'a str) -> Self {
        Self { path, is_resource: false, ..Self::on_resource(user, verb, "", "") }
    }

    /// `verb` on the resource of a request.
    pub(crate) fn of(user: &'a User, verb: &'a str, info: &'a RequestInfo) -> Self {
        Self {
            user,
            verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            fields: Some(&info.field_selector),
            path: &info.path,
            is_resource: info.is_resource,
        }
    }

    /// Returns true if only objects with this value of a field are selected.
    fn selects_only(&self, field: &str, value: &str) -> bool {
        self.fields.is_some_and(|f| {
            f.terms.iter().any(|t| t.equal && t.field == field && t.value == value)
        })
    }
}

/// An authorizer's answer and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow(String),
    Deny(String),
}

/// Asks the authorizers in turn; the first that allows decides.
pub(crate) fn decide(server: &Server, attributes: &Attributes<'_>) -> Decision {
    if attributes.user.in_group(MASTERS) {
        return Decision::Allow(String::new());
    }
    let mut reasons = Vec::new();
    if attributes.user.node().is_some() {
        match node::decide(server, attributes) {
            Decision::Deny(why) => reasons.push(why),
            allow => return allow,
        }
    }
    match server.rbac.decide(server, attributes) {
        Decision::Deny(why) => reasons.push(why),
        allow => return allow,
    }
    reasons.retain(|why| !why.is_empty());
    Decision::Deny(reasons.join("\n"))
}

/// The rules of a user in a namespace, as the status of a SelfSubjectRulesReview.
pub(crate) fn rules_for(server: &Server, user: &User, namespace: &str) -> Value {
    let Held { rules, unresolved } = server.rbac.held(server, user, namespace);
    let (resource, other): (Vec<&Rule>, Vec<&Rule>) =
        rules.iter().partition(|r| r.paths.is_empty());
    let resource: Vec<Value> = resource.into_iter().map(Rule::to_resource_rule).collect();
    let other: Vec<Value> = other.into_iter().map(Rule::to_path_rule).collect();
    // The rights of a node beyond its role depend on its pods.
    let incomplete = user.node().is_some();
    let node = incomplete.then(|| "node authorizer does not support user rule resolution".into());
    let unresolved = unresolved.iter().map(rbac::Unresolved::to_authorizer);
    let errors: Vec<String> = node.into_iter().chain(unresolved).collect();
    let mut status =
        json!({"resourceRules": resource, "nonResourceRules": other, "incomplete": incomplete});
    if !errors.is_empty() {
        status["evaluationError"] = aggregate(&errors).into();
    }
    status
}

/// Upstream's 403, which names the user and the operation.
pub(crate) fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let user = apimachinery::text::quote(&attributes.user.name);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let verb = attributes.verb;
    if !attributes.is_resource {
        let path = apimachinery::text::quote(attributes.path);
        return Status::forbidden("", "", "", "")
            .with_message(format!("forbidden: User {user} cannot {verb} path {path}{because}"));
    }
    let mut resource = attributes.resource.to_owned();
    if !attributes.subresource.is_empty() {
        resource = format!("{resource}/{}", attributes.subresource);
    }
    let scope = match attributes.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", apimachinery::text::quote(namespace)),
    };
    let why = format!(
        "User {user} cannot {verb} resource {} in API group {} {scope}{because}",
        apimachinery::text::quote(&resource),
        apimachinery::text::quote(attributes.group)
    );
    Status::forbidden(attributes.group, attributes.resource, attributes.name, why)
}

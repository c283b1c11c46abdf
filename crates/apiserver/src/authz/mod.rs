//! Authorization: the privileged group, and the authorizers that are configured; without a
//! configuration the node authorizer, then RBAC.

mod abac;
mod authorizers;
mod config;
pub(crate) mod escalation;
mod node;
mod options;
pub(crate) mod policy;
mod rbac;
mod reload;
mod webhook;

use apimachinery::Status;
use apimachinery::selector::{FieldSelector, LabelSelector};

use crate::request::RequestInfo;
use crate::user::User;

pub use abac::PolicyFileError;
pub use config::AuthorizationConfigError;
pub use options::{Authorization, AuthorizationError, UnusableWebhook};

pub(crate) use authorizers::{Attempt, Authorizers, Waiting, attempt, decide};
pub(crate) use node::{POD_CONFIG_MAPS, POD_SECRETS, any_reference, claims_of};
pub(crate) use rbac::{Rbac, Rule, has};
pub(crate) use reload::run as reload;

/// An operation that a user wants to perform.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'a> {
    pub(crate) user: &'a User,
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// Empty where any version is meant; rules do not depend on it.
    pub(crate) version: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The selection of a list, watch or deletecollection, if known.
    pub(crate) fields: Option<&'a FieldSelector>,
    pub(crate) labels: Option<&'a LabelSelector>,
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
            version: "",
            resource,
            subresource: "",
            namespace: "",
            name: "",
            fields: None,
            labels: None,
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
            version: &info.version,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            fields: Some(&info.field_selector),
            labels: Some(&info.label_selector),
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

/// The answer of all authorizers, and its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow(String),
    Deny(Refusal),
}

/// Why something is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// The failures of the authorizers that had no opinion, or with the one that denied.
    pub(crate) error: Option<String>,
    /// An authorizer denied it, so that those after it were not asked.
    pub(crate) denied: bool,
}

impl Decision {
    pub(crate) fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The answer to a client that is not allowed to do what it asks for.
    ///
    /// # Errors
    /// It is not.
    pub(crate) fn check(self, attributes: &Attributes<'_>) -> Result<(), Status> {
        match self {
            Self::Allow(_) => Ok(()),
            Self::Deny(refusal) => Err(forbidden(attributes, &refusal.reason)),
        }
    }
}

/// The answer of one authorizer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Opinion {
    Allow(String),
    /// Nobody else is asked.
    Deny {
        reason: String,
        error: Option<String>,
    },
    None {
        reason: String,
        error: Option<String>,
    },
}

impl Opinion {
    fn none(reason: impl Into<String>) -> Self {
        Self::None { reason: reason.into(), error: None }
    }
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

//! Admission: plugins that complete or refuse a write, in upstream's order.

mod certificates;
mod claim_resize;
mod default_class;
mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod node_restriction;
mod pod_topology_labels;
mod policy_params;
mod priority;
mod rbac_escalation;
mod resource_quota;
mod runtime_class;
mod service_account;
mod storage_protection;
mod taint_nodes;

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use crate::registry::{Kind, Sub};
use crate::server::Server;
use crate::user::User;
use crate::verbs::Call;

pub(crate) use resource_quota::Turns as QuotaTurns;

/// What is being done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

/// The write a plugin looks at.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) server: &'a Server,
    pub(crate) user: &'a User,
    pub(crate) kind: &'static Kind,
    pub(crate) sub: Option<Sub>,
    pub(crate) operation: Operation,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The name in the request's path; empty for a POST to the collection.
    pub(crate) path_name: &'a str,
    pub(crate) old: Option<&'a Object>,
    /// Whether nothing will come of it.
    pub(crate) dry_run: bool,
}

impl Request<'_> {
    /// Whether this creates a pod itself (and not a subresource of one).
    fn creates_pod(&self) -> bool {
        self.operation == Operation::Create && self.is("", "pods") && self.sub.is_none()
    }

    /// Whether this changes a pod itself.
    fn updates_pod(&self) -> bool {
        self.operation == Operation::Update && self.is("", "pods") && self.sub.is_none()
    }

    fn is(&self, group: &str, resource: &str) -> bool {
        self.kind.group == group && self.kind.resource == resource
    }

    fn forbidden(&self, why: impl std::fmt::Display) -> Status {
        Status::forbidden(self.kind.group, self.kind.resource, self.name, why)
    }
}

/// An admission plugin.
///
/// `admit` may change the object and must give the same result when run again; `validate` sees
/// the final object and changes nothing. For a deletion there is no object.
#[async_trait]
pub(crate) trait Plugin: Sync {
    async fn admit(&self, _request: &Request<'_>, _object: &mut Object) -> Result<(), Status> {
        Ok(())
    }

    async fn validate(
        &self,
        _request: &Request<'_>,
        _object: Option<&Object>,
    ) -> Result<(), Status> {
        Ok(())
    }
}

/// The chain.
static PLUGINS: &[&dyn Plugin] = &[
    // Upstream asks this as the last question of the validation.
    &policy_params::PolicyParams,
    &namespace_lifecycle::NamespaceLifecycle,
    &limit_ranger::LimitRanger,
    &service_account::ServiceAccount,
    &node_restriction::NodeRestriction,
    &taint_nodes::TaintNodesByCondition,
    &pod_topology_labels::PodTopologyLabels,
    &priority::Priority,
    &default_toleration_seconds::DefaultTolerationSeconds,
    &default_class::STORAGE,
    &storage_protection::StorageProtection,
    &claim_resize::ClaimResize,
    &runtime_class::RuntimeClass,
    &default_class::INGRESS,
    &rbac_escalation::RbacEscalation,
    &certificates::Certificates,
    // The last, so that nothing is charged that another plugin refuses.
    &resource_quota::ResourceQuota,
];

fn request<'a>(
    call: &'a Call<'_>,
    operation: Operation,
    object: Option<&'a Object>,
    old: Option<&'a Object>,
) -> Request<'a> {
    let subject = object.or(old);
    Request {
        server: call.server,
        user: &call.user,
        kind: call.kind,
        sub: call.sub,
        operation,
        namespace: &call.info.namespace,
        // An object made at a subresource has the name of the object that it belongs to.
        name: match call.sub {
            Some(_) => &call.info.name,
            None => subject.map_or("", ObjectExt::name),
        },
        path_name: &call.info.name,
        old,
        dry_run: call.dry_run(),
    }
}

/// Asks all plugins whether `old` may be deleted.
pub(crate) async fn delete(call: &Call<'_>, old: &Object, dry_run: bool) -> Result<(), Status> {
    let request = Request { dry_run, ..request(call, Operation::Delete, None, Some(old)) };
    for plugin in PLUGINS {
        plugin.validate(&request, None).await?;
    }
    Ok(())
}

/// Runs the plugins that may change the object.
pub(crate) async fn admit(
    call: &Call<'_>,
    operation: Operation,
    object: &mut Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let path = if call.sub.is_some() { call.info.name.as_str() } else { "" };
    let names = [path, object.name(), object.str_at(&["metadata", "generateName"]), "Unknown"];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default().to_owned();
    let request = Request { name: &name, ..request(call, operation, None, old) };
    for plugin in PLUGINS {
        plugin.admit(&request, object).await?;
    }
    Ok(())
}

/// Runs the plugins that have the last word.
pub(crate) async fn validate(
    call: &Call<'_>,
    operation: Operation,
    object: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    let request = request(call, operation, object, old);
    for plugin in PLUGINS {
        plugin.validate(&request, object).await?;
    }
    Ok(())
}

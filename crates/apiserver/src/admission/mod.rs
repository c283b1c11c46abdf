//! Admission: plugins that complete or refuse a write, in upstream's order.

mod always;
mod always_pull_images;
mod anti_affinity;
mod certificates;
mod chain;
mod claim_resize;
mod configuration;
mod default_class;
mod default_toleration_seconds;
mod deny_external_ips;
mod derived;
mod described;
mod event_rate_limit;
mod expressions;
mod extended_resources;
mod image_policy;
mod limit_ranger;
mod matching;
mod namespace_exists;
mod namespace_lifecycle;
mod node_restriction;
mod owner_references;
mod patched;
mod pod_node_selector;
mod pod_resize;
mod pod_security;
mod pod_tolerations;
mod pod_topology_labels;
mod policies;
mod policy_params;
mod priority;
mod rbac_escalation;
mod resource_quota;
mod rounds;
mod runtime_class;
mod service_account;
mod storage_protection;
mod taint_nodes;
mod toleration;
mod webhooks;

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::{Value, json};

use crate::metrics::Phase;
use crate::registry::{Kind, Sub};
use crate::server::Server;
use crate::user::User;
use crate::verbs::Call;

pub(crate) use chain::Chain;
pub use chain::{AdmissionError, AdmissionOptions};
use configuration::{Document, Invalid};
pub(crate) use policies::Policies;
use policies::{MutatingPolicies, ValidatingPolicies};
use rounds::Rounds;
pub(crate) use webhooks::Hooks;
use webhooks::{MutatingWebhooks, ValidatingWebhooks};

pub(crate) use resource_quota::NamespaceLocks as QuotaLocks;

/// The operation on the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

impl Operation {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// The write that a plugin checks.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) server: &'a Server,
    pub(crate) user: &'a User,
    pub(crate) kind: &'a Kind,
    pub(crate) sub: Option<Sub>,
    pub(crate) operation: Operation,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    /// The name in the request's path; empty for a POST to the collection.
    pub(crate) path_name: &'a str,
    pub(crate) old: Option<&'a Object>,
    /// True if nothing will be stored.
    pub(crate) dry_run: bool,
    pub(crate) rounds: &'a Rounds,
}

impl Request<'_> {
    /// The name of the object as webhooks see it; empty while it is still to be generated.
    fn reviewed_name(&self) -> &str {
        if self.path_name.is_empty() && self.name == "Unknown" { "" } else { self.name }
    }

    /// The options of the operation, as webhooks see them.
    fn options(&self) -> Value {
        let kind = match (self.operation, self.call.info.verb) {
            (Operation::Connect, _) => return Value::Null,
            (Operation::Delete, _) => "DeleteOptions",
            (Operation::Create, _) => "CreateOptions",
            (Operation::Update, "patch") => "PatchOptions",
            (Operation::Update, _) => "UpdateOptions",
        };
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            options["dryRun"] = json!(["All"]);
        }
        if self.operation != Operation::Delete {
            for field in ["fieldManager", "fieldValidation"] {
                if let Some(text) = self.call.query.text(field) {
                    options[field] = text.into();
                }
            }
        }
        if kind == "PatchOptions" && self.call.query.flag("force") {
            options["force"] = true.into();
        }
        options
    }

    /// Returns true if this creates a pod itself (and not a subresource of one).
    fn creates_pod(&self) -> bool {
        self.operation == Operation::Create && self.is("", "pods") && self.sub.is_none()
    }

    /// Returns true if this changes a pod itself.
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
pub(crate) trait Plugin: Send + Sync {
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

/// Makes a plugin of its part of the configuration.
type Make = fn(Option<&Document>) -> Result<Box<dyn Plugin>, Invalid>;

/// A plugin, or how it is made.
enum Source {
    Fixed(&'static dyn Plugin),
    Configured(Make),
}

/// A plugin of the table.
pub(crate) struct Entry {
    /// Name in metrics: upstream's name if it is upstream's plugin.
    pub(crate) name: &'static str,
    plugin: Source,
    admits: bool,
    validates: bool,
    /// Also asked about connections, and about deletions before anything validates them.
    always: bool,
    /// Runs unless it is disabled.
    by_default: bool,
    /// No plugin of upstream's, but a rule that it has elsewhere: nobody can disable it.
    own: bool,
}

impl Entry {
    const fn new(name: &'static str, plugin: Source, admits: bool, validates: bool) -> Self {
        Self { name, plugin, admits, validates, always: false, by_default: true, own: false }
    }

    const fn always(self) -> Self {
        Self { always: true, ..self }
    }

    /// The plugin runs only if it is enabled.
    const fn off(self) -> Self {
        Self { by_default: false, ..self }
    }

    const fn own(self) -> Self {
        Self { own: true, ..self }
    }

    const fn is_own(&self) -> bool {
        self.own
    }

    /// Returns true if the plugin takes part in a phase of an operation.
    fn takes_part(&self, phase: Phase, operation: Operation) -> bool {
        match phase {
            Phase::Admit => {
                let writes = matches!(operation, Operation::Create | Operation::Update);
                self.admits && (self.always || writes)
            }
            Phase::Validate => self.validates && (self.always || operation != Operation::Connect),
        }
    }
}

const fn admits(name: &'static str, plugin: &'static dyn Plugin) -> Entry {
    Entry::new(name, Source::Fixed(plugin), true, false)
}

const fn validates(name: &'static str, plugin: &'static dyn Plugin) -> Entry {
    Entry::new(name, Source::Fixed(plugin), false, true)
}

const fn both(name: &'static str, plugin: &'static dyn Plugin) -> Entry {
    Entry::new(name, Source::Fixed(plugin), true, true)
}

/// A plugin that takes a configuration and only validates.
const fn validates_as(name: &'static str, make: Make) -> Entry {
    Entry::new(name, Source::Configured(make), false, true)
}

/// A plugin that takes a configuration and does both.
const fn both_as(name: &'static str, make: Make) -> Entry {
    Entry::new(name, Source::Configured(make), true, true)
}

/// All plugins, in the order in which they run.
pub(crate) static PLUGINS: &[Entry] = &[
    // Upstream runs these checks at the end of validation.
    validates("PolicyParams", &policy_params::PolicyParams).own(),
    validates("PodCertificates", &certificates::PodCertificates).own(),
    both("AlwaysAdmit", &always::AlwaysAdmit).off(),
    admits("NamespaceAutoProvision", &namespace_exists::NamespaceAutoProvision).off(),
    both("NamespaceLifecycle", &namespace_lifecycle::NamespaceLifecycle),
    validates("NamespaceExists", &namespace_exists::NamespaceExists).off(),
    validates("LimitPodHardAntiAffinityTopology", &anti_affinity::LimitAntiAffinity).off(),
    both("LimitRanger", &limit_ranger::LimitRanger),
    admits("ServiceAccount", &service_account::ServiceAccount),
    // Off in upstream, where whoever installs a cluster enables it.
    both("NodeRestriction", &node_restriction::NodeRestriction),
    admits("TaintNodesByCondition", &taint_nodes::TaintNodesByCondition),
    both("AlwaysPullImages", &always_pull_images::AlwaysPullImages).off(),
    validates_as("ImagePolicyWebhook", image_policy::configure).off(),
    validates_as("PodSecurity", pod_security::configure),
    both_as("PodNodeSelector", pod_node_selector::configure).off(),
    both("Priority", &priority::Priority),
    admits("DefaultTolerationSeconds", &default_toleration_seconds::DefaultTolerationSeconds),
    both_as("PodTolerationRestriction", pod_tolerations::configure).off(),
    validates_as("EventRateLimit", event_rate_limit::configure).off(),
    admits("ExtendedResourceToleration", &extended_resources::TolerateResources).off(),
    admits("DefaultStorageClass", &default_class::STORAGE),
    admits("StorageObjectInUseProtection", &storage_protection::StorageProtection),
    // Without effect: groups of pods are not served, as in upstream without their feature.
    admits("PodGroupProtection", &always::AlwaysAdmit),
    validates("OwnerReferencesPermissionEnforcement", &owner_references::EnforceOwnerReferences)
        .off(),
    validates("PersistentVolumeClaimResize", &claim_resize::ClaimResize),
    both("RuntimeClass", &runtime_class::RuntimeClass),
    validates("RBACEscalation", &rbac_escalation::RbacEscalation).own(),
    validates("CertificateApproval", &certificates::Approval),
    validates("CertificateSigning", &certificates::Signing),
    validates("ClusterTrustBundleAttest", &certificates::TrustBundles),
    validates("CertificateSubjectRestriction", &certificates::SubjectRestriction),
    admits("DefaultIngressClass", &default_class::INGRESS),
    validates("DenyServiceExternalIPs", &deny_external_ips::DenyExternalIps).off(),
    admits("PodTopologyLabels", &pod_topology_labels::PodTopologyLabels),
    validates("NodeDeclaredFeatureValidator", &pod_resize::DeclaredFeatures),
    validates("PodResizeValidator", &pod_resize::PodResize),
    admits("MutatingAdmissionPolicy", &MutatingPolicies),
    // The last that may change the object.
    admits("MutatingAdmissionWebhook", &MutatingWebhooks).always(),
    validates("ValidatingAdmissionPolicy", &ValidatingPolicies).always(),
    validates("ValidatingAdmissionWebhook", &ValidatingWebhooks).always(),
    // Last, so that nothing is charged for an object that another plugin refuses.
    validates_as("ResourceQuota", resource_quota::configure),
    both("AlwaysDeny", &always::AlwaysDeny).always().off(),
];

fn request<'a>(
    call: &'a Call<'_>,
    operation: Operation,
    object: Option<&'a Object>,
    old: Option<&'a Object>,
    rounds: &'a Rounds,
) -> Request<'a> {
    let subject = object.or(old);
    Request {
        call,
        rounds,
        server: call.server,
        user: &call.user,
        kind: &call.kind,
        sub: call.sub,
        operation,
        namespace: &call.info.namespace,
        // An object created at a subresource has the name of its parent object.
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
    let rounds = Rounds::default();
    let request = request(call, Operation::Delete, None, Some(old), &rounds);
    let request = Request { dry_run, ..request };
    change(&request, &mut Value::Null).await?;
    ask(&request, None).await
}

/// Asks the plugins whether a connection may be made; `options` say how it is wanted.
pub(crate) async fn connect(call: &Call<'_>, mut options: Object) -> Result<(), Status> {
    let rounds = Rounds::default();
    let request = request(call, Operation::Connect, None, None, &rounds);
    change(&request, &mut options).await?;
    ask(&request, Some(&options)).await
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
    let rounds = Rounds::default();
    let request = Request { name: &name, ..request(call, operation, None, old, &rounds) };
    loop {
        change(&request, object).await?;
        if !rounds.next() {
            return Ok(());
        }
    }
}

async fn change(request: &Request<'_>, object: &mut Object) -> Result<(), Status> {
    let mut step = request.server.metrics.admission.begin(Phase::Admit, request.operation);
    let mut outcome = Ok(());
    for (at, plugin) in request.server.admission.plugins(Phase::Admit, request.operation) {
        outcome = plugin.admit(request, object).await;
        step.plugin(at, outcome.is_err());
        if outcome.is_err() {
            break;
        }
    }
    step.end(outcome.is_err());
    outcome
}

/// Runs the plugins that only validate the final object.
pub(crate) async fn validate(
    call: &Call<'_>,
    operation: Operation,
    object: Option<&Object>,
    old: Option<&Object>,
) -> Result<(), Status> {
    let rounds = Rounds::default();
    ask(&request(call, operation, object, old, &rounds), object).await
}

async fn ask(request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
    let mut step = request.server.metrics.admission.begin(Phase::Validate, request.operation);
    let mut outcome = Ok(());
    for (at, plugin) in request.server.admission.plugins(Phase::Validate, request.operation) {
        outcome = plugin.validate(request, object).await;
        step.plugin(at, outcome.is_err());
        if outcome.is_err() {
            break;
        }
    }
    step.end(outcome.is_err());
    outcome
}

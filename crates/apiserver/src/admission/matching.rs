//! The match of webhooks with requests: rules, selectors, and the equivalent kind that is sent.

use apimachinery::object::strings;
use apimachinery::selector::LabelSelector;
use apimachinery::{Object, Status};
use serde_json::Value;

use super::{Operation, Request};
use crate::authz::has;
use crate::conversion;
use crate::registry::admissionregistration::is_unseen;
use crate::registry::{self, Kind, KindRef};
use crate::server::Server;

/// The configurations themselves are exempt: one that refuses everything could not be removed.
const EXEMPT: &[&str] = &[
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
];

/// Returns true for requests that no webhook and no policy is asked about.
pub(super) fn is_exempt(kind: &Kind) -> bool {
    let is_configuration =
        kind.group == "admissionregistration.k8s.io" && EXEMPT.contains(&kind.kind);
    is_configuration || is_unseen(kind.group, kind.resource)
}

/// Operations and resources of a rule.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    /// Names of objects; empty for all.
    names: Vec<String>,
    scope: String,
}

/// The requests that a webhook, a policy or a binding is about.
#[derive(Debug)]
pub(super) struct Selection {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Without rules, everything is matched.
    open: bool,
    namespaces: Result<LabelSelector, Status>,
    objects: Result<LabelSelector, Status>,
    /// Also about requests for other versions of its resources.
    equivalent: bool,
}

fn rules(value: &Value) -> Vec<Rule> {
    let rules = value.as_array().into_iter().flatten();
    rules
        .map(|rule| Rule {
            operations: strings(&rule["operations"]),
            groups: strings(&rule["apiGroups"]),
            versions: strings(&rule["apiVersions"]),
            resources: strings(&rule["resources"]),
            names: strings(&rule["resourceNames"]),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
        })
        .collect()
}

impl Selection {
    /// That of a webhook.
    pub(super) fn of_webhook(hook: &Value) -> Self {
        Self::read(hook, &hook["rules"], false)
    }

    /// That of a policy (`matchConstraints`), or of a binding (`matchResources`), which is about
    /// everything its policy is about if it has no rules.
    pub(super) fn of_policy(resources: &Value, binding: bool) -> Self {
        Self::read(resources, &resources["resourceRules"], binding)
    }

    fn read(value: &Value, declared: &Value, may_be_open: bool) -> Self {
        let selector = |field: &str| {
            // Absent ones select everything.
            let none = serde_json::json!({});
            let selector = value.get(field).filter(|s| s.is_object()).unwrap_or(&none);
            LabelSelector::from_value(selector)
        };
        let rules_of = rules(declared);
        Self {
            open: may_be_open && rules_of.is_empty(),
            rules: rules_of,
            excluded: rules(&value["excludeResourceRules"]),
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            equivalent: value["matchPolicy"] != "Exact",
        }
    }

    /// The kind as which the objects of a request are seen; `None` if this is not about it.
    ///
    /// # Errors
    /// The namespace of the request is missing, or a selector cannot be read.
    pub(super) fn seen_as(
        &self,
        request: &Request<'_>,
        object: Option<&Object>,
    ) -> Result<Option<KindRef>, Status> {
        let namespace = in_namespace(&self.namespaces, request, object);
        if matches!(namespace, Ok(false)) {
            return Ok(None);
        }
        let selected = match &self.objects {
            Ok(selector) if selector.is_empty() => Ok(true),
            Ok(selector) => {
                let mut both = object.into_iter().chain(request.old);
                Ok(both.any(|object| selector.matches_object(object)))
            }
            Err(why) => Err(Status::internal(&why.message)),
        };
        if matches!(selected, Ok(false)) {
            return Ok(None);
        }
        let own = request.kind;
        if self.excluded.iter().any(|rule| rule.matches(request, own)) {
            return Ok(None);
        }
        let found = if self.open || self.rules.iter().any(|rule| rule.matches(request, own)) {
            let served = request.server.kinds();
            served.find(own.group, own.version, own.resource).cloned()
        } else if self.equivalent {
            // The first rule that matches any version decides.
            let others = self.equivalents(request);
            if others.iter().any(|kind| self.excluded.iter().any(|r| r.matches(request, kind))) {
                return Ok(None);
            }
            let pairs = self.rules.iter().flat_map(|rule| others.iter().map(move |k| (rule, k)));
            let mut pairs = pairs.filter(|(rule, kind)| rule.matches(request, kind));
            pairs.next().map(|(_, kind)| kind.clone())
        } else {
            None
        };
        let Some(found) = found else { return Ok(None) };
        namespace?;
        selected?;
        Ok(Some(found))
    }

    /// The other kinds as which the same objects are served; none if no rule is about them anyway.
    fn equivalents(&self, request: &Request<'_>) -> Vec<KindRef> {
        if !self.rules.iter().any(|rule| rule.concerns(request)) {
            return Vec::new();
        }
        let kinds = request.server.kinds();
        let own = request.kind;
        let same = |kind: &KindRef| {
            kind.stored_group() == own.stored_group()
                && kind.resource == own.resource
                && (kind.group, kind.version) != (own.group, own.version)
        };
        kinds.all().filter(|kind| same(kind)).cloned().collect()
    }
}

/// Converts an object between two kinds as which it is served.
///
/// # Errors
/// The definition's webhook fails.
pub(super) async fn convert(
    server: &Server,
    from: &Kind,
    to: &Kind,
    object: &Object,
) -> Result<Object, Status> {
    let mut object = object.clone();
    if (from.group, from.version) == (to.group, to.version) {
        return Ok(object);
    }
    if let Some(converted) = conversion::into(server, to, &object).await? {
        object = converted;
    }
    if let Some(conversion) = from.conversion {
        (conversion.to_stored)(&mut object);
    }
    to.read(&mut object);
    Ok(object)
}

/// Returns true if the namespace of the request is selected.
fn in_namespace(
    selector: &Result<LabelSelector, Status>,
    request: &Request<'_>,
    object: Option<&Object>,
) -> Result<bool, Status> {
    let namespaces = request.is("", "namespaces");
    let of_request = if namespaces && request.sub.is_none() && request.namespace.is_empty() {
        request.name
    } else {
        request.namespace
    };
    if of_request.is_empty() && !namespaces {
        return Ok(true);
    }
    let selector = selector.as_ref().map_err(|why| Status::internal(&why.message))?;
    if selector.is_empty() {
        return Ok(true);
    }
    let writes = matches!(request.operation, Operation::Create | Operation::Update);
    if namespaces && request.sub.is_none() && writes {
        return Ok(object.is_some_and(|object| selector.matches_object(object)));
    }
    let namespace = registry::find("", "v1", "namespaces")
        .and_then(|kind| request.server.entry(kind, "", of_request))
        .ok_or_else(|| Status::not_found("", "namespaces", of_request))?;
    Ok(selector.matches_object(&namespace.object()))
}

impl Rule {
    /// Returns true if it is about the request, seen as that kind.
    fn matches(&self, request: &Request<'_>, kind: &Kind) -> bool {
        self.concerns(request) && has(&self.groups, kind.group) && has(&self.versions, kind.version)
    }

    /// Returns true if it is about the request as far as its group and version do not matter.
    fn concerns(&self, request: &Request<'_>) -> bool {
        let clustered = request.is("", "namespaces") || request.namespace.is_empty();
        let scope = match self.scope.as_str() {
            "Namespaced" => !clustered,
            "Cluster" => clustered,
            _ => true,
        };
        scope
            && (self.names.is_empty() || self.names.iter().any(|name| name == request.name))
            && has(&self.operations, request.operation.name())
            && self.resources.iter().any(|resource| {
                let (of, sub) = resource.split_once('/').unwrap_or((resource, ""));
                let own = request.sub.map_or("", registry::Sub::name);
                (of == "*" || of == request.kind.resource) && (sub == "*" || sub == own)
            })
    }
}

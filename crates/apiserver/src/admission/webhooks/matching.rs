//! The match of webhooks with requests: rules, selectors, and the equivalent kind that is sent.

use apimachinery::text::quote;
use apimachinery::{Object, Status};

use super::hooks::{Hook, Rule};
use crate::admission::{Operation, Request};
use crate::conversion;
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

/// Returns true for requests that no webhook is asked about.
pub(super) fn is_exempt(kind: &Kind) -> bool {
    kind.group == "admissionregistration.k8s.io" && EXEMPT.contains(&kind.kind)
}

/// The kind as which a webhook sees the objects of a request; `None` if it is not asked.
///
/// # Errors
/// The namespace of the request is missing, or a selector cannot be read.
pub(super) fn seen_as(
    hook: &Hook,
    request: &Request<'_>,
    object: Option<&Object>,
) -> Result<Option<KindRef>, Status> {
    let namespace = in_namespace(hook, request, object);
    if matches!(namespace, Ok(false)) {
        return Ok(None);
    }
    let selected = match &hook.objects {
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
    let matches = |kind: &Kind| hook.rules.iter().any(|rule| rule.matches(request, kind));
    let own = request.kind;
    let found = if matches(own) {
        request.server.kinds().find(own.group, own.version, own.resource).cloned()
    } else if hook.equivalent {
        // The first rule that matches any version decides.
        let others = equivalents(request);
        let mut pairs = hook.rules.iter().flat_map(|rule| others.iter().map(move |k| (rule, k)));
        pairs.find(|(rule, kind)| rule.matches(request, kind)).map(|(_, kind)| kind.clone())
    } else {
        None
    };
    let Some(found) = found else { return Ok(None) };
    namespace?;
    selected?;
    if !hook.conditions.is_empty() {
        // They are not evaluated yet: it is as if that failed.
        return match hook.ignores_failures {
            true => Ok(None),
            false => Err(request.forbidden(format!(
                "match conditions of webhook {} cannot be evaluated by this server",
                quote(&hook.name)
            ))),
        };
    }
    Ok(Some(found))
}

/// The other kinds as which the same objects are served.
fn equivalents(request: &Request<'_>) -> Vec<KindRef> {
    let kinds = request.server.kinds();
    let own = request.kind;
    let same = |kind: &KindRef| {
        kind.stored_group() == own.stored_group()
            && kind.resource == own.resource
            && (kind.group, kind.version) != (own.group, own.version)
    };
    kinds.all().filter(|kind| same(kind)).cloned().collect()
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
    hook: &Hook,
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
    let selector = hook.namespaces.as_ref().map_err(|why| Status::internal(&why.message))?;
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

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

impl Rule {
    fn matches(&self, request: &Request<'_>, kind: &Kind) -> bool {
        let namespaces = kind.group.is_empty() && kind.resource == "namespaces";
        let clustered = namespaces || request.namespace.is_empty();
        let scope = match self.scope.as_str() {
            "Namespaced" => !clustered,
            "Cluster" => clustered,
            _ => true,
        };
        scope
            && has(&self.operations, request.operation.name())
            && has(&self.groups, kind.group)
            && has(&self.versions, kind.version)
            && self.resources.iter().any(|resource| {
                let (of, sub) = resource.split_once('/').unwrap_or((resource, ""));
                let own = request.sub.map_or("", registry::Sub::name);
                (of == "*" || of == kind.resource) && (sub == "*" || sub == own)
            })
    }
}

//! Requires that authors of admission policies and bindings can read the parameters (upstream's
//! `authz.go` of both kinds): messages and failures of a policy reveal them.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;
use serde_json::Value;

use super::{Plugin, Request};
use crate::authz::{self, Attributes};
use crate::registry::{self, Kinds};
use crate::user::{MASTERS, User};

const GROUP: &str = "admissionregistration.k8s.io";
/// Resources of policies, with those of their bindings.
const POLICIES: &[(&str, &str)] = &[
    ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
    ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
];

pub(super) struct PolicyParams;

#[async_trait]
impl Plugin for PolicyParams {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some(object) = object.filter(|_| request.sub.is_none()) else { return Ok(()) };
        if request.user.in_group(MASTERS) {
            return Ok(());
        }
        let is = |resource| request.is(GROUP, resource);
        let (field, refused) = match POLICIES.iter().find(|(of, by)| is(of) || is(by)) {
            Some((policies, _)) if is(policies) => {
                ("paramKind", check_policy(request, object).await)
            }
            Some((policies, _)) => ("paramRef", check_binding(request, object, policies).await),
            None => return Ok(()),
        };
        let Some(why) = refused else { return Ok(()) };
        let error = FieldError::forbidden(&Path::new("spec").child(field), why);
        let errors = ErrorList(vec![error]);
        Err(Status::invalid(GROUP, request.kind.kind, object.name(), errors))
    }
}

/// The group and resource of parameters; `*` if unknown.
struct Params<'a> {
    group: &'a str,
    resource: &'a str,
}

impl<'a> Params<'a> {
    const ALL: Self = Self { group: "*", resource: "*" };

    fn of(kinds: &Kinds, kind: &'a Value) -> Self {
        let version = kind.str_at(&["apiVersion"]);
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let row = kinds.find_kind(group, version, kind.str_at(&["kind"]));
        Self { group, resource: row.map_or("*", |row| row.resource) }
    }
}

async fn may(
    request: &Request<'_>,
    verb: &str,
    of: &Params<'_>,
    namespace: &str,
    name: &str,
) -> bool {
    let attributes = Attributes {
        namespace,
        name,
        ..Attributes::on_resource(request.user, verb, of.group, of.resource)
    };
    authz::decide(request.server, attributes).await.is_allowed()
}

/// The reason why the policy may not be written.
async fn check_policy(request: &Request<'_>, policy: &Object) -> Option<String> {
    let kind = policy.get_path(&["spec", "paramKind"])?;
    let same = request.old.is_some_and(|old| old.get_path(&["spec", "paramKind"]) == Some(kind));
    if same || may(request, "get", &Params::of(&request.server.kinds(), kind), "*", "*").await {
        return None;
    }
    Some(format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={}, \
         apiVersion={})",
        shown(request.user),
        kind.str_at(&["kind"]),
        kind.str_at(&["apiVersion"])
    ))
}

/// The reason why the binding may not be written. An unchanged one is checked again like upstream,
/// which compares pointers.
async fn check_binding(request: &Request<'_>, binding: &Object, policies: &str) -> Option<String> {
    let reference = binding.get_path(&["spec", "paramRef"])?;
    let (namespace, name) = (reference.str_at(&["namespace"]), reference.str_at(&["name"]));
    let verb = if name.is_empty() { "list" } else { "get" };
    let wanted = binding.str_at(&["spec", "policyName"]);
    let policy = registry::find(GROUP, "v1", policies)
        .and_then(|kind| request.server.entry(kind, "", wanted))
        .map(|entry| entry.object());
    let kind = policy.as_ref().and_then(|policy| policy.get_path(&["spec", "paramKind"]));
    let params = kind.map_or(Params::ALL, |kind| Params::of(&request.server.kinds(), kind));
    if may(request, verb, &params, namespace, name).await {
        return None;
    }
    let user = shown(request.user);
    let unknown = match kind {
        _ if policy.is_none() => format!("unable to get policy {wanted}"),
        Some(kind) if params.resource == "*" => format!(
            "unable to resolve paramKind &{{{} {}}}",
            kind.str_at(&["apiVersion"]),
            kind.str_at(&["kind"])
        ),
        _ => {
            return Some(format!(
                "user {user} does not have \"{verb}\" permission on the object referenced by \
                 paramRef"
            ));
        }
    };
    Some(format!(
        "{unknown} to determine minimum required permissions and user {user} does not have \
         \"{verb}\" permission for all groups, versions and resources"
    ))
}

/// A user as Go prints it.
fn shown(user: &User) -> String {
    let extra: Vec<String> =
        user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}

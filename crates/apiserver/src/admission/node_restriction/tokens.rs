//! The service account tokens that a node may request: for its pods and the audiences they name.

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use serde_json::Value;

use crate::admission::{Operation, Request};
use crate::authz::{self, Attributes, Decision, claims_of};
use crate::registry::{self, Sub};

/// `object` is the TokenRequest.
pub(super) async fn check(
    request: &Request<'_>,
    node: &str,
    object: Option<&Object>,
) -> Result<(), Status> {
    let (Operation::Create, Some(Sub::Token), Some(token)) =
        (request.operation, request.sub, object)
    else {
        return Ok(());
    };
    let bound = &token["spec"]["boundObjectRef"];
    if bound["apiVersion"] != "v1" || bound["kind"] != "Pod" || bound.str_at(&["name"]).is_empty() {
        return Err(request.forbidden("node requested token not bound to a pod"));
    }
    let (name, uid) = (bound.str_at(&["name"]), bound.str_at(&["uid"]));
    if uid.is_empty() {
        let why = "node requested token with a pod binding without a uid";
        return Err(request.forbidden(why));
    }
    let pods = registry::find("", "v1", "pods").ok_or_else(|| Status::internal("no pods"))?;
    let pod = request.server.entry(pods, request.namespace, name);
    let pod = pod.ok_or_else(|| Status::not_found("", "pods", name))?.object();
    if uid != pod.uid() {
        return Err(request.forbidden(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. \
             The object might have been deleted and then recreated"
        )));
    }
    if pod.str_at(&["spec", "nodeName"]) != node {
        let why = "node requested token bound to a pod scheduled on a different node";
        return Err(request.forbidden(why));
    }
    let audiences = token["spec"]["audiences"].as_array().map_or(&[][..], Vec::as_slice);
    let audience = match audiences {
        [] => "",
        [audience] => audience.as_str().unwrap_or_default(),
        _ => return Err(request.forbidden("node may only request 0 or 1 audiences")),
    };
    if names_audience(request, &pod, audience) {
        return Ok(());
    }
    // Administrators may allow nodes further audiences, for image credential providers.
    let attributes = Attributes {
        namespace: request.namespace,
        name: request.path_name,
        ..Attributes::on_resource(
            request.user,
            "request-serviceaccounts-token-audience",
            "",
            audience,
        )
    };
    match authz::decide(request.server, attributes).await {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(_) => Err(request.forbidden(format!(
            "{} is not authorized to request tokens for audience {}",
            request.user.name,
            quote(audience)
        ))),
    }
}

/// Returns true if a volume of the pod needs a token for the audience.
fn names_audience(request: &Request<'_>, pod: &Object, audience: &str) -> bool {
    let wants = |value: &Value| value["audience"].as_str().unwrap_or_default() == audience;
    let volumes = || pod["spec"]["volumes"].as_array().into_iter().flatten();
    let projected = volumes()
        .filter_map(|volume| volume["projected"]["sources"].as_array())
        .flatten()
        .any(|source| {
            source["serviceAccountToken"].is_object() && wants(&source["serviceAccountToken"])
        });
    if projected {
        return true;
    }
    let find = |group, resource, namespace: &str, name: &str| {
        let kind = registry::find(group, "v1", resource)?;
        Some(request.server.entry(kind, namespace, name)?.object())
    };
    let inline = volumes().filter_map(|volume| volume["csi"]["driver"].as_str().map(str::to_owned));
    let claimed = claims_of(pod).filter_map(|claim| {
        let claim = find("", "persistentvolumeclaims", request.namespace, &claim)?;
        let volume = find("", "persistentvolumes", "", claim.str_at(&["spec", "volumeName"]))?;
        volume["spec"]["csi"]["driver"].as_str().map(str::to_owned)
    });
    inline.chain(claimed).any(|driver| {
        find("storage.k8s.io", "csidrivers", "", &driver)
            .is_some_and(|d| d["spec"]["tokenRequests"].as_array().into_iter().flatten().any(wants))
    })
}

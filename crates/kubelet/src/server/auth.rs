//! Authentication by the cluster's certificates and tokens, and authorization: the API server decides
//! about everybody but itself and administrators.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use client::review;
use http::request::Parts;
use http::{Method, StatusCode};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReviewSpec};
use pki::{ClientCertificate, Identity};

use super::{Answer, refuse};
use crate::context::Context;

/// Groups that may do everything here.
const TRUSTED_GROUPS: [&str; 2] = ["system:masters", "kubeadm:cluster-admins"];
/// The API server's own identity.
const TRUSTED_USERS: [&str; 2] = ["kube-apiserver-kubelet-client", "system:kube-apiserver"];

fn is_trusted(identity: &Identity) -> bool {
    TRUSTED_USERS.contains(&identity.user.as_str())
        || identity.groups.iter().any(|group| TRUSTED_GROUPS.contains(&group.as_str()))
}

/// The layer: lets a request pass, or answers why not.
pub(super) async fn authorize(
    State(context): State<Arc<Context>>,
    request: Request,
    next: Next,
) -> Answer {
    let (head, body) = request.into_parts();
    match check(&context, &head).await {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err((status, message)) => refuse(status, message),
    }
}

async fn check(context: &Context, request: &Parts) -> Result<(), (StatusCode, String)> {
    if request.uri.path() == "/healthz" && request.method == Method::GET {
        return Ok(());
    }
    let certificate = request.extensions.get::<Arc<ClientCertificate>>();
    let identity = certificate.and_then(|certificate| certificate.identity()).cloned();
    let unauthorized = || (StatusCode::UNAUTHORIZED, "Unauthorized".to_owned());
    let identity = match identity {
        Some(identity) => identity,
        None => {
            let token = bearer(request).ok_or_else(unauthorized)?;
            review_token(context, token).await.ok_or_else(unauthorized)?
        }
    };
    if is_trusted(&identity) {
        return Ok(());
    }
    let node = &context.config.node_name;
    let (verb, subresources) = (verb(&request.method), subresources(request.uri.path()));
    for subresource in subresources {
        if may(context, &identity, verb, subresource).await {
            return Ok(());
        }
    }
    let message = format!(
        "Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{}], name={node})",
        identity.user,
        subresources.join(" ")
    );
    Err((StatusCode::FORBIDDEN, message))
}

fn bearer(request: &Parts) -> Option<String> {
    let header = request.headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::to_owned)
}

async fn review_token(context: &Context, token: String) -> Option<Identity> {
    let reviewed = review::token(&context.config.client, token).await?;
    Some(Identity { user: reviewed.user, groups: reviewed.groups })
}

async fn may(context: &Context, identity: &Identity, verb: &str, subresource: &str) -> bool {
    let spec = SubjectAccessReviewSpec {
        user: Some(identity.user.clone()),
        groups: Some(identity.groups.clone()),
        resource_attributes: Some(ResourceAttributes {
            verb: Some(verb.to_owned()),
            version: Some("v1".to_owned()),
            resource: Some("nodes".to_owned()),
            subresource: Some(subresource.to_owned()),
            name: Some(context.config.node_name.clone()),
            ..ResourceAttributes::default()
        }),
        ..SubjectAccessReviewSpec::default()
    };
    review::allows(&context.config.client, spec).await
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "get",
    }
}

/// The parts of the node a path is about, as upstream maps them: the right to any of them is enough.
fn subresources(path: &str) -> &'static [&'static str] {
    let below = |prefix: &str| {
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if below("/stats") {
        &["stats"]
    } else if below("/metrics") {
        &["metrics"]
    } else if below("/logs") {
        &["log"]
    } else if below("/pods") || below("/runningpods") {
        &["pods", "proxy"]
    } else if below("/healthz") {
        &["healthz", "proxy"]
    } else if below("/configz") {
        &["configz", "proxy"]
    } else {
        &["proxy"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_their_subresources() {
        let table = [
            ("/stats/summary", &["stats"][..]),
            ("/metrics/resource", &["metrics"]),
            ("/metricsx", &["proxy"]),
            ("/exec/ns/p/c", &["proxy"]),
            ("/containerLogs/ns/p/c", &["proxy"]),
            ("/pods", &["pods", "proxy"]),
            ("/runningpods/", &["pods", "proxy"]),
            ("/configz", &["configz", "proxy"]),
        ];
        for (path, wanted) in table {
            assert_eq!(subresources(path), wanted, "{path}");
        }
    }
}

//! Approves the requests of kubelets for client certificates, if they may make them.

use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition,
};
use kube::api::PostParams;

use super::{APPROVED, DENIED, each, has, is_issued, kubelet, parse};
use crate::{Context, Error, Outcome};

const WORKERS: usize = 1;
const AGAIN: Duration = Duration::from_secs(60);
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// Rights that approve a request, as subresources, and the message that says so.
const SELF: (&str, &str) =
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview.");
const ANY: (&str, &str) =
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview.");

pub(crate) async fn run(context: Context) {
    each(context, "csrapproving", WORKERS, async |context, request| {
        reconcile(&context, &request).await
    })
    .await;
}

/// The rights of which one suffices.
fn rights(request: &CertificateSigningRequest) -> Vec<(&'static str, &'static str)> {
    let Ok(parsed) = parse(request) else { return Vec::new() };
    let usages = request.spec.usages.as_deref().unwrap_or_default();
    if request.spec.signer_name != SIGNER || kubelet::check_client(&parsed, usages).is_err() {
        return Vec::new();
    }
    match request.spec.username.as_deref() == Some(&parsed.identity.user) {
        true => vec![SELF, ANY],
        false => vec![ANY],
    }
}

async fn reconcile(context: &Context, request: &CertificateSigningRequest) -> Outcome {
    if is_issued(request) || has(request, APPROVED) || has(request, DENIED) {
        return Ok(None);
    }
    let rights = rights(request);
    for (subresource, message) in &rights {
        if may(context, request, subresource).await? {
            return approve(context, request.clone(), message).await;
        }
    }
    // The right may still be given.
    Ok((!rights.is_empty()).then_some(AGAIN))
}

async fn may(
    context: &Context,
    request: &CertificateSigningRequest,
    subresource: &str,
) -> Result<bool, Error> {
    let spec = &request.spec;
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: spec.username.clone(),
            uid: spec.uid.clone(),
            groups: spec.groups.clone(),
            extra: spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some("certificates.k8s.io".to_owned()),
                resource: Some("certificatesigningrequests".to_owned()),
                verb: Some("create".to_owned()),
                subresource: Some(subresource.to_owned()),
                version: Some("*".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews = context.all::<SubjectAccessReview>();
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

async fn approve(
    context: &Context,
    mut request: CertificateSigningRequest,
    message: &str,
) -> Outcome {
    let status = request.status.get_or_insert_default();
    status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: APPROVED.to_owned(),
        status: "True".to_owned(),
        reason: Some("AutoApproved".to_owned()),
        message: Some(message.to_owned()),
        ..CertificateSigningRequestCondition::default()
    });
    let name = request.metadata.name.clone().unwrap_or_default();
    let requests = context.all::<CertificateSigningRequest>();
    requests.replace_subresource("approval", &name, &PostParams::default(), &request).await?;
    Ok(None)
}

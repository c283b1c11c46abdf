//! CertificateApproval, CertificateSigning, ClusterTrustBundleAttest and
//! CertificateSubjectRestriction: rights to decide on certificate requests and to say whom to trust,
//! and subjects that may not be requested.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Operation, Plugin, Request};
use crate::authz::escalation::is_only_garbage_collection;
use crate::authz::{self, Attributes};
use crate::registry::Sub;
use crate::user::MASTERS;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) struct Approval;
pub(super) struct Signing;
pub(super) struct SubjectRestriction;
pub(super) struct TrustBundles;

/// An update of a subresource of a request: the stored object and the new one.
fn update<'a>(
    request: &'a Request<'_>,
    sub: Sub,
    object: Option<&'a Object>,
) -> Option<(&'a Object, &'a Object)> {
    let concerned = request.operation == Operation::Update
        && request.is(GROUP, "certificatesigningrequests")
        && request.sub == Some(sub);
    // The stored signer is checked: a change of the signer is only refused later.
    request.old.zip(object).filter(|_| concerned)
}

#[async_trait]
impl Plugin for Approval {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        match update(request, Sub::Approval, object) {
            Some((old, _)) => check_signer(request, old, "approve").await,
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Plugin for Signing {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let Some((old, new)) = update(request, Sub::Status, object) else { return Ok(()) };
        let part = |object: &Object, field| object["status"][field].clone();
        let signs =
            ["certificate", "conditions"].iter().any(|field| part(old, field) != part(new, field));
        if signs { check_signer(request, old, "sign").await } else { Ok(()) }
    }
}

#[async_trait]
impl Plugin for SubjectRestriction {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let concerned = request.operation == Operation::Create
            && request.is(GROUP, "certificatesigningrequests")
            && request.sub.is_none();
        match object.filter(|_| concerned) {
            Some(new) => check_subject(request, new),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Plugin for TrustBundles {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        if request.is(GROUP, "clustertrustbundles") {
            check_bundle(request, object).await
        } else {
            Ok(())
        }
    }
}

/// Returns true if the user holds the verb on the signer's name, or on every signer of its domain.
async fn may(request: &Request<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    for name in [signer, &format!("{domain}/*")] {
        let attributes =
            Attributes { name, ..Attributes::on_resource(request.user, verb, GROUP, "signers") };
        if authz::decide(request.server, attributes).await.is_allowed() {
            return true;
        }
    }
    false
}

/// Requires `attest` of who writes the bundle of a signer; the garbage collector may.
async fn check_bundle(request: &Request<'_>, bundle: Option<&Object>) -> Result<(), Status> {
    let Some(bundle) = bundle else { return Ok(()) };
    let signer = bundle.str_at(&["spec", "signerName"]);
    let is_collected = request.old.is_some_and(|old| is_only_garbage_collection(bundle, old));
    if signer.is_empty() || is_collected || may(request, "attest", signer).await {
        return Ok(());
    }
    let signer = apimachinery::text::quote(signer);
    Err(request.forbidden(format!("user not permitted to attest for signerName {signer}")))
}

/// Requires `sign` of who changes the status of a request for the certificate of a pod.
pub(super) struct PodCertificates;

#[async_trait]
impl Plugin for PodCertificates {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        let (Some(Sub::Status), Some(old), Some(new)) = (request.sub, request.old, object) else {
            return Ok(());
        };
        let signer = old.str_at(&["spec", "signerName"]);
        if !request.is(GROUP, "podcertificaterequests")
            || old["status"] == new["status"]
            || may(request, "sign", signer).await
        {
            return Ok(());
        }
        let (user, signer) = (&request.user.name, apimachinery::text::quote(signer));
        let why = format!(
            "User {} is not permitted to \"sign\" for signer {signer}",
            apimachinery::text::quote(user)
        );
        let error = FieldError::forbidden(&Path::new("spec").child("signerName"), why);
        let errors = ErrorList(vec![error]);
        Err(Status::invalid(GROUP, request.kind.kind, new.name(), errors))
    }
}

/// Requires `approve` or `sign` on the signer's name, or on every signer of its domain.
async fn check_signer(request: &Request<'_>, csr: &Object, verb: &str) -> Result<(), Status> {
    let signer = csr.str_at(&["spec", "signerName"]);
    if may(request, verb, signer).await {
        return Ok(());
    }
    let signer = apimachinery::text::quote(signer);
    Err(request
        .forbidden(format!("user not permitted to {verb} requests with signerName {signer}")))
}

fn check_subject(request: &Request<'_>, csr: &Object) -> Result<(), Status> {
    if csr.str_at(&["spec", "signerName"]) != CLIENT_SIGNER {
        return Ok(());
    }
    let asked =
        parse(csr).map_err(|why| request.forbidden(format!("failed to parse CSR: {why}")))?;
    if asked.groups.iter().any(|group| group == MASTERS) {
        return Err(request.forbidden(format!(
            "use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
        )));
    }
    Ok(())
}

/// The subject that a CertificateSigningRequest asks for.
pub(super) fn parse(csr: &Object) -> Result<pki::Identity, pki::pem::Refused> {
    use base64::Engine;
    let text = csr.str_at(&["spec", "request"]);
    let pem = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    Ok(pki::Request::from_pem(&String::from_utf8_lossy(&pem))?.identity)
}

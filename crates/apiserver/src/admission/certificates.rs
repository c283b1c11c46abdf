//! CertificateApproval, CertificateSigning and CertificateSubjectRestriction: rights to decide on
//! certificate requests, and subjects that may not be requested.

use apimachinery::{Object, ObjectExt, Status};
use async_trait::async_trait;

use super::{Operation, Plugin, Request};
use crate::authz::{self, Attributes, Decision};
use crate::registry::Sub;
use crate::user::MASTERS;

const GROUP: &str = "certificates.k8s.io";
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

pub(super) struct Certificates;

#[async_trait]
impl Plugin for Certificates {
    async fn validate(&self, request: &Request<'_>, object: Option<&Object>) -> Result<(), Status> {
        if !request.is(GROUP, "certificatesigningrequests") {
            return Ok(());
        }
        // The stored signer is checked: a change of the signer is only refused later.
        match (request.operation, request.sub, request.old, object) {
            (Operation::Update, Some(Sub::Approval), Some(old), _) => {
                check_signer(request, old, "approve")
            }
            (Operation::Update, Some(Sub::Status), Some(old), Some(new)) => {
                let part = |object: &Object, field| object["status"][field].clone();
                let signs = ["certificate", "conditions"]
                    .iter()
                    .any(|field| part(old, field) != part(new, field));
                if signs { check_signer(request, old, "sign") } else { Ok(()) }
            }
            (Operation::Create, None, _, Some(new)) => check_subject(request, new),
            _ => Ok(()),
        }
    }
}

/// Requires `approve` or `sign` on the signer's name, or on every signer of its domain.
fn check_signer(request: &Request<'_>, csr: &Object, verb: &str) -> Result<(), Status> {
    let signer = csr.str_at(&["spec", "signerName"]);
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    let allowed = [signer.to_owned(), format!("{domain}/*")].iter().any(|name| {
        let attributes =
            Attributes { name, ..Attributes::on_resource(request.user, verb, GROUP, "signers") };
        matches!(authz::decide(request.server, &attributes), Decision::Allow(_))
    });
    if allowed {
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
    pki::pem::check_request(&String::from_utf8_lossy(&pem))
}

//! Signs approved requests for the signers of Kubernetes.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;

use super::kubelet::{self, Unfit};
use super::{APPROVED, FAILED, conditions, each, is_issued, parse};
use crate::{Context, Error, Outcome};

const WORKERS: usize = 5;
/// Upstream's default of `--cluster-signing-duration`.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Twice the allowance for clocks that are behind.
const SHORTEST: Duration = Duration::from_secs(10 * 60);

pub(crate) async fn run(context: Context) {
    let Some(authority) = context.settings.signing.clone() else {
        tracing::info!(
            "no key to sign certificates with: CertificateSigningRequests stay unsigned"
        );
        context.cancel.cancelled().await;
        return;
    };
    each(context, "csrsigning", WORKERS, move |context, request| {
        let authority = authority.clone();
        async move { reconcile(&context, &authority, &request).await }
    })
    .await;
}

/// Checks a request by the rules of its signer; `None` for the signers of others.
fn check(signer: &str, request: &pki::Request, usages: &[String]) -> Option<Result<(), Unfit>> {
    Some(match signer {
        "kubernetes.io/kube-apiserver-client" => check_client_usages(usages),
        "kubernetes.io/kube-apiserver-client-kubelet" => kubelet::check_client(request, usages),
        "kubernetes.io/kubelet-serving" => kubelet::check_serving(request, usages),
        "kubernetes.io/legacy-unknown" => Ok(()),
        _ => return None,
    })
}

fn check_client_usages(usages: &[String]) -> Result<(), Unfit> {
    const CLIENT: &str = "client auth";
    let known = ["digital signature", "key encipherment", CLIENT];
    match usages.iter().find(|usage| !known.contains(&usage.as_str())) {
        Some(usage) => Err(Unfit::NoClientUsage(usage.clone())),
        None if usages.iter().any(|usage| usage == CLIENT) => Ok(()),
        None => Err(Unfit::MissingUsage(CLIENT)),
    }
}

/// How long a certificate lives for which so many seconds are asked.
fn life(seconds: Option<i32>) -> Duration {
    let asked = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    asked.map_or(LONGEST, |asked| asked.clamp(SHORTEST, LONGEST))
}

async fn reconcile(
    context: &Context,
    authority: &Arc<pki::Authority>,
    request: &CertificateSigningRequest,
) -> Outcome {
    let is_true = |condition: &str| {
        conditions(request).any(|own| own.type_ == condition && own.status == "True")
    };
    let approved = conditions(request).any(|own| own.type_ == APPROVED);
    if is_issued(request) || !approved || is_true(FAILED) {
        return Ok(None);
    }
    let usages = request.spec.usages.clone().unwrap_or_default();
    let mut signed = request.clone();
    let status = signed.status.get_or_insert_default();
    let parsed = parse(request).map_err(|why| Error::other(why.to_string()))?;
    match check(&request.spec.signer_name, &parsed, &usages) {
        None => return Ok(None),
        Some(Err(why)) => fail(status, &why),
        Some(Ok(())) => {
            let life = life(request.spec.expiration_seconds);
            let certificate = authority
                .sign(&parsed, &usages, life.try_into().unwrap_or_default())
                .map_err(|why| Error::other(why.to_string()))?;
            status.certificate = Some(ByteString(certificate.into_bytes()));
        }
    }
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let requests = context.all::<CertificateSigningRequest>();
    requests.replace_status(name, &PostParams::default(), &signed).await?;
    Ok(None)
}

fn fail(status: &mut CertificateSigningRequestStatus, why: &Unfit) {
    status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: FAILED.to_owned(),
        status: "True".to_owned(),
        reason: Some("SignerValidationFailure".to_owned()),
        message: Some(why.to_string()),
        last_update_time: Some(Time(Timestamp::now())),
        ..CertificateSigningRequestCondition::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_bounded() {
        for (asked, seconds) in [
            (None, 31_536_000),
            (Some(600), 600),
            (Some(1), 600),
            (Some(-1), 600),
            (Some(3600), 3600),
            (Some(i32::MAX), 31_536_000),
        ] {
            assert_eq!(life(asked).as_secs(), seconds, "{asked:?}");
        }
    }

    #[test]
    fn clients_have_the_usages_of_clients() {
        let check = |usages: &[&str]| {
            check_client_usages(&usages.iter().map(|usage| (*usage).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(check(&["client auth", "key encipherment"]), Ok(()));
        assert_eq!(check(&["digital signature"]), Err(Unfit::MissingUsage("client auth")));
        assert_eq!(
            check(&["client auth", "server auth"]),
            Err(Unfit::NoClientUsage("server auth".to_owned()))
        );
    }
}

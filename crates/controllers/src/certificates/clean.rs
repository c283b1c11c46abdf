//! Removes requests that nobody waits for any more.

use std::time::Duration;

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};

use super::{APPROVED, DENIED, FAILED, conditions, each, is_issued};
use crate::common::meta;
use crate::{Context, Outcome};

const WORKERS: usize = 1;
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Requests that were answered are kept so long.
const ANSWERED: Duration = HOUR;
/// Those that nobody has looked at, or that were approved and not signed.
const PENDING: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) async fn run(context: Context) {
    each(context, "csrcleaner", WORKERS, async |context, request| {
        match left(&request, Timestamp::now()) {
            Some(Duration::ZERO) => delete(&context, &request).await,
            wait => Ok(wait),
        }
    })
    .await;
}

/// How long a request is still to be kept; `None` if that is not known yet.
fn left(request: &CertificateSigningRequest, now: Timestamp) -> Option<Duration> {
    let until = |since: Option<&Time>, keep: Duration| {
        Some(meta::remaining(since?, keep, now).unwrap_or(Duration::ZERO))
    };
    if conditions(request).next().is_none() {
        return until(request.metadata.creation_timestamp.as_ref(), PENDING);
    }
    let issued = is_issued(request);
    let of_conditions = conditions(request).filter_map(|condition| {
        let keep = match condition.type_.as_str() {
            DENIED | FAILED => ANSWERED,
            APPROVED if issued => ANSWERED,
            APPROVED => PENDING,
            _ => return None,
        };
        until(condition.last_update_time.as_ref(), keep)
    });
    of_conditions.chain(expiry(request, now)).min()
}

/// How long an issued certificate is still valid.
fn expiry(request: &CertificateSigningRequest, now: Timestamp) -> Option<Duration> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    let ends = pki::pem::not_after(&String::from_utf8_lossy(&certificate.0))?;
    let left = ends.saturating_sub(u64::try_from(now.as_second()).ok()?);
    Some(Duration::from_secs(left))
}

async fn delete(context: &Context, request: &CertificateSigningRequest) -> Outcome {
    let name = request.metadata.name.as_deref().unwrap_or_default();
    let same = Preconditions {
        uid: request.metadata.uid.clone(),
        resource_version: request.metadata.resource_version.clone(),
    };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    match context.all::<CertificateSigningRequest>().delete(name, &params).await {
        Err(error) if !client::helpers::is_not_found(&error) => Err(error.into()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn answers_are_kept_an_hour_and_questions_a_day() {
        let at = "2024-01-01T00:00:00Z";
        let now = "2024-01-01T00:30:00Z".parse().unwrap();
        let condition =
            |kind: &str| json!([{"type": kind, "status": "True", "lastUpdateTime": at}]);
        let unsigned = Value::Null;
        for (conditions, certificate, minutes) in [
            (json!([]), &unsigned, Some(24 * 60 - 30)),
            (condition("Denied"), &unsigned, Some(30)),
            (condition("Failed"), &unsigned, Some(30)),
            (condition("Approved"), &unsigned, Some(24 * 60 - 30)),
            (condition("Approved"), &json!("YQ=="), Some(30)),
            (json!([{"type": "Denied", "status": "True"}]), &unsigned, None),
            (condition("Other"), &unsigned, None),
        ] {
            let request: CertificateSigningRequest = serde_json::from_value(json!({
                "metadata": {"name": "a", "creationTimestamp": at},
                "spec": {"request": "", "signerName": "a/b"},
                "status": {"conditions": conditions, "certificate": certificate},
            }))
            .unwrap();
            let wanted = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            assert_eq!(left(&request, now), wanted, "{conditions}");
        }
    }
}

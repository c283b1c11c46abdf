//! Removes requests for certificates of pods: a kubelet that still waits for one asks again.

use std::time::Duration;

use client::helpers::{is_conflict, is_not_found};
use k8s_openapi::api::certificates::v1::PodCertificateRequest;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};

use super::each;
use crate::common::meta;
use crate::{Context, Outcome};

const WORKERS: usize = 1;
/// How long a request is kept, whatever came of it.
const KEPT: Duration = Duration::from_secs(15 * 60);

pub(crate) async fn run(context: Context) {
    each(context, "pcrcleaner", WORKERS, async |context: Context, request| {
        match left(&request, Timestamp::now()) {
            None => delete(&context, &request).await,
            left => Ok(left),
        }
    })
    .await;
}

/// How long a request is still to be kept; `None` if its time is over.
fn left(request: &PodCertificateRequest, now: Timestamp) -> Option<Duration> {
    meta::remaining(request.metadata.creation_timestamp.as_ref()?, KEPT, now)
}

async fn delete(context: &Context, request: &PodCertificateRequest) -> Outcome {
    let same = Preconditions { uid: request.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
    let api = context.api::<PodCertificateRequest>(meta::namespace(request));
    match api.delete(meta::name(request), &params).await {
        Err(error) if !is_not_found(&error) && !is_conflict(&error) => Err(error.into()),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_are_kept_a_quarter_of_an_hour() {
        let request: PodCertificateRequest = serde_json::from_value(json!({
            "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"maxExpirationSeconds": 3600, "nodeName": "n", "nodeUID": "n", "podName": "p",
                "podUID": "p", "serviceAccountName": "s", "serviceAccountUID": "s",
                "signerName": "a/b", "stubPKCS10Request": ""},
        }))
        .unwrap();
        for (now, minutes) in [("00:05:00", Some(10)), ("00:15:00", None), ("01:00:00", None)] {
            let now = format!("2026-01-01T{now}Z").parse().unwrap();
            let wanted = minutes.map(|minutes| Duration::from_secs(minutes * 60));
            assert_eq!(left(&request, now), wanted, "{now}");
        }
    }
}

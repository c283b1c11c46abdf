//! Tells the pod that its certificate should have been renewed, or has expired.

use std::convert::Infallible;
use std::time::Duration;

use client::{EventRecorder, EventType};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, sleep_until};

/// A renewal that takes longer is overdue.
const OVERDUE: Duration = Duration::from_secs(10 * 60);

/// The warnings about one certificate that are still to come.
pub(super) struct Late {
    warnings: Vec<(Instant, &'static str, &'static str)>,
}

impl Late {
    /// Of a certificate that is to be renewed at a time, and perhaps expires at another.
    pub(super) fn new(renewal: Instant, expiry: Option<Instant>) -> Self {
        let overdue =
            (renewal + OVERDUE, "CertificateOverdueForRefresh", "PodCertificate refresh overdue");
        let expired = expiry.map(|at| (at, "CertificateExpired", "PodCertificate expired"));
        let mut warnings: Vec<_> = expired.into_iter().chain([overdue]).collect();
        // The next is the last.
        warnings.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        Self { warnings }
    }

    /// Warns when it is time; never returns.
    pub(super) async fn warn(&mut self, recorder: &EventRecorder, pod: &Pod) -> Infallible {
        while let Some((at, reason, message)) = self.warnings.last() {
            sleep_until(*at).await;
            recorder.event(pod, EventType::Warning, reason, *message);
            self.warnings.pop();
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_first_is_told_first() {
        let begun = Instant::now();
        let at = |second| begun + Duration::from_secs(second);
        let reasons = |expiry: Option<u64>| {
            let late = Late::new(at(1000), expiry.map(at));
            let told = late.warnings.iter().rev();
            told.map(|(at, why, _)| ((*at - begun).as_secs(), *why)).collect::<Vec<_>>()
        };
        let (overdue, expired) = ("CertificateOverdueForRefresh", "CertificateExpired");
        assert_eq!(reasons(Some(5000)), [(1600, overdue), (5000, expired)]);
        assert_eq!(reasons(Some(1300)), [(1300, expired), (1600, overdue)]);
        assert_eq!(reasons(None), [(1600, overdue)]);
    }
}

//! The certificates.k8s.io group.

mod bundle;
mod pod;
mod request;

use super::Sub;
use super::column::{AGE, Column, NAME, human_duration};
use super::kind::{Kind, Selectable};

const fn row(kind: &'static str, resource: &'static str, singular: &'static str) -> Kind {
    Kind::new("certificates.k8s.io", "v1", kind, resource, singular)
}

const SIGNER: Selectable = Selectable::new("spec.signerName", &["spec", "signerName"]);

pub(super) static KINDS: &[Kind] = &[
    row("CertificateSigningRequest", "certificatesigningrequests", "certificatesigningrequest")
        .short(&["csr"])
        .subs(&[Sub::Approval, Sub::Status])
        .selectable(&[SIGNER])
        .strategy(&request::Request)
        .columns(&[
            NAME,
            AGE,
            Column::text("SignerName", &["spec", "signerName"]),
            Column::text_or("Requestor", &["spec", "username"], ""),
            Column::make("RequestedDuration", |o| match o["spec"]["expirationSeconds"].as_i64() {
                Some(seconds) => human_duration(seconds).into(),
                None => "<none>".into(),
            }),
            Column::make("Condition", request::condition),
        ]),
    row("ClusterTrustBundle", "clustertrustbundles", "clustertrustbundle")
        .rechecks(2, 0)
        .selectable(&[SIGNER])
        .strategy(&bundle::Bundle)
        .columns(&[NAME, Column::text_or("SignerName", &["spec", "signerName"], "<none>")]),
    row("PodCertificateRequest", "podcertificaterequests", "podcertificaterequest")
        .namespaced()
        .rechecks(0, 1)
        .subs(&[Sub::Status])
        .selectable(&[
            SIGNER,
            Selectable::new("spec.podName", &["spec", "podName"]),
            Selectable::new("spec.nodeName", &["spec", "nodeName"]),
        ])
        .strategy(&pod::Request)
        .columns(&[
            NAME,
            Column::text_or("PodName", &["spec", "podName"], ""),
            Column::text_or("ServiceAccountName", &["spec", "serviceAccountName"], ""),
            Column::text_or("NodeName", &["spec", "nodeName"], ""),
            Column::text_or("SignerName", &["spec", "signerName"], ""),
            Column::make("State", pod::state),
            Column::make("UnverifiedUserAnnotations", |o| {
                Column::label_text(o["spec"].get("unverifiedUserAnnotations")).into()
            }),
        ]),
];

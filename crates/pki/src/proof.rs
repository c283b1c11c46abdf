//! The proof in a certificate signing request that who asks has the key: its signature.

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{DerSignature, VerifyingKey};
use ring::digest;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512,
};

/// Returns true if a request is signed with the key that it names.
pub(crate) fn is_signed(request: &X509CertificationRequest<'_>) -> bool {
    let key = &request.certification_request_info.subject_pki;
    let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
    if curve.is_some_and(|curve| curve == OID_NIST_EC_P521) {
        return is_signed_by_p521(request);
    }
    request.verify_signature().is_ok()
}

/// The library of the other curves does not have this one.
fn is_signed_by_p521(request: &X509CertificationRequest<'_>) -> bool {
    let algorithm = &request.signature_algorithm.algorithm;
    let digest = match () {
        () if *algorithm == OID_SIG_ECDSA_WITH_SHA512 => &digest::SHA512,
        () if *algorithm == OID_SIG_ECDSA_WITH_SHA384 => &digest::SHA384,
        () if *algorithm == OID_SIG_ECDSA_WITH_SHA256 => &digest::SHA256,
        () => return false,
    };
    let body = digest::digest(digest, request.certification_request_info.raw);
    let key = &request.certification_request_info.subject_pki.subject_public_key.data;
    let Ok(key) = VerifyingKey::from_sec1_bytes(key) else { return false };
    let Ok(signature) = DerSignature::try_from(&*request.signature_value.data) else {
        return false;
    };
    // A digest shorter than half the order of the curve is refused by the library: its field is
    // filled up from the left, which leaves the number as it is.
    let mut number = [0; 64];
    let length = body.as_ref().len();
    number[64 - length..].copy_from_slice(body.as_ref());
    key.verify_prehash(&number, &signature).is_ok()
}

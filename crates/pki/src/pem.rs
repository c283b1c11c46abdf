//! Checks of certificates and requests that somebody else wrote.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;

use crate::Identity;

/// Why a request or certificate is not one.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No block of the wanted type comes first.
    #[error("PEM block type must be CERTIFICATE REQUEST")]
    NoRequest,
    /// The content is no request.
    #[error("asn1: structure error: {0}")]
    Request(String),
    /// The request is not signed with the key that it names.
    #[error("x509: certificate request signature is not valid")]
    Signature,
    /// A block of another type.
    #[error("only CERTIFICATE PEM blocks are allowed, found {0:?}")]
    OtherBlock(String),
    /// The content is no certificate.
    #[error("{0}")]
    Certificate(String),
    /// There is no block at all.
    #[error("must contain at least one CERTIFICATE PEM block")]
    NoCertificate,
}

/// Checks that `text` is a certificate request (PKCS #10, RFC 2986), signed with the key that it
/// names, and gives the subject it asks for.
///
/// # Errors
/// It is not.
pub fn check_request(text: &str) -> Result<Identity, Refused> {
    let block = Pem::iter_from_buffer(text.as_bytes()).next().and_then(Result::ok);
    let block = block.filter(|b| b.label == "CERTIFICATE REQUEST").ok_or(Refused::NoRequest)?;
    let (_, request) = X509CertificationRequest::from_der(&block.contents)
        .map_err(|e| Refused::Request(e.to_string()))?;
    request.verify_signature().map_err(|_| Refused::Signature)?;
    Ok(Identity::of_subject(&request.certification_request_info.subject))
}

/// Checks that `text` is a list of certificates.
pub fn check_certificates(text: &str) -> Result<(), Refused> {
    let mut found = false;
    for block in Pem::iter_from_buffer(text.as_bytes()) {
        let Ok(block) = block else { break };
        if block.label != "CERTIFICATE" {
            return Err(Refused::OtherBlock(block.label));
        }
        block.parse_x509().map_err(|e| Refused::Certificate(e.to_string()))?;
        found = true;
    }
    if found { Ok(()) } else { Err(Refused::NoCertificate) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use rcgen::{CertificateParams, KeyPair};

    fn request(key: &KeyPair) -> String {
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn requests_are_signed_with_their_own_key() {
        let good = request(&KeyPair::generate().unwrap());
        check_request(&good).unwrap();
        // One bit of the signature, which stands at the end.
        let block = Pem::iter_from_buffer(good.as_bytes()).next().unwrap().unwrap();
        let mut der = block.contents;
        *der.last_mut().unwrap() ^= 1;
        let line = |chunk: &[u8]| format!("{}\n", String::from_utf8_lossy(chunk));
        let base64 = STANDARD.encode(der);
        let body: String = base64.as_bytes().chunks(64).map(line).collect();
        let label = "CERTIFICATE REQUEST";
        let bad = format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n");
        assert!(matches!(check_request(&bad), Err(Refused::Signature)));
        assert!(matches!(check_request("nothing"), Err(Refused::NoRequest)));
        assert!(matches!(check_certificates(&good), Err(Refused::OtherBlock(_))));
        assert!(matches!(check_certificates("nothing"), Err(Refused::NoCertificate)));
    }
}

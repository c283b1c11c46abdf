//! Checks of certificates and requests that somebody else wrote.

use x509_parser::pem::Pem;

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

/// The end of the first certificate of a text, in seconds since 1970; `None` if it is none.
#[must_use]
pub fn not_after(text: &str) -> Option<u64> {
    let block = Pem::iter_from_buffer(text.as_bytes()).next()?.ok()?;
    let certificate = block.parse_x509().ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Request;
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
        Request::from_pem(&good).unwrap();
        // One bit of the signature, which stands at the end.
        let block = Pem::iter_from_buffer(good.as_bytes()).next().unwrap().unwrap();
        let mut der = block.contents;
        *der.last_mut().unwrap() ^= 1;
        let line = |chunk: &[u8]| format!("{}\n", String::from_utf8_lossy(chunk));
        let base64 = STANDARD.encode(der);
        let body: String = base64.as_bytes().chunks(64).map(line).collect();
        let label = "CERTIFICATE REQUEST";
        let bad = format!("-----BEGIN {label}-----\n{body}-----END {label}-----\n");
        assert!(matches!(Request::from_pem(&bad), Err(Refused::Signature)));
        assert!(matches!(Request::from_pem("nothing"), Err(Refused::NoRequest)));
        assert!(matches!(check_certificates(&good), Err(Refused::OtherBlock(_))));
        assert!(matches!(check_certificates("nothing"), Err(Refused::NoCertificate)));
    }
}

//! A verifier for servers whose certificate may be one of the trusted ones itself.
//!
//! A certificate made by `openssl req -x509` is an authority, and many servers present it as their
//! own. Go trusts a server that presents a trusted certificate; webpki takes no authority for a
//! server's (`CaUsedAsEndEntity`).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug)]
pub(super) struct Anchored {
    pub(super) webpki: Arc<WebPkiServerVerifier>,
    /// The trusted certificates.
    pub(super) anchors: Vec<CertificateDer<'static>>,
}

impl Anchored {
    /// Verifies a certificate that is trusted itself: its name and the time.
    fn verify_anchor(
        cert: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Error> {
        let (_, read) = X509Certificate::from_der(cert)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now > read.validity().not_after.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::Expired));
        }
        if now < read.validity().not_before.timestamp() {
            return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
        }
        verify_server_name(&ParsedCertificate::try_from(cert)?, name)
    }
}

impl ServerCertVerifier for Anchored {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.anchors.iter().any(|anchor| anchor == end_entity) {
            Self::verify_anchor(end_entity, server_name, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};

    use super::*;

    /// As `openssl req -x509` makes it.
    fn own_authority(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_trusted_certificate_is_a_servers_under_its_name() {
        let (cert, other) = (own_authority("a.example"), own_authority("a.example"));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(cert.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let verifier = Anchored { webpki: webpki.build().unwrap(), anchors: vec![cert.clone()] };
        let verify = |cert: &CertificateDer<'_>, name: &str, now| {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            verifier.verify_server_cert(cert, &[], &name, &[], now)
        };
        verify(&cert, "a.example", UnixTime::now()).unwrap();
        verify(&cert, "b.example", UnixTime::now()).unwrap_err();
        verify(&other, "a.example", UnixTime::now()).unwrap_err();
        let never = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1 << 40));
        verify(&cert, "a.example", never).unwrap_err();
    }
}

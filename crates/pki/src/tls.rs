//! TLS configurations made of PEM texts.

mod anchored;
mod unverified;

use std::sync::{Arc, OnceLock};

use rustls::client::{WantsClientCert, WebPkiServerVerifier};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Error, Issued, Result};
use anchored::Anchored;
use unverified::{AnyCertificate, AnyClient};

fn crypto(e: impl std::fmt::Display) -> Error {
    Error::Crypto(e.to_string())
}

fn parse(issued: &Issued) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = CertificateDer::pem_slice_iter(issued.cert.as_bytes())
        .collect::<std::result::Result<_, _>>()
        .map_err(crypto)?;
    Ok((chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).map_err(crypto)?))
}

fn roots(ca: &str) -> Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(cert.map_err(crypto)?).map_err(crypto)?;
    }
    Ok(Arc::new(roots))
}

/// Trusts what `ca` signed, and its certificates themselves; `None` where there are none.
fn anchored(ca: &str) -> Result<Option<Arc<Anchored>>> {
    let anchors: Vec<_> = CertificateDer::pem_slice_iter(ca.as_bytes())
        .collect::<std::result::Result<_, _>>()
        .map_err(crypto)?;
    if anchors.is_empty() {
        return Ok(None);
    }
    let webpki = WebPkiServerVerifier::builder_with_provider(roots(ca)?, provider());
    Ok(Some(Arc::new(Anchored { webpki: webpki.build().map_err(crypto)?, anchors })))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A server that asks for, but does not demand, a client certificate signed by `client_ca`.
pub fn server(issued: &Issued, client_ca: &str, alpn: &[&str]) -> Result<ServerConfig> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(client_ca)?, provider())
        .allow_unauthenticated()
        .build()
        .map_err(crypto)?;
    let (chain, key) = parse(issued)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(crypto)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(crypto)?;
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Returns true if two PEM texts have a certificate in common.
pub fn overlap(one: &str, other: &str) -> bool {
    let read = |pem: &str| -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(std::result::Result::ok).collect()
    };
    let other = read(other);
    read(one).iter().any(|cert| other.contains(cert))
}

/// Verifies client certificates that `ca` signed.
///
/// # Errors
/// `ca` is not PEM, or has no certificate.
pub fn client_verifier(ca: &str) -> Result<Arc<dyn ClientCertVerifier>> {
    WebPkiClientVerifier::builder_with_provider(roots(ca)?, provider()).build().map_err(crypto)
}

/// A server that asks for, but does not demand, a client certificate, and takes any whose holder
/// has its key: the caller verifies who signed it. Clients are told that these authorities count.
///
/// # Errors
/// The certificate or an authority is not PEM, or the cryptography is unusable.
pub fn asking_server(issued: &Issued, authorities: &[&str], alpn: &[&str]) -> Result<ServerConfig> {
    let mut hints = Vec::new();
    for ca in authorities {
        hints.extend(roots(ca)?.subjects());
    }
    let (chain, key) = parse(issued)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(crypto)?
        .with_client_cert_verifier(Arc::new(AnyClient { hints, provider: provider() }))
        .with_single_cert(chain, key)
        .map_err(crypto)?;
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    Ok(config)
}

/// A client without a certificate of its own that trusts the authorities of this machine.
///
/// # Errors
/// The cryptography is unusable.
pub fn trusting_machine() -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    // Some machines have authorities that cannot be read; the others count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder.with_safe_default_protocol_versions().map_err(crypto)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A client that says nothing of itself and believes every server: for those who ask whether
/// somebody answers, not who it is.
///
/// # Errors
/// The cryptography is unusable.
pub fn unverified_client() -> Result<Arc<ClientConfig>> {
    static MADE: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made.clone());
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(crypto)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        .with_no_client_auth();
    Ok(MADE.get_or_init(|| Arc::new(config)).clone())
}

/// A client that presents `issued` and believes every server.
///
/// # Errors
/// The cryptography is unusable.
pub fn unverifying(issued: &Issued) -> Result<ClientConfig> {
    let (chain, key) = parse(issued)?;
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(crypto)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
        .with_client_auth_cert(chain, key)
        .map_err(crypto)
}

/// A client that trusts `ca`.
fn verifying(ca: &str) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(crypto)?;
    Ok(match anchored(ca)? {
        Some(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
        // Nobody is trusted.
        None => builder.with_root_certificates(RootCertStore::empty()),
    })
}

/// A client without a certificate of its own that trusts `ca`.
///
/// # Errors
/// `ca` is not PEM, or the cryptography is unusable.
pub fn trusting(ca: &str) -> Result<ClientConfig> {
    Ok(verifying(ca)?.with_no_client_auth())
}

/// A client that presents `issued` and trusts `ca`.
pub fn client(issued: &Issued, ca: &str) -> Result<ClientConfig> {
    let (chain, key) = parse(issued)?;
    verifying(ca)?.with_client_auth_cert(chain, key).map_err(crypto)
}

//! Client certificates: those of users, and those of front proxies.

use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use pki::ClientCertificate;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;

use crate::user::{AUTHENTICATED, User};

/// By whom a chain was verified, and the outcome.
type Verified = (Arc<dyn ClientCertVerifier>, bool);

/// The chain that a client presented when its connection began.
pub(crate) struct Presented {
    chain: Vec<CertificateDer<'static>>,
    pub(super) certificate: ClientCertificate,
    /// The last time as a user's, and as a front proxy's.
    verified: [Mutex<Option<Verified>>; 2],
}

impl Presented {
    /// The certificate of a connection; `None` if it has none.
    pub(crate) fn of(chain: Option<&[CertificateDer<'static>]>) -> Option<Self> {
        let chain = chain?;
        let certificate = ClientCertificate::from_der(chain.first()?).ok()?;
        Some(Self { chain: chain.to_vec(), certificate, verified: Default::default() })
    }
}

/// Of whom an authority's certificates are.
#[derive(Clone, Copy)]
pub(super) enum Holder {
    User,
    Proxy,
}

/// An authority, which may be replaced.
pub(super) struct Authority {
    holder: Holder,
    verifier: ArcSwap<Arc<dyn ClientCertVerifier>>,
}

impl Authority {
    /// Reads the certificates of an authority.
    ///
    /// # Errors
    /// They are none.
    pub(super) fn new(holder: Holder, pem: &str) -> pki::Result<Self> {
        let verifier = pki::tls::client_verifier(pem)?;
        Ok(Self { holder, verifier: ArcSwap::from_pointee(verifier) })
    }

    /// Takes the place of the certificates before. Connections are verified again.
    ///
    /// # Errors
    /// They are none.
    pub(super) fn replace(&self, pem: &str) -> pki::Result<()> {
        self.verifier.store(Arc::new(pki::tls::client_verifier(pem)?));
        Ok(())
    }

    /// Returns true if it signed what was presented, which is still good. The chain is verified
    /// once for a connection.
    pub(super) fn verifies(&self, presented: &Presented) -> bool {
        if presented.certificate.identity().is_none() {
            return false;
        }
        let verifier = self.verifier.load();
        let mut verified = presented.verified[self.holder as usize].lock();
        if let Some((by, outcome)) = &*verified
            && Arc::ptr_eq(by, &verifier)
        {
            return *outcome;
        }
        let Some((leaf, others)) = presented.chain.split_first() else { return false };
        let outcome = verifier.verify_client_cert(leaf, others, UnixTime::now()).is_ok();
        *verified = Some(((**verifier).clone(), outcome));
        outcome
    }
}

/// The user of a certificate that was verified; `None` if it names none.
pub(super) fn user(certificate: &ClientCertificate) -> Option<User> {
    let identity = certificate.identity().filter(|identity| !identity.user.is_empty())?;
    let mut groups = identity.groups.clone();
    groups.push(AUTHENTICATED.to_owned());
    let credential = vec![format!("X509SHA256={}", certificate.fingerprint())];
    let extra = [("authentication.kubernetes.io/credential-id".to_owned(), credential)];
    Some(User { name: identity.user.clone(), groups, extra: extra.into(), ..User::default() })
}

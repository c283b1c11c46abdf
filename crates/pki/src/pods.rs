//! Certificates of pods (upstream's `PodCertificateRequest`) and bundles of trust anchors: what a
//! request for one may contain, and what its answer must.

mod keys;

use std::collections::BTreeMap;

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::blocks::{blocks, encode};
use crate::proof::is_signed;

pub use keys::{KeyType, PodKey, UnknownKeyType};

/// Why a request for the certificate of a pod is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The content is no request.
    #[error("must be a valid PKCS#10 CSR")]
    Request,
    /// A key on another curve.
    #[error("elliptic public keys must use curve P256, P384, or P521")]
    Curve(String),
    /// A key of another size, in bits.
    #[error("RSA keys must have modulus size 3072 or 4096")]
    Modulus(usize),
    /// A key of another type.
    #[error("unknown public key type; supported types are Ed25519, ECDSA, and RSA")]
    Key,
    /// The request is not signed with the key that it names.
    #[error("invalid signature")]
    Signature,
}

/// Checks a request (PKCS #10, DER) for the certificate of a pod: only its key and signature count.
///
/// # Errors
/// It is none, or its key is not of a type and size that upstream accepts.
pub fn check_pod_request(der: &[u8]) -> Result<(), Unfit> {
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| Unfit::Request)?;
    if !rest.is_empty() {
        return Err(Unfit::Request);
    }
    let key = &request.certification_request_info.subject_pki;
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let bits = match key.parsed() {
            Ok(PublicKey::RSA(rsa)) => rsa.key_size(),
            _ => return Err(Unfit::Request),
        };
        if bits != 3072 && bits != 4096 {
            return Err(Unfit::Modulus(bits));
        }
    } else if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
        let curve = curve.ok_or(Unfit::Request)?;
        if ![OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521].contains(&curve) {
            return Err(Unfit::Curve(curve.to_id_string()));
        }
    } else if *algorithm != OID_SIG_ED25519 {
        return Err(Unfit::Key);
    }
    if is_signed(&request) { Ok(()) } else { Err(Unfit::Signature) }
}

/// The claims of the certificate of a pod.
#[derive(Debug)]
pub struct Leaf {
    /// The subject alternative names that are names of the DNS.
    pub dns_names: Vec<String>,
    /// Those that are mail addresses.
    pub emails: Vec<String>,
    /// The first second of its validity, since 1970.
    pub not_before: i64,
    /// The last one.
    pub not_after: i64,
    key: Vec<u8>,
}

impl Leaf {
    /// Returns true if the certificate is for the key of a request (PKCS #10, DER).
    #[must_use]
    pub fn is_for(&self, request: &[u8]) -> bool {
        X509CertificationRequest::from_der(request).is_ok_and(|(_, request)| {
            request.certification_request_info.subject_pki.raw == self.key.as_slice()
        })
    }
}

/// Why a chain of certificates is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadChain {
    /// There is no block at all.
    #[error("issued certificate chain must contain at least one certificate")]
    Empty,
    /// The first block is of another type.
    #[error("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")]
    FirstBlock,
    /// The first block is no certificate.
    #[error("leaf certificate does not parse as valid X.509")]
    Leaf,
    /// A later block is of another type. (The misspelling is upstream's.)
    #[error("issued certificate chain must consist entirely of CERTFICATE PEM blocks")]
    FurtherBlock,
    /// A later block is no certificate.
    #[error("intermediate certificate does not parse as valid X.509")]
    Intermediate,
}

/// Reads the first certificate of a chain.
///
/// # Errors
/// There is none.
pub fn leaf(chain: &str) -> Result<Leaf, BadChain> {
    let blocks = blocks(chain);
    let first = blocks.first().ok_or(BadChain::Empty)?;
    if first.label != "CERTIFICATE" {
        return Err(BadChain::FirstBlock);
    }
    let certificate = certificate(&first.contents).ok_or(BadChain::Leaf)?;
    let names = certificate.subject_alternative_name().map_err(|_| BadChain::Leaf)?;
    let names = names.map_or(&[][..], |names| &names.value.general_names);
    let mut leaf = Leaf {
        dns_names: Vec::new(),
        emails: Vec::new(),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        key: SubjectPublicKeyInfo::clone(certificate.public_key()).raw.to_vec(),
    };
    for name in names {
        match name {
            GeneralName::DNSName(name) => leaf.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(name) => leaf.emails.push((*name).to_owned()),
            _ => {}
        }
    }
    Ok(leaf)
}

/// Checks the certificates of a chain after the first.
///
/// # Errors
/// One is none.
pub fn check_intermediates(chain: &str) -> Result<(), BadChain> {
    for block in blocks(chain).iter().skip(1) {
        if block.label != "CERTIFICATE" {
            return Err(BadChain::FurtherBlock);
        }
        certificate(&block.contents).ok_or(BadChain::Intermediate)?;
    }
    Ok(())
}

/// Why an entry of a bundle of trust anchors is refused, by its number.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnchor {
    /// A block of another type.
    #[error("entry {0} has bad block type: {1}")]
    Block(usize, String),
    /// A block with headers.
    #[error("entry {0} has PEM block headers")]
    Headers(usize),
    /// A block that is no certificate.
    #[error("entry {0} does not parse as X.509")]
    Certificate(usize),
    /// A certificate that is no authority's.
    #[error("entry {0} does not have the CA bit set")]
    NoAuthority(usize),
    /// There is no entry at all.
    #[error("at least one trust anchor must be provided")]
    Empty,
    /// The same certificate again; the numbers as Go prints them.
    #[error("duplicate trust anchor (indices {0})")]
    Duplicate(String),
}

/// Checks a bundle of trust anchors and returns all that is wrong with it.
#[must_use]
pub fn check_anchors(bundle: &str) -> Vec<BadAnchor> {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<&[u8], Vec<String>> = BTreeMap::new();
    let blocks = blocks(bundle);
    for (i, block) in blocks.iter().enumerate() {
        let why = if block.label != "CERTIFICATE" {
            BadAnchor::Block(i, block.label.to_owned())
        } else if block.has_headers {
            BadAnchor::Headers(i)
        } else {
            match certificate(&block.contents) {
                Some(found) if found.is_ca() => {
                    seen.entry(&block.contents).or_default().push(i.to_string());
                    continue;
                }
                Some(_) => BadAnchor::NoAuthority(i),
                None => BadAnchor::Certificate(i),
            }
        };
        wrong.push(why);
    }
    if !wrong.is_empty() {
        return wrong;
    }
    if seen.is_empty() {
        return vec![BadAnchor::Empty];
    }
    let repeated = seen.values().filter(|indices| indices.len() > 1);
    repeated.map(|indices| BadAnchor::Duplicate(format!("[{}]", indices.join(" ")))).collect()
}

/// The certificates of a bundle of trust anchors, DER.
#[must_use]
pub fn anchors(bundle: &str) -> Vec<Vec<u8>> {
    blocks(bundle).into_iter().map(|block| block.contents).collect()
}

/// A certificate as PEM.
#[must_use]
pub fn encode_certificate(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}

/// A chain without what stands between its certificates and in front of them.
#[must_use]
pub fn clean_chain(chain: &str) -> String {
    blocks(chain).iter().map(|block| encode_certificate(&block.contents)).collect()
}

fn certificate(der: &[u8]) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(der).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, KeyPair, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
    };

    fn authority() -> String {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn requests_are_refused_for_their_key_or_signature() {
        for of in [&PKCS_ED25519, &PKCS_ECDSA_P384_SHA384] {
            let key = KeyPair::generate_for(of).unwrap();
            let request = CertificateParams::default().serialize_request(&key).unwrap();
            check_pod_request(request.der()).unwrap();
            let mut broken = request.der().to_vec();
            *broken.last_mut().unwrap() ^= 1;
            assert_eq!(check_pod_request(&broken), Err(Unfit::Signature));
            broken.push(0);
            assert_eq!(check_pod_request(&broken), Err(Unfit::Request));
        }
        assert_eq!(check_pod_request(b"nothing"), Err(Unfit::Request));
    }

    #[test]
    fn chains_are_cleaned() {
        let a = authority();
        let (head, body) = a.split_once('\n').unwrap();
        let dirty = format!("about\n{head}\nKey: value\n\n{body}between\n{a}end");
        let clean = clean_chain(&dirty);
        assert_eq!(clean, clean_chain(&format!("{a}{a}")));
        assert_eq!((anchors(&dirty).len(), clean.matches("Key").count()), (2, 0));
    }

    #[test]
    fn a_leaf_is_for_the_key_that_asked() {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let request = params.serialize_request(&key).unwrap();
        let chain = params.self_signed(&key).unwrap().pem();
        let found = leaf(&chain).unwrap();
        assert!(found.is_for(request.der()));
        assert_eq!(found.dns_names, ["a.example"]);
        let other = params.serialize_request(&KeyPair::generate().unwrap()).unwrap();
        assert!(!found.is_for(other.der()));
        assert_eq!(leaf("").unwrap_err(), BadChain::Empty);
        assert_eq!(leaf(&other.pem().unwrap()).unwrap_err(), BadChain::FirstBlock);
        let tail = format!("{chain}{}", other.pem().unwrap());
        assert_eq!(check_intermediates(&tail), Err(BadChain::FurtherBlock));
        check_intermediates(&format!("{chain}{chain}")).unwrap();
    }

    #[test]
    fn bundles_hold_authorities_once_each() {
        let (a, b) = (authority(), authority());
        assert_eq!(check_anchors(&format!("{a}{b}")), []);
        assert_eq!(check_anchors("none"), [BadAnchor::Empty]);
        let twice = check_anchors(&format!("{a}{b}{a}"));
        assert_eq!(twice, [BadAnchor::Duplicate("[0 2]".to_owned())]);
        let plain = CertificateParams::default();
        let plain = plain.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        assert_eq!(check_anchors(&format!("{a}{plain}")), [BadAnchor::NoAuthority(1)]);
    }
}

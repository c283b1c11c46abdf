//! The keys of pods, and the requests by which certificates for them are asked.

use std::fmt;
use std::str::FromStr;

use p521::ecdsa::signature::hazmat::PrehashSigner;
use p521::ecdsa::{DerSignature, SigningKey};
use p521::elliptic_curve::Generate;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{digest, rand::SecureRandom};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use yasna::DERWriter;

use crate::blocks::encode;
use crate::{Error, Result};

/// A type of key that a pod may ask for, by upstream's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
}

/// The name is none of a type of key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown key type {0:?}")]
pub struct UnknownKeyType(String);

impl FromStr for KeyType {
    type Err = UnknownKeyType;

    fn from_str(name: &str) -> std::result::Result<Self, UnknownKeyType> {
        Ok(match name {
            "RSA3072" => Self::Rsa(3072),
            "RSA4096" => Self::Rsa(4096),
            "ECDSAP256" => Self::P256,
            "ECDSAP384" => Self::P384,
            "ECDSAP521" => Self::P521,
            "ED25519" => Self::Ed25519,
            _ => return Err(UnknownKeyType(name.to_owned())),
        })
    }
}

/// A new private key and the request for its certificate. The key shows in no log.
pub struct PodKey {
    pem: String,
    request: Vec<u8>,
}

impl fmt::Debug for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodKey").finish_non_exhaustive()
    }
}

impl PodKey {
    /// Makes a key. One of RSA may take seconds.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate(of: KeyType) -> Result<Self> {
        let (private, key) = match of {
            KeyType::Rsa(bits) => rsa_key(bits)?,
            KeyType::P256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, P256, ECDSA_SHA256)?,
            KeyType::P384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, P384, ECDSA_SHA384)?,
            KeyType::P521 => p521_key()?,
            KeyType::Ed25519 => ed25519()?,
        };
        let body = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_u8(0);
                writer.next().write_sequence(|_no_subject| {});
                writer.next().write_sequence(|writer| {
                    algorithm(writer.next(), key.algorithm, &key.parameters);
                    writer.next().write_bitvec_bytes(&key.public, key.public.len() * 8);
                });
                let no_attributes = yasna::Tag::context(0);
                writer.next().write_tagged_implicit(no_attributes, |writer| {
                    writer.write_set(|_| {});
                });
            });
        });
        let signature = (key.sign)(&body)?;
        let request = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&body);
                let parameters =
                    if key.algorithm == RSA { Parameters::Null } else { Parameters::Absent };
                algorithm(writer.next(), key.signature, &parameters);
                writer.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        });
        Ok(Self { pem: encode("PRIVATE KEY", &private), request })
    }

    /// The private key (PKCS #8, PEM).
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The request (PKCS #10, DER): the key and its signature, nothing else.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }
}

const RSA: &[u64] = &[1, 2, 840, 113_549, 1, 1, 1];
const RSA_SHA256: &[u64] = &[1, 2, 840, 113_549, 1, 1, 11];
const EC: &[u64] = &[1, 2, 840, 10045, 2, 1];
const P256: &[u64] = &[1, 2, 840, 10045, 3, 1, 7];
const P384: &[u64] = &[1, 3, 132, 0, 34];
const P521: &[u64] = &[1, 3, 132, 0, 35];
const ECDSA_SHA256: &[u64] = &[1, 2, 840, 10045, 4, 3, 2];
const ECDSA_SHA384: &[u64] = &[1, 2, 840, 10045, 4, 3, 3];
const ECDSA_SHA512: &[u64] = &[1, 2, 840, 10045, 4, 3, 4];
const ED25519: &[u64] = &[1, 3, 101, 112];

/// Parameters of an algorithm.
enum Parameters {
    Absent,
    Null,
    Curve(&'static [u64]),
}

type Sign = Box<dyn Fn(&[u8]) -> Result<Vec<u8>>>;

/// The public half of a key, and how it signs.
struct Key {
    algorithm: &'static [u64],
    parameters: Parameters,
    public: Vec<u8>,
    signature: &'static [u64],
    sign: Sign,
}

fn algorithm(writer: DERWriter<'_>, id: &[u64], parameters: &Parameters) {
    let oid = |id: &[u64]| yasna::models::ObjectIdentifier::from_slice(id);
    writer.write_sequence(|writer| {
        writer.next().write_oid(&oid(id));
        match parameters {
            Parameters::Absent => {}
            Parameters::Null => writer.next().write_null(),
            Parameters::Curve(curve) => writer.next().write_oid(&oid(curve)),
        }
    });
}

/// A private key in PKCS #8 (RFC 5208), whose inner form is its algorithm's.
fn pkcs8(id: &[u64], parameters: &Parameters, inner: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            algorithm(writer.next(), id, parameters);
            writer.next().write_bytes(inner);
        });
    })
}

fn crypto(what: &str) -> Error {
    Error::Crypto(what.to_owned())
}

fn ecdsa(
    of: &'static EcdsaSigningAlgorithm,
    curve: &'static [u64],
    signature: &'static [u64],
) -> Result<(Vec<u8>, Key)> {
    let random = SystemRandom::new();
    let private = EcdsaKeyPair::generate_pkcs8(of, &random).map_err(|_| crypto("ECDSA key"))?;
    let pair =
        EcdsaKeyPair::from_pkcs8(of, private.as_ref(), &random).map_err(|_| crypto("ECDSA key"))?;
    let key = Key {
        algorithm: EC,
        parameters: Parameters::Curve(curve),
        public: pair.public_key().as_ref().to_vec(),
        signature,
        sign: Box::new(move |body| {
            let signature = pair.sign(&SystemRandom::new(), body);
            Ok(signature.map_err(|_| crypto("ECDSA signature"))?.as_ref().to_vec())
        }),
    };
    Ok((private.as_ref().to_vec(), key))
}

/// The library of the other curves does not have this one.
fn p521_key() -> Result<(Vec<u8>, Key)> {
    let pair = SigningKey::generate_from_rng(&mut rand::rng());
    let public = pair.verifying_key().to_sec1_point(false).as_bytes().to_vec();
    // RFC 5915.
    let inner = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(1);
            writer.next().write_bytes(&pair.to_bytes());
            writer.next().write_tagged(yasna::Tag::context(1), |writer| {
                writer.write_bitvec_bytes(&public, public.len() * 8);
            });
        });
    });
    let parameters = Parameters::Curve(P521);
    let private = pkcs8(EC, &parameters, &inner);
    let sign = move |body: &[u8]| {
        let digest = digest::digest(&digest::SHA512, body);
        let signature: std::result::Result<DerSignature, _> = pair.sign_prehash(digest.as_ref());
        Ok(signature.map_err(|_| crypto("ECDSA signature"))?.as_bytes().to_vec())
    };
    let sign = Box::new(sign);
    Ok((private, Key { algorithm: EC, parameters, public, signature: ECDSA_SHA512, sign }))
}

/// In the first version of PKCS #8, as upstream writes it and every reader knows it.
fn ed25519() -> Result<(Vec<u8>, Key)> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| crypto("random numbers"))?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| crypto("Ed25519 key"))?;
    let inner = yasna::construct_der(|writer| writer.write_bytes(&seed));
    let key = Key {
        algorithm: ED25519,
        parameters: Parameters::Absent,
        public: pair.public_key().as_ref().to_vec(),
        signature: ED25519,
        sign: Box::new(move |body| Ok(pair.sign(body).as_ref().to_vec())),
    };
    Ok((pkcs8(ED25519, &Parameters::Absent, &inner), key))
}

/// The library makes the numbers alone: another one signs, in constant time.
fn rsa_key(bits: usize) -> Result<(Vec<u8>, Key)> {
    let made = rsa::PrivateKey::new(&mut rand::rng(), bits).map_err(|_| crypto("RSA key"))?;
    let inner = rsa_parts(&made).ok_or_else(|| crypto("RSA key"))?;
    let pair = RsaKeyPair::from_der(&inner).map_err(|why| Error::Crypto(why.to_string()))?;
    let key = Key {
        algorithm: RSA,
        parameters: Parameters::Null,
        public: pair.public().as_ref().to_vec(),
        signature: RSA_SHA256,
        sign: Box::new(move |body| {
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body, &mut signature)
                .map_err(|_| crypto("RSA signature"))?;
            Ok(signature)
        }),
    };
    Ok((pkcs8(RSA, &Parameters::Null, &inner), key))
}

/// `RSAPrivateKey` of RFC 8017, A.1.2.
fn rsa_parts(key: &rsa::PrivateKey) -> Option<Vec<u8>> {
    let inverse = key.qinv()?.retrieve();
    let [p, q] = key.primes() else { return None };
    let parts = [
        key.n().as_ref(),
        key.e(),
        key.d(),
        p.as_ref(),
        q.as_ref(),
        key.dp()?,
        key.dq()?,
        &inverse,
    ];
    Some(yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(0);
            for part in parts {
                writer.next().write_bigint_bytes(&part.to_be_bytes_trimmed_vartime(), true);
            }
        });
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::check_pod_request;

    #[test]
    fn every_type_of_key_makes_a_request_that_is_accepted() {
        for name in ["RSA3072", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"] {
            let key = PodKey::generate(name.parse().unwrap()).unwrap();
            check_pod_request(key.request()).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(key.pem().starts_with("-----BEGIN PRIVATE KEY-----\n"), "{name}");
            assert!(!format!("{key:?}").contains(key.pem()), "{name}");
            let other = PodKey::generate(name.parse().unwrap()).unwrap();
            assert_ne!(key.pem(), other.pem(), "{name}");
        }
        assert_eq!("RSA4096".parse(), Ok(KeyType::Rsa(4096)));
        assert_eq!(
            "RSA1024".parse::<KeyType>().unwrap_err().to_string(),
            "unknown key type \"RSA1024\""
        );
    }

    /// Another program reads the keys and sees that they fit the requests.
    #[test]
    fn keys_are_in_the_form_that_others_read() {
        use std::process::Command;
        if Command::new("openssl").arg("version").output().is_err() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for name in ["RSA3072", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"] {
            let key = PodKey::generate(name.parse().unwrap()).unwrap();
            let (private, request) = (dir.path().join("key"), dir.path().join("request"));
            std::fs::write(&private, key.pem()).unwrap();
            std::fs::write(&request, key.request()).unwrap();
            let said = |arguments: &[&str]| {
                let output = Command::new("openssl").args(arguments).output().unwrap();
                assert!(output.status.success(), "{name}: {output:?}");
                output.stdout
            };
            let private = private.to_str().unwrap();
            let request = request.to_str().unwrap();
            let of_key = said(&["pkey", "-in", private, "-pubout"]);
            let of_request =
                said(&["req", "-inform", "der", "-in", request, "-verify", "-noout", "-pubkey"]);
            assert_eq!(of_key, of_request, "{name}");
        }
    }
}

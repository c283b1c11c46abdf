//! JSON Web Tokens that others sign (RFC 7519), and the public keys that verify them.
//!
//! Only asymmetric algorithms are known: a key that everybody may read must not be taken for a
//! shared secret.

use std::str::FromStr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey};
use ring::digest;
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::{PublicKey as Parsed, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::blocks::blocks;
use crate::token::provider;

/// The algorithms that upstream takes, sorted; ES512 is the one that this library cannot verify.
pub const ALGORITHMS: [&str; 9] =
    ["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/// The algorithm that upstream takes and that cannot be verified here.
pub const UNKNOWN_ALGORITHM: &str = "ES512";

/// Why text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed jwt")]
pub struct Malformed;

/// A token that was taken apart and not verified.
#[derive(Debug)]
pub struct Unverified<'t> {
    /// The algorithm in its header.
    pub algorithm: String,
    /// The key in its header; empty if it names none.
    pub key_id: String,
    /// Its claims, which are nobody's yet.
    pub payload: Vec<u8>,
    message: &'t str,
    signature: &'t str,
}

impl<'t> Unverified<'t> {
    /// Takes a token in the compact form apart.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(token: &'t str) -> Result<Self, Malformed> {
        let (message, signature) = token.rsplit_once('.').ok_or(Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(Malformed)?;
        if payload.contains('.') {
            return Err(Malformed);
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Malformed);
        let header: Map<String, Value> =
            serde_json::from_slice(&decode(header)?).map_err(|_| Malformed)?;
        // It names extensions that a reader must understand (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(Malformed);
        }
        let text = |name: &str| match header.get(name) {
            None | Some(Value::Null) => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(Malformed),
        };
        Ok(Self {
            algorithm: text("alg")?,
            key_id: text("kid")?,
            payload: decode(payload)?,
            message,
            signature,
        })
    }

    /// Returns true if `key` has signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        provider::install();
        Algorithm::from_str(&self.algorithm).is_ok_and(|algorithm| {
            jsonwebtoken::crypto::verify(
                self.signature,
                self.message.as_bytes(),
                &key.decoding,
                algorithm,
            )
            .unwrap_or(false)
        })
    }
}

/// A key that verifies tokens.
#[derive(Clone)]
pub struct PublicKey {
    id: String,
    algorithm: &'static str,
    parameters: Value,
    pub(crate) decoding: DecodingKey,
}

/// Before the point of a key in its `SubjectPublicKeyInfo` (RFC 5480), on P-256 and on P-384.
const BEFORE_P256: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const BEFORE_P384: &[u8] = &[
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];
/// `rsaEncryption` with its parameters (RFC 8017, appendix A.1).
const RSA: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

impl PublicKey {
    /// A key of a set (RFC 7517); `None` if tokens cannot be verified with it.
    #[must_use]
    pub fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |field: &str| jwk.get(field).and_then(Value::as_str);
        let bytes = |field: &str| URL_SAFE_NO_PAD.decode(text(field)?).ok();
        let key = match (text("kty")?, text("crv")) {
            ("RSA", _) => Self::rsa(&bytes("n")?, &bytes("e")?),
            ("EC", Some("P-256" | "P-384")) => {
                Self::point(&[&[4][..], &bytes("x")?, &bytes("y")?].concat())?
            }
            _ => return None,
        };
        Some(Self { id: text("kid").unwrap_or_default().to_owned(), ..key })
    }

    /// The keys of a PEM text: public ones, those of certificates, and the public halves of private
    /// ones. Each has the identifier that upstream's API server gives it.
    #[must_use]
    pub fn from_pem(pem: &str) -> Vec<Self> {
        let read = |label: &str, der: &[u8]| match label {
            "PUBLIC KEY" => Self::parsed(&SubjectPublicKeyInfo::from_der(der).ok()?.1),
            "CERTIFICATE" => Self::parsed(X509Certificate::from_der(der).ok()?.1.public_key()),
            "RSA PUBLIC KEY" => {
                let (_, key) = RSAPublicKey::from_der(der).ok()?;
                Some(Self::rsa(key.modulus, key.exponent))
            }
            "RSA PRIVATE KEY" => Some(Self::of_pair(&ring::rsa::KeyPair::from_der(der).ok()?)),
            "PRIVATE KEY" => match ring::rsa::KeyPair::from_pkcs8(der) {
                Ok(pair) => Some(Self::of_pair(&pair)),
                Err(_) => Self::point(rcgen::KeyPair::try_from(der).ok()?.public_key_raw()),
            },
            "EC PRIVATE KEY" => {
                let der = rustls_pki_types::PrivateSec1KeyDer::from(der).into();
                let key = rustls::crypto::ring::sign::any_ecdsa_type(&der).ok()?;
                let public = key.public_key()?;
                Self::parsed(&SubjectPublicKeyInfo::from_der(&public).ok()?.1)
            }
            _ => None,
        };
        blocks(pem).iter().filter_map(|block| read(block.label, &block.contents)).collect()
    }

    fn parsed(info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        match info.parsed().ok()? {
            Parsed::RSA(key) => Some(Self::rsa(key.modulus, key.exponent)),
            Parsed::EC(point) => Self::point(point.data()),
            _ => None,
        }
    }

    fn of_pair(pair: &ring::rsa::KeyPair) -> Self {
        let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public());
        Self::rsa(&public.n, &public.e)
    }

    /// Reads a point as SEC 1, 2.3.3 has it: 0x04, then both coordinates.
    pub(crate) fn point(point: &[u8]) -> Option<Self> {
        let (curve, algorithm, before) = match point.len() {
            65 => ("P-256", "ES256", BEFORE_P256),
            97 => ("P-384", "ES384", BEFORE_P384),
            _ => return None,
        };
        let (4, coordinates) = point.split_first()? else { return None };
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Some(Self {
            id: id_of(&[before, point].concat()),
            algorithm,
            decoding: DecodingKey::from_ec_components(&x, &y).ok()?,
            parameters: json!({"kty": "EC", "crv": curve, "x": x, "y": y}),
        })
    }

    fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let modulus = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
        let exponent = &exponent[exponent.iter().take_while(|byte| **byte == 0).count()..];
        let numbers = [integer(modulus), integer(exponent)].concat();
        let key = [&[0][..], &element(0x30, &numbers)].concat();
        let info = element(0x30, &[RSA, &element(0x03, &key)].concat());
        Self {
            id: id_of(&info),
            algorithm: "RS256",
            decoding: DecodingKey::from_rsa_raw_components(modulus, exponent),
            parameters: json!({
                "kty": "RSA",
                "n": URL_SAFE_NO_PAD.encode(modulus),
                "e": URL_SAFE_NO_PAD.encode(exponent),
            }),
        }
    }

    /// The identifier by which tokens name it; may be empty.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Under another identifier.
    pub(crate) fn named(self, id: String) -> Self {
        Self { id, ..self }
    }

    /// The algorithm that it is published for.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The key as a JSON Web Key.
    #[must_use]
    pub fn to_jwk(&self) -> Value {
        let mut jwk = self.parameters.clone();
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm.into();
        jwk["kid"] = self.id.clone().into();
        jwk
    }
}

/// The identifier that upstream gives a key (`keyIDFromPublicKey`).
fn id_of(info: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, info))
}

/// An element of DER with this tag and content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match content.len() {
        0..0x80 => out.push(content.len() as u8),
        _ => {
            out.push(0x80 | length.len() as u8);
            out.extend(length);
        }
    }
    out.extend(content);
    out
}

/// An unsigned number: another zero goes before a first bit that would be the sign.
fn integer(bytes: &[u8]) -> Vec<u8> {
    match bytes.first() {
        Some(0x80..) => element(0x02, &[&[0], bytes].concat()),
        _ => element(0x02, bytes),
    }
}

#[cfg(test)]
mod tests;

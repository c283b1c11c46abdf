//! Service account tokens (KEP-1205): JSON Web Tokens signed with the cluster's ES256 key.

mod es256;
mod secret;

pub use secret::{SecretClaims, is_of_secret};

use std::path::Path;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::KeyPair;
use ring::digest;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An object a token is bound to; the token dies with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundObject {
    /// Name of the object.
    pub name: String,
    /// Its uid; empty where it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

/// The `kubernetes.io` claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubernetesClaims {
    /// Namespace of the service account.
    pub namespace: String,
    /// The service account.
    pub serviceaccount: BoundObject,
    /// The pod the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<BoundObject>,
    /// The secret the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<BoundObject>,
    /// The node of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<BoundObject>,
}

/// Claims of a service account token. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Audiences the token is good for.
    pub aud: Vec<String>,
    /// End of validity.
    pub exp: i64,
    /// Moment of issue.
    pub iat: i64,
    /// Start of validity.
    pub nbf: i64,
    /// Issuer URL.
    pub iss: String,
    /// Unique token id.
    pub jti: String,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub sub: String,
    /// The objects that the token is bound to.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: KubernetesClaims,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not one of our tokens: another authenticator may know it.
    #[error("not a token of this issuer")]
    Foreign,
    /// Ours, but not valid.
    #[error("{0}")]
    Invalid(String),
}

/// Signs and verifies the cluster's service account tokens.
pub struct Signer {
    issuer: String,
    key_id: String,
    encoding: EncodingKey,
    decoding: DecodingKey,
    jwk: serde_json::Value,
}

impl Signer {
    /// Opens the key kept at `path`, making it on first use.
    pub fn open(path: &Path, issuer: &str) -> Result<Self> {
        es256::install();
        if !path.exists() {
            let key = KeyPair::generate().map_err(|e| Error::Crypto(e.to_string()))?;
            crate::write(path, &key.serialize_pem(), true)?;
        }
        let pem = crate::read(path)?;
        let malformed = |why: String| Error::Malformed { path: path.display().to_string(), why };
        let pair = KeyPair::from_pem(&pem).map_err(|e| malformed(e.to_string()))?;
        // SEC 1, 2.3.3: 0x04, then both coordinates of 32 bytes.
        let point = pair.public_key_raw();
        let [4, coordinates @ ..] = point else { return Err(malformed("not a P-256 key".into())) };
        let (x, y) = coordinates.split_at(coordinates.len() / 2);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key_id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, point));
        Ok(Self {
            issuer: issuer.to_owned(),
            encoding: es256::private(pair.serialized_der()),
            decoding: es256::public(&x, &y).map_err(|e| malformed(e.to_string()))?,
            jwk: serde_json::json!({
                "use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": key_id, "x": x, "y": y,
            }),
            key_id,
        })
    }

    /// The issuer URL in every token.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The JSON Web Key Set served at `/openid/v1/jwks`.
    pub fn jwks(&self) -> serde_json::Value {
        serde_json::json!({"keys": [self.jwk]})
    }

    /// Signs `claims`.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        header.typ = None;
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|e| Error::Crypto(e.to_string()))
    }

    /// Verifies signature, issuer and time. Audiences and bound objects are the caller's to check.
    pub fn verify(&self, token: &str) -> std::result::Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Foreign)?;
        if header.alg != Algorithm::ES256 || header.kid.as_deref() != Some(&self.key_id) {
            return Err(TokenError::Foreign);
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_aud = false;
        validation.validate_nbf = true;
        validation.leeway = 0;
        validation.set_issuer(&[&self.issuer]);
        jsonwebtoken::decode::<Claims>(token, &self.decoding, &validation)
            .map(|data| data.claims)
            .map_err(|e| TokenError::Invalid(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(now: i64, life: i64) -> Claims {
        Claims {
            aud: vec!["api".into()],
            exp: now + life,
            iat: now,
            nbf: now,
            iss: "https://issuer".into(),
            jti: "1".into(),
            sub: "system:serviceaccount:ns:sa".into(),
            kubernetes: KubernetesClaims {
                namespace: "ns".into(),
                serviceaccount: BoundObject { name: "sa".into(), uid: "u".into() },
                pod: None,
                secret: None,
                node: None,
            },
        }
    }

    #[test]
    fn accepts_its_own_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(&dir.path().join("sa.key"), "https://issuer").unwrap();
        let now = jsonwebtoken::get_current_timestamp() as i64;
        let token = signer.sign(&claims(now, 600)).unwrap();
        let again = Signer::open(&dir.path().join("sa.key"), "https://issuer").unwrap();
        assert_eq!(again.verify(&token), Ok(claims(now, 600)));

        let stale = signer.sign(&claims(now - 700, 600)).unwrap();
        assert!(matches!(signer.verify(&stale), Err(TokenError::Invalid(_))));
        let other = Signer::open(&dir.path().join("other.key"), "https://issuer").unwrap();
        assert_eq!(other.verify(&token), Err(TokenError::Foreign));
        assert_eq!(signer.verify("rubbish"), Err(TokenError::Foreign));
        let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        parts[1] = URL_SAFE_NO_PAD.encode(r#"{"sub":"system:admin"}"#);
        assert!(matches!(signer.verify(&parts.join(".")), Err(TokenError::Invalid(_))));
    }
}

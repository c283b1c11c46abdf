//! Service account tokens (KEP-1205): JSON Web Tokens signed with the cluster's ES256 key.

pub(crate) mod provider;
mod secret;

pub use secret::{SecretClaims, is_of_secret};

use std::path::Path;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use rcgen::KeyPair;
use ring::digest;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::jwt::{PublicKey, Unverified};
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
#[derive(Clone)]
pub struct Signer {
    /// The first is in the tokens that it signs.
    issuers: Vec<String>,
    key_id: String,
    encoding: EncodingKey,
    /// Its own first.
    keys: Vec<PublicKey>,
}

impl Signer {
    /// Opens the key kept at `path`, making it on first use.
    pub fn open(path: &Path, issuer: &str) -> Result<Self> {
        provider::install();
        if !path.exists() {
            let key = KeyPair::generate().map_err(|e| Error::Crypto(e.to_string()))?;
            crate::write(path, &key.serialize_pem(), true)?;
        }
        let pem = crate::read(path)?;
        let malformed = |why: String| Error::Malformed { path: path.display().to_string(), why };
        let pair = KeyPair::from_pem(&pem).map_err(|e| malformed(e.to_string()))?;
        let point = pair.public_key_raw();
        let own = PublicKey::point(point).filter(|key| key.algorithm() == "ES256");
        let own = own.ok_or_else(|| malformed("not a P-256 key".into()))?;
        let key_id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, point));
        Ok(Self {
            issuers: vec![issuer.to_owned()],
            encoding: provider::private(pair.serialized_der()),
            keys: vec![own.named(key_id.clone())],
            key_id,
        })
    }

    /// Also verifies with the keys in these PEM files; each must have one.
    ///
    /// # Errors
    /// A file cannot be read or holds no key.
    pub fn also_verify(mut self, files: &[impl AsRef<Path>]) -> Result<Self> {
        for file in files {
            let file = file.as_ref();
            let found = PublicKey::from_pem(&crate::read(file)?);
            if found.is_empty() {
                let why = "data does not contain any valid RSA or ECDSA public keys".to_owned();
                return Err(Error::Malformed { path: file.display().to_string(), why });
            }
            self.keys.extend(found);
        }
        Ok(self)
    }

    /// Accepts the tokens of these issuers; the first is in the tokens that it signs. None leaves
    /// it as it is.
    #[must_use]
    pub fn with_issuers(mut self, issuers: &[String]) -> Self {
        if !issuers.is_empty() {
            self.issuers = issuers.to_vec();
        }
        self
    }

    /// The issuer URL in every token.
    pub fn issuer(&self) -> &str {
        self.issuers.first().map_or("", String::as_str)
    }

    /// All issuers whose tokens it accepts.
    pub fn issuers(&self) -> &[String] {
        &self.issuers
    }

    /// The JSON Web Key Set served at `/openid/v1/jwks`.
    pub fn jwks(&self) -> serde_json::Value {
        let keys: Vec<_> = self.keys.iter().map(PublicKey::to_jwk).collect();
        serde_json::json!({"keys": keys})
    }

    /// The algorithms of its keys, sorted.
    pub fn algorithms(&self) -> Vec<&'static str> {
        let mut all: Vec<_> = self.keys.iter().map(PublicKey::algorithm).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Signs `claims`.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        self.sign_any(claims)
    }

    fn sign_any(&self, claims: &impl Serialize) -> Result<String> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        header.typ = None;
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .map_err(|e| Error::Crypto(e.to_string()))
    }

    /// Verifies signature, issuer and time. Audiences and bound objects are the caller's to check.
    pub fn verify(&self, token: &str) -> std::result::Result<Claims, TokenError> {
        self.verify_any(token, |algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.validate_aud = false;
            validation.validate_nbf = true;
            validation.leeway = 0;
            validation.set_issuer(&self.issuers);
            validation
        })
    }

    /// Verifies a token with the key that it names, or with any if it names none.
    fn verify_any<T: DeserializeOwned + Clone>(
        &self,
        token: &str,
        validation: impl Fn(Algorithm) -> Validation,
    ) -> std::result::Result<T, TokenError> {
        let parsed = Unverified::parse(token).map_err(|_| TokenError::Foreign)?;
        let algorithm = parsed.algorithm.parse().map_err(|_| TokenError::Foreign)?;
        let named = |key: &&PublicKey| parsed.key_id.is_empty() || key.id() == parsed.key_id;
        let mut failure = TokenError::Foreign;
        for key in self.keys.iter().filter(named) {
            match jsonwebtoken::decode::<T>(token, &key.decoding, &validation(algorithm)) {
                Ok(data) => return Ok(data.claims),
                Err(why) => failure = TokenError::Invalid(why.to_string()),
            }
        }
        Err(failure)
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

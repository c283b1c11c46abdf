//! Tokens that Secrets hold: they are good until their Secret or account is gone, and name no time.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::Validation;
use serde::{Deserialize, Serialize};

use super::{Signer, TokenError};
use crate::Result;

/// Their issuer, whatever the cluster's is (upstream's `LegacyIssuer`).
const ISSUER: &str = "kubernetes/serviceaccount";

/// Claims of a token that a Secret holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretClaims {
    iss: String,
    /// `system:serviceaccount:<namespace>:<name>`.
    pub sub: String,
    /// Namespace of the account and the Secret.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The Secret.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// The account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    /// The account's uid.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub account_uid: String,
}

impl SecretClaims {
    /// The claims of an account's token in a Secret of its namespace.
    pub fn new(namespace: &str, secret: &str, account: &str, account_uid: &str) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{account}"),
            namespace: namespace.to_owned(),
            secret: secret.to_owned(),
            account: account.to_owned(),
            account_uid: account_uid.to_owned(),
        }
    }

    /// Returns true if the subject is the account that the other claims name.
    fn is_consistent(&self) -> bool {
        let named = [&self.namespace, &self.secret, &self.account, &self.account_uid];
        let subject = format!("system:serviceaccount:{}:{}", self.namespace, self.account);
        named.iter().all(|text| !text.is_empty()) && self.sub == subject
    }
}

/// Returns true if a token claims to be one of these; its signature is not checked.
pub fn is_of_secret(token: &str) -> bool {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    claims
        .and_then(|claims| serde_json::from_slice::<Issuer>(&claims).ok())
        .is_some_and(|claims| claims.iss == ISSUER)
}

impl Signer {
    /// Signs the token of a Secret.
    pub fn sign_secret(&self, claims: &SecretClaims) -> Result<String> {
        self.sign_any(claims)
    }

    /// Verifies the signature of a Secret's token. That Secret and account exist is the caller's to
    /// check.
    pub fn verify_secret(&self, token: &str) -> std::result::Result<SecretClaims, TokenError> {
        let claims: SecretClaims = self.verify_any(token, |algorithm| {
            let mut validation = Validation::new(algorithm);
            validation.validate_aud = false;
            validation.validate_exp = false;
            validation.required_spec_claims.clear();
            validation.set_issuer(&[ISSUER]);
            validation
        })?;
        match claims.is_consistent() {
            true => Ok(claims),
            false => Err(TokenError::Invalid("sub claim is invalid".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_a_secret_is_told_apart_and_verified() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(&dir.path().join("sa.key"), "https://issuer").unwrap();
        let claims = SecretClaims::new("ns", "s", "sa", "u");
        let token = signer.sign_secret(&claims).unwrap();
        assert!(is_of_secret(&token) && !is_of_secret("a.b.c"));
        assert_eq!(signer.verify_secret(&token), Ok(claims.clone()));
        assert!(signer.verify(&token).is_err(), "it is no bound token");
        let lie = SecretClaims { sub: "system:serviceaccount:ns:other".into(), ..claims };
        let token = signer.sign_secret(&lie).unwrap();
        assert!(signer.verify_secret(&token).is_err());
        let other = Signer::open(&dir.path().join("other.key"), "https://issuer").unwrap();
        assert_eq!(other.verify_secret(&token), Err(TokenError::Foreign));
    }
}

//! Signatures of JSON Web Tokens (RFC 7518, section 3) by `ring`, which TLS uses anyway: the
//! algorithms that `jsonwebtoken` could bring itself are forty crates.
//!
//! It signs by ES256 and verifies what is asymmetric, but for ES512 and EdDSA: `ring` does not know
//! the curve P-521, and upstream takes no EdDSA.

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaParameters, UnparsedPublicKey, VerificationAlgorithm,
};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        if *algorithm != Algorithm::ES256 {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        check(key.family(), AlgorithmFamily::Ec)?;
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes(), &random);
        let pair = pair.map_err(|_| ErrorKind::InvalidEcdsaKey)?;
        Ok(Box::new(Es256Signer { pair, random }))
    },
    verifier_factory: |algorithm, key| {
        let (wanted, known) = known(*algorithm).ok_or(ErrorKind::InvalidAlgorithm)?;
        check(key.family(), wanted)?;
        Ok(Box::new(Known { algorithm: *algorithm, known, key: key.clone() }))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` sign and verify with it. The first call in a process counts.
pub(crate) fn install() {
    // Somebody else's, if there is one, serves as well.
    let _ = PROVIDER.install_default();
}

fn check(family: AlgorithmFamily, wanted: AlgorithmFamily) -> Result<()> {
    if family == wanted { Ok(()) } else { Err(ErrorKind::InvalidKeyFormat.into()) }
}

/// How `ring` verifies an algorithm.
#[derive(Clone, Copy)]
enum How {
    Point(&'static dyn VerificationAlgorithm),
    Rsa(&'static RsaParameters),
}

fn known(algorithm: Algorithm) -> Option<(AlgorithmFamily, How)> {
    let rsa = |parameters| Some((AlgorithmFamily::Rsa, How::Rsa(parameters)));
    match algorithm {
        Algorithm::ES256 => Some((AlgorithmFamily::Ec, How::Point(&ECDSA_P256_SHA256_FIXED))),
        Algorithm::ES384 => Some((AlgorithmFamily::Ec, How::Point(&ECDSA_P384_SHA384_FIXED))),
        Algorithm::RS256 => rsa(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&RSA_PSS_2048_8192_SHA512),
        // Everything with a shared secret among them.
        _ => None,
    }
}

struct Es256Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl Signer<Vec<u8>> for Es256Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let signature = self.pair.sign(&self.random, message).map_err(|_| Error::new())?;
        Ok(signature.as_ref().to_vec())
    }
}

impl JwtSigner for Es256Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::ES256
    }
}

struct Known {
    algorithm: Algorithm,
    known: How,
    key: DecodingKey,
}

impl Verifier<Vec<u8>> for Known {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match (self.known, self.key.kind()) {
            (How::Point(how), DecodingKeyKind::SecretOrDer(point)) => {
                UnparsedPublicKey::new(how, point).verify(message, signature)
            }
            (How::Rsa(how), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                PublicKeyComponents { n, e }.verify(how, message, signature)
            }
            _ => return Err(Error::new()),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Known {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The private key of a PKCS #8 document.
pub(crate) fn private(pkcs8: &[u8]) -> EncodingKey {
    EncodingKey::from_ec_der(pkcs8)
}

use super::*;

/// A P-384 key as `openssl ecparam` writes it, and an RSA key of 2048 bits, made for this test.
const P384: &str = include_str!("p384.pem");
const RSA_2048: &str = include_str!("rsa.pem");

fn token(header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(b"{}"));
    format!("{message}.{}", encode(&sign(message.as_bytes())))
}

fn rsa_token(header: &Value, padding: &'static dyn ring::signature::RsaEncoding) -> String {
    let der = &blocks(RSA_2048)[0].contents;
    let pair = ring::rsa::KeyPair::from_pkcs8(der).unwrap();
    token(header, |message| {
        let mut signature = vec![0; pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        pair.sign(padding, &random, message, &mut signature).unwrap();
        signature
    })
}

#[test]
fn keys_are_read_from_pem_and_from_their_json() {
    for (pem, algorithm) in [(P384, "ES384"), (RSA_2048, "RS256")] {
        let [key] = &PublicKey::from_pem(pem)[..] else { panic!("one key: {algorithm}") };
        assert_eq!(key.algorithm(), algorithm);
        let again = PublicKey::from_jwk(&key.to_jwk()).unwrap();
        assert_eq!(again.to_jwk(), key.to_jwk());
    }
    // `openssl pkey -pubout -outform der | openssl dgst -sha256 -binary | basenc --base64url`.
    assert_eq!(PublicKey::from_pem(RSA_2048)[0].id(), include_str!("rsa.id").trim());
    assert!(PublicKey::from_pem("nothing").is_empty());
    for jwk in [
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        json!([]),
    ] {
        assert!(PublicKey::from_jwk(&jwk).is_none(), "{jwk}");
    }
}

#[test]
fn a_signature_is_of_one_key_and_one_algorithm() {
    use ring::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA512};
    let key = &PublicKey::from_pem(RSA_2048)[0];
    let other = &PublicKey::from_pem(P384)[0];
    let good = rsa_token(&json!({"alg": "RS256", "kid": "a"}), &RSA_PKCS1_SHA256);
    let parsed = Unverified::parse(&good).unwrap();
    assert_eq!((parsed.key_id.as_str(), &parsed.payload[..]), ("a", &b"{}"[..]));
    assert!(parsed.is_signed_by(key) && !parsed.is_signed_by(other));
    let good = rsa_token(&json!({"alg": "PS512"}), &RSA_PSS_SHA512);
    assert!(Unverified::parse(&good).unwrap().is_signed_by(key));

    // The public key as a shared secret, no signature at all, and another padding.
    let modulus = URL_SAFE_NO_PAD.decode(key.to_jwk()["n"].as_str().unwrap()).unwrap();
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &modulus);
    let forged = token(&json!({"alg": "HS256"}), |m| ring::hmac::sign(&secret, m).as_ref().into());
    let none = token(&json!({"alg": "none"}), |_| Vec::new());
    let padded = rsa_token(&json!({"alg": "PS256"}), &RSA_PKCS1_SHA256);
    for bad in [forged, none, padded] {
        assert!(!Unverified::parse(&bad).unwrap().is_signed_by(key), "{bad}");
    }
    let critical = rsa_token(&json!({"alg": "RS256", "crit": ["b64"]}), &RSA_PKCS1_SHA256);
    for bad in ["", "a", "a.b", "a.b.c", "e30.e30.e30.e30", &critical] {
        assert!(Unverified::parse(bad).is_err(), "{bad}");
    }
}

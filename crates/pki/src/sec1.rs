//! EC private keys in the form that clients in Java know (SEC 1, RFC 5915).

use base64::{Engine, engine::general_purpose::STANDARD};

/// `namedCurve` secp256r1, explicitly tagged 0.
const PARAMETERS: &[u8] = &[0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The bytes before the 32 of the key in a `PrivateKeyInfo` of that curve: the version of the
/// `ECPrivateKey` within, and the head of the octet string.
const BEFORE_KEY: &[u8] = &[0x02, 0x01, 0x01, 0x04, 0x20];
const KEY: usize = 32;
const LABEL: &str = "EC PRIVATE KEY";

/// A P-256 key in PKCS #8 (`PRIVATE KEY`) as SEC 1 (`EC PRIVATE KEY`); any other text as it is.
pub(crate) fn from_pkcs8(pem: &str) -> String {
    convert(pem).unwrap_or_else(|| pem.to_owned())
}

fn convert(pem: &str) -> Option<String> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    if block.label != "PRIVATE KEY" {
        return None;
    }
    let der = &block.contents;
    // The algorithm is named before the key, with the same bytes as in the parameters.
    let curve = &PARAMETERS[2..];
    let at = der.windows(BEFORE_KEY.len()).position(|bytes| bytes == BEFORE_KEY)?;
    if !der[..at].windows(curve.len()).any(|bytes| bytes == curve) {
        return None;
    }
    let key = at + BEFORE_KEY.len();
    let (key, public) = der.get(key..)?.split_at_checked(KEY)?;
    // The public key follows, explicitly tagged 1; it may be left out.
    let public = if public.first() == Some(&0xa1) { public } else { &[] };
    let body = [BEFORE_KEY, key, PARAMETERS, public].concat();
    let length = u8::try_from(body.len()).ok().filter(|length| *length < 0x80)?;
    let base64 = STANDARD.encode([&[0x30, length], &body[..]].concat());
    let lines = base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines: Vec<String> = lines.collect();
    Some(format!("-----BEGIN {LABEL}-----\n{}\n-----END {LABEL}-----\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls_pki_types::PrivateKeyDer;
    use rustls_pki_types::pem::PemObject;

    #[test]
    fn the_key_stays_the_same() {
        let pair = rcgen::KeyPair::generate().unwrap();
        let sec1 = from_pkcs8(&pair.serialize_pem());
        assert!(sec1.starts_with("-----BEGIN EC PRIVATE KEY-----\n"), "{sec1}");
        let key = PrivateKeyDer::from_pem_slice(sec1.as_bytes()).unwrap();
        assert!(matches!(key, PrivateKeyDer::Sec1(_)));
        let signing = rustls::crypto::ring::sign::any_ecdsa_type(&key).unwrap();
        let public = signing.public_key().unwrap();
        assert!(public.ends_with(pair.public_key_raw()), "another key");
        assert_eq!(from_pkcs8(&sec1), sec1);
    }
}

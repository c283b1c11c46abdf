//! The ciphers of values: bytes as upstream stores them, nonce first.

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use aes_gcm::aead::consts::U12;
use aes_gcm::aead::{Aead, KeyInit, Payload};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit, StreamCipher};
use poly1305::Poly1305;
use salsa20::XSalsa20;
use sha2::Sha256;
use zeroize::Zeroizing;

/// Bytes of an AES block, and of the initialization vector of CBC.
const BLOCK: usize = 16;
const GCM_NONCE: usize = 12;
const SECRETBOX_NONCE: usize = 24;
const TAG: usize = 16;
/// Bytes from which a key is derived for each value, which stand before it.
const INFO: usize = 32;
/// Bytes of a seed of which keys are derived.
pub(super) const SEED: usize = 32;

/// Why bytes are not the value that a key has sealed, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CipherError {
    #[error("the stored data was shorter than the required size")]
    Short,
    #[error("the stored data is not a multiple of the block size")]
    Blocks,
    #[error("invalid padding on input")]
    Padding,
    #[error("cipher: message authentication failed")]
    Gcm,
    #[error("output array was not large enough for encryption")]
    Secretbox,
    #[error("invalid seed length {0} used for key generation")]
    Seed(usize),
    #[error("crypto/aes: invalid key size {0}")]
    Key(usize),
}

/// How a key seals values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// AES-GCM, which binds a value to its place.
    Gcm,
    /// AES-CBC, which neither binds nor authenticates.
    Cbc,
    /// XSalsa20 and Poly1305, which authenticate but do not bind.
    Secretbox,
    /// AES-GCM under a key for each value, derived of a seed.
    Derived,
}

/// A key that seals and opens values. It is erased when it is dropped, and not shown.
pub(super) struct Sealer {
    form: Form,
    key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sealer").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Sealer {
    /// A key of a size that the form has.
    ///
    /// # Errors
    /// It has another.
    pub(super) fn new(form: Form, key: Zeroizing<Vec<u8>>) -> Result<Self, CipherError> {
        match (form, key.len()) {
            (Form::Gcm | Form::Cbc, 16 | 24 | 32) | (Form::Secretbox, 32) => {}
            (Form::Derived, SEED..) => {}
            (Form::Derived, len) => return Err(CipherError::Seed(len)),
            (_, len) => return Err(CipherError::Key(len)),
        }
        Ok(Self { form, key })
    }

    /// The bytes of the key, for its fingerprint.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Seals a value for a place.
    ///
    /// # Errors
    /// It is longer than any stored value.
    pub(super) fn seal(&self, value: &[u8], place: &[u8]) -> Result<Vec<u8>, CipherError> {
        match self.form {
            Form::Gcm => gcm_seal(&self.key, value, place, Vec::new()),
            Form::Cbc => {
                let iv: [u8; BLOCK] = rand::random();
                let mut sealed = iv.to_vec();
                sealed.extend(cbc_seal(&self.key, &iv, value)?);
                Ok(sealed)
            }
            Form::Secretbox => secretbox_seal(&self.key, value),
            Form::Derived => {
                let info: [u8; INFO] = rand::random();
                gcm_seal(&*derived(&self.key, &info)?, value, place, info.to_vec())
            }
        }
    }

    /// The value that was sealed for a place.
    ///
    /// # Errors
    /// The bytes are not from [`Sealer::seal`], or for another place.
    pub(super) fn open(&self, sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, CipherError> {
        match self.form {
            Form::Gcm => gcm_open(&self.key, sealed, place),
            Form::Cbc => {
                let (iv, rest) = sealed.split_first_chunk::<BLOCK>().ok_or(CipherError::Short)?;
                if rest.len() % BLOCK != 0 {
                    return Err(CipherError::Blocks);
                }
                cbc_open(&self.key, iv, rest)
            }
            Form::Secretbox => secretbox_open(&self.key, sealed),
            Form::Derived => {
                let (info, rest) = sealed.split_first_chunk::<INFO>().ok_or(CipherError::Short)?;
                gcm_open(&*derived(&self.key, info)?, rest, place)
            }
        }
    }
}

/// The key that a seed and the bytes before a value make.
fn derived(seed: &[u8], info: &[u8; INFO]) -> Result<Zeroizing<[u8; 32]>, CipherError> {
    let kdf = hkdf::Hkdf::<Sha256>::from_prk(seed);
    let kdf = kdf.map_err(|_| CipherError::Seed(seed.len()))?;
    let mut key = Zeroizing::new([0; 32]);
    kdf.expand(info, &mut *key).map_err(|_| CipherError::Key(key.len()))?;
    Ok(key)
}

/// Does the same with AES of whatever size the key has.
macro_rules! by_size {
    ($key:expr, $aes:ident => $does:expr) => {
        match $key.len() {
            16 => {
                type $aes = Aes128;
                $does
            }
            24 => {
                type $aes = Aes192;
                $does
            }
            32 => {
                type $aes = Aes256;
                $does
            }
            len => Err(CipherError::Key(len)),
        }
    };
}

fn gcm_seal(
    key: &[u8],
    value: &[u8],
    place: &[u8],
    mut before: Vec<u8>,
) -> Result<Vec<u8>, CipherError> {
    let nonce: [u8; GCM_NONCE] = rand::random();
    let what = Payload { msg: value, aad: place };
    let sealed = by_size!(key, Aes => {
        let cipher = AesGcm::<Aes, U12>::new_from_slice(key);
        let cipher = cipher.map_err(|_| CipherError::Key(key.len()))?;
        cipher.encrypt(&nonce.into(), what).map_err(|_| CipherError::Gcm)
    })?;
    before.reserve(nonce.len() + sealed.len());
    before.extend_from_slice(&nonce);
    before.extend_from_slice(&sealed);
    Ok(before)
}

fn gcm_open(key: &[u8], sealed: &[u8], place: &[u8]) -> Result<Vec<u8>, CipherError> {
    let (nonce, rest) = sealed.split_first_chunk::<GCM_NONCE>().ok_or(CipherError::Short)?;
    let what = Payload { msg: rest, aad: place };
    by_size!(key, Aes => {
        let cipher = AesGcm::<Aes, U12>::new_from_slice(key);
        let cipher = cipher.map_err(|_| CipherError::Key(key.len()))?;
        cipher.decrypt(&(*nonce).into(), what).map_err(|_| CipherError::Gcm)
    })
}

fn cbc_seal(key: &[u8], iv: &[u8; BLOCK], value: &[u8]) -> Result<Vec<u8>, CipherError> {
    by_size!(key, Aes => {
        let cipher = cbc::Encryptor::<Aes>::new_from_slices(key, iv);
        let cipher = cipher.map_err(|_| CipherError::Key(key.len()))?;
        Ok(cipher.encrypt_padded_vec::<Pkcs7>(value))
    })
}

fn cbc_open(key: &[u8], iv: &[u8; BLOCK], sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
    by_size!(key, Aes => {
        let cipher = cbc::Decryptor::<Aes>::new_from_slices(key, iv);
        let cipher = cipher.map_err(|_| CipherError::Key(key.len()))?;
        cipher.decrypt_padded_vec::<Pkcs7>(sealed).map_err(|_| CipherError::Padding)
    })
}

/// NaCl's secretbox: the first bytes of the stream are the key of the tag, which stands before the
/// rest.
fn secretbox(
    key: &[u8],
    nonce: &[u8; SECRETBOX_NONCE],
) -> Result<(XSalsa20, Poly1305), CipherError> {
    let stream = XSalsa20::new_from_slices(key, nonce);
    let mut stream = stream.map_err(|_| CipherError::Key(key.len()))?;
    let mut first = Zeroizing::new([0; 32]);
    stream.apply_keystream(&mut *first);
    let tag = Poly1305::new_from_slice(&*first).map_err(|_| CipherError::Key(first.len()))?;
    Ok((stream, tag))
}

fn secretbox_seal(key: &[u8], value: &[u8]) -> Result<Vec<u8>, CipherError> {
    let nonce: [u8; SECRETBOX_NONCE] = rand::random();
    sealed_with(key, &nonce, value)
}

fn sealed_with(
    key: &[u8],
    nonce: &[u8; SECRETBOX_NONCE],
    value: &[u8],
) -> Result<Vec<u8>, CipherError> {
    let (mut stream, tag) = secretbox(key, nonce)?;
    let mut hidden = value.to_vec();
    stream.apply_keystream(&mut hidden);
    let tag = tag.compute_unpadded(&hidden);
    Ok([&nonce[..], &tag[..], &hidden[..]].concat())
}

fn secretbox_open(key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
    let (nonce, rest) = sealed.split_first_chunk::<SECRETBOX_NONCE>().ok_or(CipherError::Short)?;
    let (tag, hidden) = rest.split_first_chunk::<TAG>().ok_or(CipherError::Short)?;
    let (mut stream, expected) = secretbox(key, nonce)?;
    let expected = expected.compute_unpadded(hidden);
    // In the same time wherever they differ.
    let differ = expected.iter().zip(tag).fold(0, |differ, (a, b)| differ | (a ^ b));
    if std::hint::black_box(differ) != 0 {
        return Err(CipherError::Secretbox);
    }
    let mut value = hidden.to_vec();
    stream.apply_keystream(&mut value);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(form: Form, len: usize) -> Sealer {
        Sealer::new(form, Zeroizing::new((0..len).map(|i| i as u8).collect())).unwrap()
    }

    const ALL: [(Form, usize); 8] = [
        (Form::Gcm, 16),
        (Form::Gcm, 24),
        (Form::Gcm, 32),
        (Form::Cbc, 16),
        (Form::Cbc, 24),
        (Form::Cbc, 32),
        (Form::Secretbox, 32),
        (Form::Derived, 32),
    ];

    #[test]
    fn what_is_sealed_is_opened() {
        for (form, len) in ALL {
            let sealer = sealer(form, len);
            for value in [&b""[..], b"x", b"sixteen bytes :)", &[7; 1000]] {
                let sealed = sealer.seal(value, b"/registry/a").unwrap();
                assert_ne!(sealed, sealer.seal(value, b"/registry/a").unwrap(), "{form:?}");
                assert_eq!(sealer.open(&sealed, b"/registry/a").unwrap(), value, "{form:?}");
            }
        }
    }

    #[test]
    fn what_was_changed_or_moved_is_refused() {
        for (form, len) in ALL {
            let sealer = sealer(form, len);
            let value = b"the password of everything";
            let sealed = sealer.seal(value, b"/registry/a").unwrap();
            let moved = sealer.open(&sealed, b"/registry/b");
            // Neither the secretbox nor CBC knows the place: whoever opens them compares names.
            let binds = matches!(form, Form::Gcm | Form::Derived);
            assert_eq!(moved.is_err(), binds, "{form:?}");
            for cut in 0..sealed.len() {
                let opened = sealer.open(&sealed[..cut], b"/registry/a");
                assert!(opened.is_err() || form == Form::Cbc, "{form:?} {cut}");
                assert_ne!(opened.as_deref().ok(), Some(&value[..]), "{form:?} {cut}");
            }
            for at in 0..sealed.len() {
                let mut other = sealed.clone();
                other[at] ^= 1;
                let opened = sealer.open(&other, b"/registry/a");
                assert!(opened.is_err() || form == Form::Cbc, "{form:?} {at}");
                assert_ne!(opened.as_deref().ok(), Some(&value[..]), "{form:?} {at}");
            }
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        for (form, len) in ALL {
            assert_eq!(
                format!("{:?}", sealer(form, len)),
                format!("Sealer {{ form: {form:?}, .. }}")
            );
        }
        let short = Sealer::new(Form::Gcm, Zeroizing::new(vec![0; 5])).map(drop);
        assert_eq!(short, Err(CipherError::Key(5)));
    }

    /// The example of NaCl's own tests (`secretbox.c`).
    #[test]
    fn the_secretbox_is_that_of_nacl() {
        let key = hex::decode("1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389");
        let nonce = hex::decode("69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37");
        let message = hex::decode(concat!(
            "be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffc",
            "e5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb31",
            "0e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde",
            "048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f93776384864",
            "5e0705"
        ));
        let (key, nonce, message) = (key.unwrap(), nonce.unwrap(), message.unwrap());
        let sealed = sealed_with(&key, nonce.as_slice().try_into().unwrap(), &message).unwrap();
        let expected = concat!(
            "f3ffc7703f9400e52a7dfb4b3d3305d9",
            "8e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186a",
            "c0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738",
            "b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da",
            "99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74",
            "e355a5"
        );
        assert_eq!(hex::encode(&sealed[24..]), expected);
        assert_eq!(secretbox_open(&key, &sealed).unwrap(), message);
    }

    /// Values from upstream's transformers, of Kubernetes v1.37.2.
    #[test]
    fn what_upstream_has_sealed_is_opened() {
        for (form, len, sealed) in [
            (
                Form::Gcm,
                16,
                concat!(
                    "ad60c5b4938c2f8b23e2a3cbe28e444deef22d9907f9805db16d803593a35e61eeac457f9ee0",
                    "a8230ef64d7e3f",
                ),
            ),
            (
                Form::Cbc,
                16,
                concat!(
                    "1df3ac1897684d9ffdc2d83f4aba52611a3fb9e01ba003c1c6d64bb2ea72a840042b6d591d92",
                    "09e41cd66610f5ac3ece",
                ),
            ),
            (
                Form::Gcm,
                24,
                concat!(
                    "8cf7c909fa4751b79a0eb7bd6404fa42b039c30cb3b03d64ad59db08592de060b4eec729edfc",
                    "0e01bb3c6cc17b",
                ),
            ),
            (
                Form::Cbc,
                24,
                concat!(
                    "5b4b8886b005280b72463e642af614d636c7f6f3913842f93a5356c1694e6f9b1acd23ae4f70",
                    "3af82a1ad25ba43166aa",
                ),
            ),
            (
                Form::Gcm,
                32,
                concat!(
                    "eda95c7b2e7d5128bd047b2a5c0defe44587089f1c6e5c0fca98073aa4ed9f8295afe4a6b4a6",
                    "43d3bf3aa372a4",
                ),
            ),
            (
                Form::Cbc,
                32,
                concat!(
                    "7f94254d16a91e706a8f4fc2caa310617436bddb02aa8dad420e45e9da792e0259a582b24ce1",
                    "449ad3e6d6d85f6c4451",
                ),
            ),
            (
                Form::Secretbox,
                32,
                concat!(
                    "92bb0705e5089ca5edd5e887e5f39193933fb366ffb58ff66e67a8132e4e12961d3d1a1d2669",
                    "c2a82cfb4e026c8919fddcfa8cd83cdce2e022",
                ),
            ),
            (
                Form::Derived,
                32,
                concat!(
                    "33eba65ddcf1701b1e9a21ee8aa2a694fdb4cf865357835012bbbd92c3fe2327aa6276ae6bcf",
                    "d0d41fc4a3b9eded298141124d008ab1a9ff8222dddcd4127bb2b446b5d181303882e0fd4d63",
                    "f7",
                ),
            ),
        ] {
            let sealed = hex::decode(sealed).unwrap();
            let opened = sealer(form, len).open(&sealed, b"/registry/core/secrets/default/one");
            assert_eq!(opened.unwrap(), br#"{"kind":"Secret"}"#, "{form:?} {len}");
        }
    }
}

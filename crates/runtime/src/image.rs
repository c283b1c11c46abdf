//! Images: content and names on disk, unpacked layers, pulling, importing, building.

mod archive;
mod builder;
mod layer;
mod model;
mod pull;
mod store;

pub use builder::{ImageFile, ImageSpec, build_image_tar};
pub use pull::RegistryConfig;

pub(crate) use archive::directory_usage;
pub(crate) use pull::Puller;
pub(crate) use store::{ImageRecord, ImageStore};

use std::io;

use sha2::{Digest, Sha256};

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// `sha256:` and the hash in hexadecimal.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

/// A reader that hashes what passes.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
    length: u64,
}

impl<R: io::Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), length: 0 }
    }

    fn digest(self) -> String {
        format!("sha256:{}", hex(&self.hash.finalize()))
    }
}

impl<R: io::Read> io::Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hash.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}

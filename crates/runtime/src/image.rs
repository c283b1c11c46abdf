//! Images: content and names on disk, unpacked layers, pulling, importing, building.

mod archive;
mod builder;
mod layer;
mod manifest;
mod merged;
mod model;
mod pull;
mod store;
mod token;

pub use builder::{Contents, ImageFile, ImageSpec, build_image_tar};
pub use pull::RegistryConfig;

pub(crate) use archive::directory_usage;
pub(crate) use pull::Puller;
pub(crate) use store::{ImageRecord, ImageStore};

use std::io;

use sha2::{Digest, Sha256};

/// The repository that an image name means, with its registry and without tag and digest: that of
/// `busybox:1` is `docker.io/library/busybox`.
///
/// # Errors
/// It is no image name.
pub fn repository_of(name: &str) -> Result<String, crate::PullError> {
    let reference = store::parse(name)?;
    Ok(format!("{}/{}", reference.registry(), reference.repository()))
}

/// An image name with everything that it leaves out: `busybox` is
/// `docker.io/library/busybox:latest`.
///
/// # Errors
/// It is no image name.
pub fn full_image_name(name: &str) -> Result<String, crate::PullError> {
    Ok(store::parse(name)?.whole())
}

/// `sha256:` and the hash in hexadecimal.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    digest_text(Sha256::new_with_prefix(bytes))
}

fn digest_text(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// The tar reader's error about damage, without the bytes that it quotes: they may be the content of
/// any file that was given as an archive.
fn damaged(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            io::Error::new(io::ErrorKind::InvalidData, "not a tar archive, or a damaged one")
        }
        _ => error,
    }
}

/// A reader or writer that hashes what passes.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
    length: u64,
}

impl<T> Hashing<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), length: 0 }
    }

    fn digest(self) -> String {
        digest_text(self.hash)
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

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hash.update(&bytes[..length]);
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

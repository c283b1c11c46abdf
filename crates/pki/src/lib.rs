//! Keys and certificates of a cluster: the authority, what it signs, kubeconfig files and tokens.

mod authority;
mod blocks;
pub mod jwt;
pub mod kubeconfig;
pub mod pem;
pub mod pods;
mod proof;
mod requests;
mod sec1;
pub mod tls;
mod token;

pub use authority::{Authority, ClientCertificate, Identity, Issued, Subject, Usage, self_signed};
pub use requests::Request;
pub use token::{
    BoundObject, Claims, KubernetesClaims, SecretClaims, Signer, TokenError, is_of_secret,
};

/// Why key material could not be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file concerned.
        path: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file holds no usable key or certificate.
    #[error("{path}: {why}")]
    Malformed {
        /// The file concerned.
        path: String,
        /// The reason.
        why: String,
    },
    /// The certificate's time has passed.
    #[error("certificate {path} expired at {at}; remove it to have a new one issued")]
    Expired {
        /// The file concerned.
        path: String,
        /// End of validity.
        at: String,
    },
    /// The machine's clock stands before the certificate's first moment.
    #[error("certificate {path} is not valid before {at}: the clock of this machine is behind")]
    NotYetValid {
        /// The file concerned.
        path: String,
        /// Start of validity.
        at: String,
    },
    /// Signing or parsing failed.
    #[error("{0}")]
    Crypto(String),
}

/// Result of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

fn read(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|source| Error::Io { path: path.display().to_string(), source })
}

/// Writes a file that only its owner may read, if it is secret.
fn write(path: &std::path::Path, text: &str, secret: bool) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let io = |source| Error::Io { path: path.display().to_string(), source };
    let tmp = path.with_extension("tmp");
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(if secret { 0o600 } else { 0o644 })
        .open(&tmp)
        .map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::rename(&tmp, path).map_err(io)
}

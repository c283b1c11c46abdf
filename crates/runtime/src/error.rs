//! The one error type of the runtime.

/// The errors of a runtime's calls.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No sandbox, container or image has that id or name.
    #[error("{0} not found")]
    NotFound(String),
    /// A sandbox or container with the same metadata exists.
    #[error("{0} already exists")]
    AlreadyExists(String),
    /// The configuration cannot be obeyed; the message says which part.
    #[error("{0}")]
    InvalidArgument(String),
    /// The call does not fit the state of its object, such as exec in an exited container.
    #[error("{0}")]
    FailedPrecondition(String),
    /// A registry did not give the image.
    #[error("{0}")]
    ImagePull(#[from] PullError),
    /// The container was created but its process could not be started.
    #[error("{message}")]
    Start {
        /// The error of the kernel or of the lookup in the image.
        message: String,
        /// The exit code that stands for it: 127 not found, 126 not executable, 128 otherwise.
        exit_code: i32,
    },
    /// A deadline passed.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// The runtime cannot serve now.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else: an I/O error, a kernel refusal.
    #[error("{0}")]
    Internal(String),
}

/// Why a pull failed; the kubelet words its waiting reason after the kind.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PullError {
    /// The reference does not parse.
    #[error("couldn't parse image name {reference:?}: {message}")]
    InvalidName {
        /// The reference as it was given.
        reference: String,
        /// The parser's complaint.
        message: String,
    },
    /// The registry knows no such repository or tag.
    #[error("failed to resolve reference {reference:?}: {reference}: not found")]
    NotFound {
        /// The normalised reference.
        reference: String,
    },
    /// The registry refused the credentials, or wants some.
    #[error("failed to resolve reference {reference:?}: {message}")]
    Unauthorized {
        /// The normalised reference.
        reference: String,
        /// The registry's message.
        message: String,
    },
    /// The registry did not answer.
    #[error("failed to pull image {reference:?}: {message}")]
    RegistryUnavailable {
        /// The normalised reference.
        reference: String,
        /// The connection error.
        message: String,
    },
    /// The image came but is not usable: wrong digest, unknown media type, no matching platform.
    #[error("failed to pull and unpack image {reference:?}: {message}")]
    Failed {
        /// The normalised reference.
        reference: String,
        /// The cause.
        message: String,
    },
}

/// Result of a runtime call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn internal(context: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Internal(format!("{context}: {error}"))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Internal(error.to_string())
    }
}

impl From<nix::Error> for Error {
    fn from(error: nix::Error) -> Self {
        Self::Internal(error.desc().to_owned())
    }
}

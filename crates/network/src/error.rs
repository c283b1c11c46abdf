//! The one error type of the crate.

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a netlink request.
    #[error("{what}: {source}")]
    Kernel {
        /// The request.
        what: String,
        /// The error code the kernel sent.
        source: std::io::Error,
    },
    /// A file or socket operation failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// Its error.
        source: std::io::Error,
    },
    /// The address range has no free address left.
    #[error("no IP addresses available in range {0}")]
    Exhausted(ipnet::IpNet),
    /// Anything else, such as a configuration that cannot be obeyed.
    #[error("{0}")]
    Invalid(String),
}

/// Result of a network operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// The error number, where the kernel gave one.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Kernel { source, .. } | Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Names the kernel feature that is missing, where that is why the kernel refused.
    #[must_use]
    pub(crate) fn lacking(self, feature: &str) -> Self {
        match self.errno() {
            Some(
                libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOPROTOOPT,
            ) => Self::Invalid(format!("this kernel lacks {feature} ({self})")),
            _ => self,
        }
    }

    /// Returns true if the object does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.errno(),
            Some(libc::ENOENT | libc::ENODEV | libc::ESRCH | libc::EADDRNOTAVAIL)
        )
    }

    /// Returns true if the object exists already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(libc::EEXIST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named() {
        let refused = |errno| Error::Kernel {
            what: "add bridge cx0".to_owned(),
            source: std::io::Error::from_raw_os_error(errno),
        };
        let told = refused(libc::EOPNOTSUPP).lacking("network bridges (CONFIG_BRIDGE)");
        assert_eq!(
            told.to_string(),
            "this kernel lacks network bridges (CONFIG_BRIDGE) \
             (add bridge cx0: Operation not supported (os error 95))"
        );
        let other = refused(libc::EPERM).lacking("network bridges");
        assert_eq!(other.errno(), Some(libc::EPERM));
    }
}

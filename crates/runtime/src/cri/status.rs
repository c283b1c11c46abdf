//! From gRPC statuses to the errors of a runtime.

use std::error::Error as _;

use tonic::{Code, Status, TimeoutExpired};

use crate::{Error, PullError};

/// The code and the message. A status that the runtime did not send, but that was made of an error
/// of the connection, says why the runtime could not be asked.
fn meaning(status: &Status) -> (Code, String) {
    let causes = || std::iter::successors(status.source(), |error| (*error).source());
    if causes().any(|error| error.is::<TimeoutExpired>()) {
        return (Code::DeadlineExceeded, "context deadline exceeded".to_owned());
    }
    match causes().last() {
        Some(cause) => (Code::Unavailable, cause.to_string()),
        None => (status.code(), status.message().to_owned()),
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let (code, message) = meaning(&status);
        let absent = message.strip_suffix("not found");
        match (code, absent) {
            (Code::NotFound, _) | (Code::Unknown, Some(_)) => {
                let what = absent.unwrap_or(&message).trim_end();
                Self::NotFound(what.strip_suffix(':').unwrap_or(what).to_owned())
            }
            (Code::AlreadyExists, _) => {
                let what = message.strip_suffix("already exists").unwrap_or(&message).trim_end();
                Self::AlreadyExists(what.strip_suffix(':').unwrap_or(what).to_owned())
            }
            (Code::InvalidArgument, _) => Self::InvalidArgument(message),
            (Code::FailedPrecondition, _) => Self::FailedPrecondition(message),
            (Code::DeadlineExceeded, _) => Self::DeadlineExceeded(message),
            (Code::Unavailable, _) => Self::Unavailable(message),
            _ => Self::Internal(message),
        }
    }
}

/// The error of a failed pull of `reference`. Runtimes tell causes apart in words only; these
/// are containerd's and CRI-O's.
pub(super) fn pull_error(reference: &str, status: Status) -> Error {
    let (code, message) = meaning(&status);
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let reference = reference.to_owned();
    let unreachable = [
        "dial tcp",
        "connection refused",
        "no such host",
        "i/o timeout",
        "TLS handshake",
        "server gave HTTP response to HTTPS client",
        "unexpected status code 5",
        "RegistryUnavailable",
    ];
    let kind = match code {
        Code::Unavailable => return status.into(),
        _ if says(&["invalid reference format", "failed to parse image reference"]) => {
            PullError::InvalidName { reference, message }
        }
        _ if says(&["authorization failed", "denied", "unauthorized", "401 ", "403 "]) => {
            PullError::Unauthorized { message: cause(&reference, &message), reference }
        }
        _ if says(&unreachable) => {
            PullError::RegistryUnavailable { message: cause(&reference, &message), reference }
        }
        Code::NotFound => PullError::NotFound { reference },
        _ if says(&["not found", "manifest unknown"]) => PullError::NotFound { reference },
        _ => PullError::Failed { message: cause(&reference, &message), reference },
    };
    kind.into()
}

/// The message without the beginnings that [`PullError`] says itself.
fn cause(reference: &str, message: &str) -> String {
    let mut rest = message;
    while let Some((head, tail)) = rest.split_once(": ") {
        let begins = ["failed to pull and unpack image", "failed to resolve reference"];
        if !begins.iter().any(|begin| head.starts_with(begin)) {
            break;
        }
        rest = tail;
    }
    rest.strip_prefix(reference).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_errors() {
        let text = |code, message| Error::from(Status::new(code, message)).to_string();
        assert_eq!(
            text(Code::NotFound, "an error occurred when try to find sandbox \"x\": not found"),
            "an error occurred when try to find sandbox \"x\" not found"
        );
        let kinds = [
            (Status::deadline_exceeded("").into(), "DeadlineExceeded"),
            (Status::not_found("").into(), "NotFound"),
            (Status::already_exists("").into(), "AlreadyExists"),
            (Status::failed_precondition("").into(), "FailedPrecondition"),
            (Status::unavailable("").into(), "Unavailable"),
            (Status::unknown("task x: not found").into(), "NotFound"),
            (Status::unknown("").into(), "Internal"),
            (Status::from_error("the connection broke".into()).into(), "Unavailable"),
        ];
        for (error, kind) in kinds {
            let error: Error = error;
            assert!(format!("{error:?}").starts_with(kind), "{error:?} is not {kind}");
        }
    }

    #[test]
    fn pulls_fail_for_a_reason() {
        let table = [
            (
                Code::NotFound,
                "failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": a/b:1: not found",
                "NotFound",
            ),
            (
                Code::Unknown,
                "failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                "Unauthorized",
            ),
            (
                Code::Unknown,
                "failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": failed to do request: Head \"https://a/v2/b/manifests/1\": dial tcp 127.0.0.1:443: connect: connection refused",
                "RegistryUnavailable",
            ),
            (
                Code::Unknown,
                "failed to parse image reference \"A B\": invalid reference format",
                "InvalidName",
            ),
            (
                Code::Unknown,
                "failed to pull and unpack image \"a/b:1\": failed to extract layer: short read",
                "Failed",
            ),
        ];
        for (code, message, kind) in table {
            let error = pull_error("a/b:1", Status::new(code, message));
            let Error::ImagePull(inner) = &error else { panic!("{error:?}") };
            assert!(format!("{inner:?}").starts_with(kind), "{inner:?} is not {kind}");
            assert!(error.to_string().matches("failed to resolve").count() < 2, "{error}");
        }
    }
}

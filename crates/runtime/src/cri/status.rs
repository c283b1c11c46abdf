//! How a gRPC call ended, and what that is to a caller of the runtime.

use http::HeaderMap;

use crate::{Error, PullError};

/// The status codes of gRPC (`google.golang.org/grpc/codes`) that mean something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Ok,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    ResourceExhausted,
    FailedPrecondition,
    Unimplemented,
    Internal,
    Unavailable,
    /// `Unknown`, and all that have no meaning of their own here.
    Other,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Status {
    pub(super) fn new(code: Code, message: String) -> Self {
        Self { code, message }
    }

    /// The status among headers or trailers.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let code = match headers.get("grpc-status")?.to_str().ok()? {
            "0" => Code::Ok,
            "3" => Code::InvalidArgument,
            "4" => Code::DeadlineExceeded,
            "5" => Code::NotFound,
            "6" => Code::AlreadyExists,
            "8" => Code::ResourceExhausted,
            "9" => Code::FailedPrecondition,
            "12" => Code::Unimplemented,
            "13" => Code::Internal,
            "14" => Code::Unavailable,
            _ => Code::Other,
        };
        let message = headers.get("grpc-message").map(|value| percent_decode(value.as_bytes()));
        Some(Self { code, message: message.unwrap_or_default() })
    }

    pub(super) fn into_result(self) -> Result<(), Self> {
        if self.code == Code::Ok { Ok(()) } else { Err(self) }
    }
}

fn percent_decode(mut text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    while let Some((&first, rest)) = text.split_first() {
        let hex = (first == b'%').then(|| rest.get(..2)).flatten();
        let hex = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(hex.unwrap_or(first));
        text = if hex.is_some() { &rest[2..] } else { rest };
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl From<Status> for Error {
    fn from(Status { code, message }: Status) -> Self {
        let absent = message.strip_suffix("not found");
        match (code, absent) {
            (Code::NotFound, _) | (Code::Other, Some(_)) => {
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

/// What a failed pull of `reference` means. Runtimes tell the causes apart in words only; these
/// are containerd's and CRI-O's.
pub(super) fn pull_error(reference: &str, status: Status) -> Error {
    let says = |words: &[&str]| words.iter().any(|word| status.message.contains(word));
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
    let kind = match status.code {
        Code::Unavailable => return status.into(),
        _ if says(&["invalid reference format", "failed to parse image reference"]) => {
            PullError::InvalidName { reference, message: status.message }
        }
        _ if says(&["authorization failed", "denied", "unauthorized", "401 ", "403 "]) => {
            PullError::Unauthorized { message: cause(&reference, &status.message), reference }
        }
        _ if says(&unreachable) => PullError::RegistryUnavailable {
            message: cause(&reference, &status.message),
            reference,
        },
        Code::NotFound => PullError::NotFound { reference },
        _ if says(&["not found", "manifest unknown"]) => PullError::NotFound { reference },
        _ => PullError::Failed { message: cause(&reference, &status.message), reference },
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

    fn status(code: &'static str, message: &'static str) -> Status {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-status", code.parse().unwrap());
        headers.insert("grpc-message", message.parse().unwrap());
        Status::of(&headers).unwrap()
    }

    #[test]
    fn statuses_become_errors() {
        assert_eq!(Status::of(&HeaderMap::new()), None);
        assert!(status("0", "").into_result().is_ok());
        let text = |code, message| Error::from(status(code, message)).to_string();
        assert_eq!(
            text("5", "an error occurred when try to find sandbox \"x\": not found"),
            "an error occurred when try to find sandbox \"x\" not found"
        );
        assert_eq!(text("2", "50%25 of it%0Afailed%"), "50% of it\nfailed%");
        let kinds = [
            (status("4", "").into(), "DeadlineExceeded"),
            (status("5", "").into(), "NotFound"),
            (status("6", "").into(), "AlreadyExists"),
            (status("9", "").into(), "FailedPrecondition"),
            (status("14", "").into(), "Unavailable"),
            (status("2", "task x: not found").into(), "NotFound"),
            (status("2", "").into(), "Internal"),
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
                "5",
                "failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": a/b:1: not found",
                "NotFound",
            ),
            (
                "2",
                "failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                "Unauthorized",
            ),
            (
                "2",
                "failed to pull and unpack image \"a/b:1\": failed to resolve reference \"a/b:1\": failed to do request: Head \"https://a/v2/b/manifests/1\": dial tcp 127.0.0.1:443: connect: connection refused",
                "RegistryUnavailable",
            ),
            (
                "2",
                "failed to parse image reference \"A B\": invalid reference format",
                "InvalidName",
            ),
            (
                "2",
                "failed to pull and unpack image \"a/b:1\": failed to extract layer: short read",
                "Failed",
            ),
        ];
        for (code, message, kind) in table {
            let error = pull_error("a/b:1", status(code, message));
            let Error::ImagePull(inner) = &error else { panic!("{error:?}") };
            assert!(format!("{inner:?}").starts_with(kind), "{inner:?} is not {kind}");
            assert!(error.to_string().matches("failed to resolve").count() < 2, "{error}");
        }
    }
}

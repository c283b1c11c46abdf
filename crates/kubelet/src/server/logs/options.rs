//! The options of a log request.

use std::num::ParseIntError;

use k8s_openapi::jiff::{self, SignedDuration, Timestamp};

use crate::server::query::Query;

/// Which stream of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Which {
    #[default]
    All,
    Stdout,
    Stderr,
}

/// A query that cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{name}: invalid value {value:?}: must be a whole number")]
    Number { name: &'static str, value: String, source: ParseIntError },
    #[error("at most one of sinceTime or sinceSeconds may be specified")]
    TwoBeginnings,
    #[error("sinceTime: invalid value: {0}")]
    Time(#[source] jiff::Error),
    #[error("stream: unsupported value {0:?}")]
    Stream(String),
}

/// The options of a log request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) timestamps: bool,
    pub(super) since: Option<Timestamp>,
    pub(super) tail: Option<usize>,
    pub(super) limit_bytes: Option<u64>,
    pub(super) stream: Which,
}

impl Options {
    /// Reads them from a query.
    ///
    /// # Errors
    /// The first parameter that is invalid.
    pub(super) fn parse(query: &Query) -> Result<Self, Error> {
        let number = |name: &'static str| match query.param(name) {
            None | Some("") => Ok(None),
            Some(text) => {
                let wrong = |source| Error::Number { name, value: text.to_owned(), source };
                text.parse::<u64>().map(Some).map_err(wrong)
            }
        };
        let since = match (number("sinceSeconds")?, query.param("sinceTime")) {
            (Some(_), Some(time)) if !time.is_empty() => {
                return Err(Error::TwoBeginnings);
            }
            (Some(seconds), _) => {
                let age = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                Some(Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN))
            }
            (None, Some(time)) if !time.is_empty() => {
                Some(time.parse::<Timestamp>().map_err(Error::Time)?)
            }
            _ => None,
        };
        let tail = number("tailLines")?;
        Ok(Self {
            follow: query.flag(&["follow"]),
            previous: query.flag(&["previous"]),
            timestamps: query.flag(&["timestamps"]),
            since,
            tail: tail.map(|lines| usize::try_from(lines).unwrap_or(usize::MAX)),
            limit_bytes: number("limitBytes")?,
            stream: match query.param("stream") {
                None | Some("" | "All") => Which::All,
                Some("Stdout") => Which::Stdout,
                Some("Stderr") => Which::Stderr,
                Some(other) => return Err(Error::Stream(other.to_owned())),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, Error> {
        Options::parse(&Query::parse(text))
    }

    #[test]
    fn queries() {
        let got = parse("follow=true&tailLines=5&limitBytes=9&timestamps=1").unwrap();
        assert!(got.follow && got.timestamps && !got.previous);
        assert_eq!((got.tail, got.limit_bytes), (Some(5), Some(9)));
        let got = parse("sinceTime=2024-01-01T00:00:00Z").unwrap();
        assert_eq!(got.since.unwrap().as_second(), 1_704_067_200);
        for wrong in ["tailLines=-1", "sinceTime=x", "sinceSeconds=1&sinceTime=x", "stream=x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

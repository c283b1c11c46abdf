//! The reason why a webhook gave no answer, in the words of Go's client.

use std::fmt;

use http::StatusCode;

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// Nothing came back.
    Transport(String),
    /// The connection was lost, and another may hold.
    Lost(String),
    /// Nothing came back in time.
    Late(String),
    /// Something came back, but no success.
    Answer(String),
    /// The same, and another call may succeed; with the code of the answer.
    Later(u16, String),
}

impl CallError {
    /// Names the URL, as Go does for what never came back.
    pub(super) fn at(self, url: &str) -> Self {
        let named = |why| format!("Post {}: {why}", apimachinery::text::quote(url));
        match self {
            Self::Transport(why) => Self::Transport(named(why)),
            Self::Lost(why) => Self::Lost(named(why)),
            Self::Late(why) => Self::Late(named(why)),
            answer => answer,
        }
    }

    /// Returns true if the next attempt may succeed (upstream's `DefaultShouldRetry`).
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Later(..))
    }

    /// Returns true if time ran out, here or behind the webhook.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self, Self::Late(_) | Self::Later(504, _))
    }

    /// The error about an answer with this code (upstream's `NewGenericServerResponse`).
    /// One that names a time for the next call has a next call.
    pub(super) fn of_answer(code: StatusCode, names_time: bool, body: &[u8]) -> Self {
        const SHOWN: usize = 2048;
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
        let text = apimachinery::text::quote(shown.trim());
        let words = match code.as_u16() {
            404 => "the server could not find the requested resource".to_owned(),
            401 => "the server has asked for the client to provide credentials".to_owned(),
            403 => shown.trim().to_owned(),
            405 => "the server does not allow this method on the requested resource".to_owned(),
            429 => "the server has received too many requests and has asked us to try again later"
                .to_owned(),
            503 => "the server is currently unable to handle the request".to_owned(),
            500.. => {
                format!("an error on the server ({text}) has prevented the request from succeeding")
            }
            _ => "the server rejected our request for an unknown reason".to_owned(),
        };
        match code.as_u16() {
            code @ (429 | 500 | 504) => Self::Later(code, words),
            code if names_time => Self::Later(code, words),
            _ => Self::Answer(words),
        }
    }
}

impl std::error::Error for CallError {}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(why)
            | Self::Lost(why)
            | Self::Late(why)
            | Self::Answer(why)
            | Self::Later(_, why) => f.write_str(why),
        }
    }
}

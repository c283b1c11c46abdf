//! The reason why a webhook gave no answer, in the words of Go's client.

use std::fmt;

use http::StatusCode;

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) enum CallError {
    /// Nothing came back.
    Transport(String),
    /// Something came back, but no success.
    Answer(String),
}

impl CallError {
    /// Names the URL, as Go does for what never came back.
    pub(super) fn at(self, url: &str) -> Self {
        match self {
            Self::Transport(why) => {
                Self::Transport(format!("Post {}: {why}", apimachinery::text::quote(url)))
            }
            answer => answer,
        }
    }

    /// The error about an answer with this code (upstream's `NewGenericServerResponse`).
    pub(super) fn of_answer(code: StatusCode, body: &[u8]) -> Self {
        const SHOWN: usize = 2048;
        let shown = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
        let text = apimachinery::text::quote(shown.trim());
        Self::Answer(match code.as_u16() {
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
        })
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(why) | Self::Answer(why) => f.write_str(why),
        }
    }
}

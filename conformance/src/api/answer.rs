//! Answers of the server.

use anyhow::{Result, bail};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::Value;

/// An answer, of success or not.
#[derive(Debug)]
pub struct Answer {
    /// The request, as `GET /api/v1/pods`.
    pub request: String,
    /// HTTP status.
    pub code: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's value; empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The answer itself, if it is a success.
    ///
    /// # Errors
    /// A [`Refusal`] for any other status.
    pub fn success(self) -> Result<Self> {
        if (200..300).contains(&self.code) {
            return Ok(self);
        }
        Err(Refusal::from(self).into())
    }

    /// The object of a successful answer.
    ///
    /// # Errors
    /// A [`Refusal`] for a failure, or where the body is no JSON.
    pub fn object(self) -> Result<Value> {
        let answer = self.success()?;
        match serde_json::from_slice(&answer.body) {
            Ok(object) => Ok(object),
            Err(error) => bail!("{} was not answered with JSON: {error}", answer.request),
        }
    }
}

/// A request that the server refused.
#[derive(Debug, thiserror::Error)]
#[error("{request} was answered {code} {}: {}", self.reason(), self.message())]
pub struct Refusal {
    /// The request.
    pub request: String,
    /// HTTP status.
    pub code: u16,
    /// The `Status` object, or the body as a string.
    pub status: Value,
}

impl From<Answer> for Refusal {
    fn from(answer: Answer) -> Self {
        let text = || Value::String(String::from_utf8_lossy(&answer.body).into_owned());
        let status = serde_json::from_slice(&answer.body).unwrap_or_else(|_| text());
        Self { request: answer.request, code: answer.code, status }
    }
}

impl Refusal {
    /// The reason of the status.
    #[must_use]
    pub fn reason(&self) -> &str {
        self.status["reason"].as_str().unwrap_or("without reason")
    }

    /// The message of the status.
    #[must_use]
    pub fn message(&self) -> &str {
        self.status["message"].as_str().or(self.status.as_str()).unwrap_or("without message")
    }

    /// The code of a failed request; `None` for another error.
    #[must_use]
    pub fn code_of(error: &anyhow::Error) -> Option<u16> {
        error.downcast_ref::<Self>().map(|refusal| refusal.code)
    }
}

/// Demands that a request was refused with a code and a reason.
///
/// # Errors
/// If it was accepted, failed otherwise, or was refused for something else.
pub fn expect_refusal<T: std::fmt::Debug>(
    result: Result<T>,
    code: u16,
    reason: &str,
) -> Result<Refusal> {
    let error = match result {
        Ok(accepted) => {
            bail!("expected a refusal {code} {reason}, but it was accepted: {accepted:?}")
        }
        Err(error) => error,
    };
    match error.downcast::<Refusal>() {
        Ok(refusal) if refusal.code == code && refusal.reason() == reason => Ok(refusal),
        Ok(refusal) => bail!("expected a refusal {code} {reason}, but {refusal}"),
        Err(error) => Err(error.context(format!("expected a refusal {code} {reason}"))),
    }
}

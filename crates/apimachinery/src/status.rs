//! `metav1.Status`: the error of every part of the API, in upstream's words.

use crate::field::ErrorList;
use crate::text::quote;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::fmt;

/// The outcome of a request. As an error, `status` is `Failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// `Success` or `Failure`.
    pub status: Cow<'static, str>,
    /// Message for people.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub message: String,
    /// Reason for programs, for example `NotFound`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    /// Further details, depending on the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<Details>>,
    /// The HTTP status code.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    /// `metadata.continue`: a token to continue a list whose own token has expired.
    #[serde(skip)]
    pub continue_token: String,
}

/// The subject of a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Details {
    /// Name of the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind, or plural resource name, depending on the reason as in upstream.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// UID of the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The individual findings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Seconds to wait before a retry; 0 for no advice.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One finding behind a [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cause {
    /// Reason for programs, for example `FieldValueInvalid`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Cow<'static, str>,
    /// Message for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field, in path form.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero<N: Default + PartialEq>(n: &N) -> bool {
    *n == N::default()
}

/// `deployments.apps`, or `pods` in the core group.
#[must_use]
pub fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn about(group: &str, kind: &str, name: &str) -> Option<Box<Details>> {
    Some(Box::new(Details {
        name: name.to_owned(),
        group: group.to_owned(),
        kind: kind.to_owned(),
        ..Details::default()
    }))
}

impl Status {
    /// A failure with any code and reason.
    pub fn generic(
        code: u16,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status: "Failure".into(),
            message: message.into(),
            reason: reason.into(),
            details: None,
            code,
            continue_token: String::new(),
        }
    }

    /// A success without an object to return, as DELETE answers.
    #[must_use]
    pub fn success() -> Self {
        Self { status: "Success".into(), code: 200, ..Self::default() }
    }

    fn with_details(mut self, details: Option<Box<Details>>) -> Self {
        self.details = details;
        self
    }

    /// Adds a finding.
    #[must_use]
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    fn retry_after(mut self, seconds: u32) -> Self {
        self.details.get_or_insert_default().retry_after_seconds = seconds;
        self
    }

    /// 404.
    #[must_use]
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(group, resource), quote(name));
        Self::generic(404, "NotFound", message).with_details(about(group, resource, name))
    }

    /// 409: the name is taken.
    #[must_use]
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(group, resource), quote(name));
        Self::generic(409, "AlreadyExists", message).with_details(about(group, resource, name))
    }

    /// 409: no free name was found for a `generateName`.
    #[must_use]
    pub fn generate_name_conflict(group: &str, resource: &str, name: &str, secs: u32) -> Self {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource),
            quote(name)
        );
        Self::generic(409, "AlreadyExists", message)
            .with_details(about(group, resource, name))
            .retry_after(secs)
    }

    /// 409: another writer was faster.
    #[must_use]
    pub fn conflict(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {}: {why}",
            qualified(group, resource),
            quote(name)
        );
        Self::generic(409, "Conflict", message).with_details(about(group, resource, name))
    }

    /// 409: other managers own fields that an apply would set.
    pub fn apply_conflict(causes: Vec<Cause>, message: impl Into<String>) -> Self {
        let details = Details { causes, ..Details::default() };
        Self::generic(409, "Conflict", message).with_details(Some(Box::new(details)))
    }

    /// 422.
    #[must_use]
    pub fn invalid(group: &str, kind: &str, name: &str, errors: ErrorList) -> Self {
        let mut message = format!("{} {} is invalid", qualified(group, kind), quote(name));
        if !errors.is_empty() {
            message = format!("{message}: {}", errors.message());
        }
        let mut details = about(group, kind, name);
        if let Some(details) = &mut details {
            details.causes = errors
                .into_iter()
                .map(|e| Cause {
                    reason: e.kind.reason().into(),
                    message: e.body(),
                    field: e.path.to_string(),
                })
                .collect();
        }
        Self::generic(422, "Invalid", message).with_details(details)
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::generic(400, "BadRequest", message)
    }

    /// 401; an empty message reads `not authorized`.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.is_empty() {
            message.push_str("not authorized");
        }
        Self::generic(401, "Unauthorized", message)
    }

    /// 403.
    #[must_use]
    pub fn forbidden(group: &str, resource: &str, name: &str, why: impl fmt::Display) -> Self {
        let what = qualified(group, resource);
        let message = if what.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} {} is forbidden: {why}", quote(name))
        };
        Self::generic(403, "Forbidden", message).with_details(about(group, resource, name))
    }

    /// 405.
    #[must_use]
    pub fn method_not_supported(group: &str, resource: &str, verb: &str) -> Self {
        let what = quote(&qualified(group, resource));
        let message = format!("{verb} is not supported on resources of kind {what}");
        Self::generic(405, "MethodNotAllowed", message).with_details(about(group, resource, ""))
    }

    /// 406.
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::generic(406, "NotAcceptable", message)
    }

    /// 410 with reason `Expired`: the resource version is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::generic(410, "Expired", message)
    }

    /// 410 with reason `Gone`.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::generic(410, "Gone", message)
    }

    /// 413.
    #[must_use]
    pub fn request_entity_too_large(message: impl fmt::Display) -> Self {
        Self::generic(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
    }

    /// 415.
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::generic(415, "UnsupportedMediaType", message)
    }

    /// 422 without field errors.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::generic(422, "Invalid", message)
    }

    /// 429 with the time to wait before a retry.
    pub fn too_many_requests(message: impl Into<String>, secs: u32) -> Self {
        Self::generic(429, "TooManyRequests", message).retry_after(secs)
    }

    /// 500.
    #[must_use]
    pub fn internal(message: impl fmt::Display) -> Self {
        let cause = Cause { message: message.to_string(), ..Cause::default() };
        let details = Details { causes: vec![cause], ..Details::default() };
        Self::generic(500, "InternalError", format!("Internal error occurred: {message}"))
            .with_details(Some(Box::new(details)))
    }

    /// 500 with reason `ServerTimeout`: a transient failure, try again.
    #[must_use]
    pub fn server_timeout(group: &str, resource: &str, operation: &str, secs: u32) -> Self {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        Self::generic(500, "ServerTimeout", message)
            .with_details(about(group, resource, operation))
            .retry_after(secs)
    }

    /// 503.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::generic(503, "ServiceUnavailable", message)
    }

    /// 504: the request took too long; it may still complete.
    #[must_use]
    pub fn timeout(message: impl fmt::Display, secs: u32) -> Self {
        Self::generic(504, "Timeout", format!("Timeout: {message}"))
            .with_details(Some(Box::default()))
            .retry_after(secs)
    }

    /// The same with another message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// Returns true if the status has this reason.
    #[must_use]
    pub fn is(&self, reason: &str) -> bool {
        self.reason == reason
    }

    /// The API object.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut value = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
        if let (Value::Object(all), Ok(Value::Object(own))) =
            (&mut value, serde_json::to_value(self))
        {
            all.extend(own);
        }
        if !self.continue_token.is_empty() {
            value["metadata"]["continue"] = self.continue_token.as_str().into();
        }
        value
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests;

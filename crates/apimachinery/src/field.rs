//! Field paths and validation errors, worded as upstream words them.

use crate::text::{aggregate, go_json, quote};
use serde_json::Value;
use std::fmt;

/// The place of a field inside an object, for example `spec.containers[0].name`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Path(String);

impl Path {
    /// The object itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// A field of the object itself.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A field of the value at this path.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        // Validation makes one for every field that it looks at, so it is not formatted.
        let mut text = String::with_capacity(self.0.len() + 1 + name.len());
        if !self.0.is_empty() {
            text.push_str(&self.0);
            text.push('.');
        }
        text.push_str(name);
        Self(text)
    }

    /// An item of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// An entry of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { &self.0 })
    }
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A referenced value does not exist.
    NotFound,
    /// A value must be given.
    Required,
    /// A value must be unique.
    Duplicate,
    /// A value is malformed or out of bounds.
    Invalid,
    /// A value is not one of an enumeration.
    NotSupported,
    /// A value is well formed but not permitted here.
    Forbidden,
    /// A value is too long; it is not repeated in the message.
    TooLong,
    /// A list has too many items.
    TooMany,
    /// An error that the user did not cause.
    Internal,
    /// A value does not have the schema's type.
    TypeInvalid,
}

impl ErrorType {
    /// The cause reason in `Status.details.causes`.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One finding of validation.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// Kind of error.
    pub kind: ErrorType,
    /// Path of the field.
    pub path: Path,
    /// The offending value, when the message shows it.
    pub value: Option<Value>,
    /// Text to show for the value if that is not its JSON.
    pub shown: Option<String>,
    /// Explanation; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(kind: ErrorType, path: &Path, value: Option<Value>, detail: impl Into<String>) -> Self {
        Self { kind, path: path.clone(), value, shown: None, detail: detail.into() }
    }

    /// Shows the value as this text: upstream prints its internal representation, which for some
    /// structs is not what the user wrote.
    #[must_use]
    pub fn showing(mut self, text: impl Into<String>) -> Self {
        self.shown = Some(text.into());
        self
    }

    /// A wrong value that the message omits.
    pub fn invalid_omitted(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, None, detail)
    }

    /// A value that refers to nothing.
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, path, Some(value.into()), "")
    }

    /// A value that is missing.
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, None, detail)
    }

    /// A value that must be unique and is not.
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, path, Some(value.into()), "")
    }

    /// A malformed value.
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, Some(value.into()), detail)
    }

    /// A value outside an enumeration.
    pub fn not_supported(
        path: &Path,
        value: impl Into<Value>,
        supported: &[impl AsRef<str>],
    ) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|s| quote(s.as_ref())).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorType::NotSupported, path, Some(value.into()), detail)
    }

    /// A value that is not permitted here.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, None, detail)
    }

    /// A value of more than `max` bytes.
    #[must_use]
    pub fn too_long(path: &Path, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Self::new(ErrorType::TooLong, path, None, format!("may not be more than {max} {unit}"))
    }

    /// A text of more than `max` characters.
    #[must_use]
    pub fn too_long_text(path: &Path, max: usize) -> Self {
        let unit = if max == 1 { "character" } else { "characters" };
        Self::new(ErrorType::TooLong, path, None, format!("may not be more than {max} {unit}"))
    }

    /// A list of `actual` items where `max` are allowed.
    #[must_use]
    pub fn too_many(path: &Path, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {unit}");
        Self::new(ErrorType::TooMany, path, Some(actual.into()), detail)
    }

    /// A value of the wrong type.
    pub fn type_invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::TypeInvalid, path, Some(value.into()), detail)
    }

    /// An error that the user did not cause.
    pub fn internal(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Internal, path, None, detail)
    }

    /// The message without the path, as it appears in `Status.details.causes`.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = self.kind.label().to_owned();
        match (&self.shown, &self.value) {
            (Some(shown), _) => body.push_str(&format!(": {shown}")),
            (None, Some(Value::String(s))) => body.push_str(&format!(": {}", quote(s))),
            (None, Some(value)) => body.push_str(&format!(": {}", go_json(value))),
            (None, None) => {}
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

impl std::error::Error for FieldError {}

/// The findings of validation, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorList(pub Vec<FieldError>);

impl ErrorList {
    /// No findings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records `invalid` once per message; the form most `names` helpers are used in.
    pub fn invalid_all(&mut self, path: &Path, value: &str, messages: Vec<String>) {
        self.0.extend(messages.into_iter().map(|m| FieldError::invalid(path, value, m)));
    }

    /// All findings in one line, as upstream joins them.
    #[must_use]
    pub fn message(&self) -> String {
        aggregate(&self.0.iter().map(FieldError::to_string).collect::<Vec<_>>())
    }
}

impl fmt::Display for ErrorList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())
    }
}

impl std::error::Error for ErrorList {}

impl std::ops::Deref for ErrorList {
    type Target = Vec<FieldError>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl std::ops::DerefMut for ErrorList {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<Vec<FieldError>> for ErrorList {
    fn from(errors: Vec<FieldError>) -> Self {
        Self(errors)
    }
}

impl Extend<FieldError> for ErrorList {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, iter: I) {
        self.0.extend(iter);
    }
}

impl FromIterator<FieldError> for ErrorList {
    fn from_iter<I: IntoIterator<Item = FieldError>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl IntoIterator for ErrorList {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_print_like_upstream() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        assert_eq!(path.to_string(), "spec.containers[0].name");
        let label = Path::root().child("metadata").child("labels").key("foo");
        assert_eq!(label.to_string(), "metadata.labels[foo]");
    }

    #[test]
    fn messages_read_like_upstream() {
        let p = Path::new("spec").child("x");
        let table = [
            (FieldError::required(&p, "detail"), "spec.x: Required value: detail"),
            (FieldError::required(&p, ""), "spec.x: Required value"),
            (FieldError::invalid(&p, "v", "bad"), "spec.x: Invalid value: \"v\": bad"),
            (FieldError::invalid(&p, 3, "bad"), "spec.x: Invalid value: 3: bad"),
            (FieldError::invalid(&p, json!({"a": 1}), ""), "spec.x: Invalid value: {\"a\":1}"),
            (
                FieldError::not_supported(&p, "x", &["a", "b"]),
                "spec.x: Unsupported value: \"x\": supported values: \"a\", \"b\"",
            ),
            (FieldError::duplicate(&p, "x"), "spec.x: Duplicate value: \"x\""),
            (FieldError::forbidden(&p, "no"), "spec.x: Forbidden: no"),
            (FieldError::too_long(&p, 63), "spec.x: Too long: may not be more than 63 bytes"),
            (FieldError::too_many(&p, 2, 1), "spec.x: Too many: 2: must have at most 1 item"),
            (FieldError::not_found(&p, "x"), "spec.x: Not found: \"x\""),
            (FieldError::internal(&p, "oops"), "spec.x: Internal error: oops"),
        ];
        for (error, text) in table {
            assert_eq!(error.to_string(), text);
        }
    }
}

//! AuthenticationConfiguration: the file of `--authentication-config` (KEP-3331).

mod mapper;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use apimachinery::field::{ErrorList, FieldError, Path};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::config_file::FileKind;
use crate::registry::check::check;

pub(super) use mapper::{Mapper, Refused, text, texts};

/// Why a text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Nothing stands in it.
    #[error("empty config data")]
    Empty,
    /// It cannot be decoded.
    #[error("{0}")]
    Malformed(String),
    /// It says what cannot be.
    #[error("invalid authentication configuration: {0}")]
    Invalid(String),
}

/// A configuration whose fields were validated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Configuration {
    pub(super) jwt: Vec<JwtAuthenticator>,
    pub(super) anonymous: Option<Anonymous>,
}

/// Which requests without credentials have a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Anonymous {
    pub(super) enabled: bool,
    /// The paths; none means all.
    pub(super) conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Condition {
    pub(super) path: String,
}

/// An issuer of tokens and what its claims mean.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct JwtAuthenticator {
    pub(super) issuer: Issuer,
    pub(super) claim_validation_rules: Vec<ClaimRule>,
    pub(super) claim_mappings: ClaimMappings,
    pub(super) user_validation_rules: Vec<UserRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Issuer {
    pub(super) url: String,
    #[serde(rename = "discoveryURL")]
    pub(super) discovery_url: String,
    #[serde(rename = "certificateAuthority")]
    pub(super) certificate_authority: String,
    pub(super) audiences: Vec<String>,
    #[serde(rename = "egressSelectorType")]
    pub(super) egress_selector_type: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ClaimRule {
    pub(super) claim: String,
    pub(super) required_value: String,
    pub(super) expression: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct UserRule {
    pub(super) expression: String,
    pub(super) message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct ClaimMappings {
    pub(super) username: Mapping,
    pub(super) groups: Mapping,
    pub(super) uid: Mapping,
    pub(super) extra: Vec<ExtraMapping>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Mapping {
    pub(super) claim: String,
    pub(super) prefix: String,
    pub(super) expression: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ExtraMapping {
    pub(super) key: String,
    pub(super) value_expression: String,
}

/// The kind of the file.
static KIND: LazyLock<FileKind> = LazyLock::new(|| {
    let text = || json!({"type": "string"});
    let object = |fields: Value| json!({"type": "object", "properties": fields});
    let list = |items: Value| json!({"type": "array", "items": items});
    let mapping = || object(json!({"claim": text(), "prefix": text(), "expression": text()}));
    let jwt = object(json!({
        "issuer": object(json!({
            "url": text(), "discoveryURL": text(), "certificateAuthority": text(),
            "audiences": list(text()), "audienceMatchPolicy": text(),
            "egressSelectorType": text(),
        })),
        "claimValidationRules": list(object(json!({
            "claim": text(), "requiredValue": text(), "expression": text(), "message": text(),
        }))),
        "claimMappings": object(json!({
            "username": mapping(), "groups": mapping(),
            "uid": object(json!({"claim": text(), "expression": text()})),
            "extra": list(object(json!({"key": text(), "valueExpression": text()}))),
        })),
        "userValidationRules": list(object(json!({"expression": text(), "message": text()}))),
    }));
    let condition = object(json!({"path": text()}));
    let anonymous = object(json!({"enabled": {"type": "boolean"}, "conditions": list(condition)}));
    let shape = object(json!({"jwt": list(jwt), "anonymous": anonymous}));
    FileKind::new("AuthenticationConfiguration", &["v1", "v1beta1", "v1alpha1"], &shape)
});

/// Reads the text of a file, whose fields are known and of their types.
pub(super) fn decode(text: &str) -> Result<Value, ConfigError> {
    if text.is_empty() {
        return Err(ConfigError::Empty);
    }
    KIND.decode(text).map_err(|why| ConfigError::Malformed(why.of(text)))
}

/// Validates a decoded configuration and compiles its expressions. Tokens of `disallowed` issuers
/// are this server's own.
pub(super) fn validate(value: &Value, disallowed: &[String]) -> (ErrorList, Vec<Mapper>) {
    let mut mappers = Vec::new();
    let errors = check(value, |root| mappers = rules::check_configuration(root, disallowed));
    (errors, mappers)
}

/// A configuration from its decoded form, with the expressions of each issuer.
///
/// # Errors
/// It is not valid.
pub(super) fn read(
    value: &Value,
    disallowed: &[String],
    further: Option<FieldError>,
) -> Result<(Configuration, Vec<Mapper>), ConfigError> {
    let (mut errors, mappers) = validate(value, disallowed);
    errors.0.extend(further);
    if !errors.0.is_empty() {
        return Err(ConfigError::Invalid(errors.message()));
    }
    let configuration: Configuration = serde_json::from_value(value.clone())
        .map_err(|why| ConfigError::Malformed(why.to_string()))?;
    Ok((configuration, mappers))
}

/// The error about a field of anonymous requests.
pub(super) fn anonymous_forbidden(why: &str) -> FieldError {
    FieldError::forbidden(&Path::new("anonymous"), why)
}

/// Checks the issuer of flags, which is not this server's own.
pub(super) fn check_flags(issuer_url: &str, disallowed: &[String]) -> Result<(), ConfigError> {
    let value = json!({"jwt": [{
        "issuer": {"url": issuer_url, "audiences": ["any"]},
        "claimMappings": {"username": {"claim": "any", "prefix": ""}},
    }]});
    read(&value, disallowed, None).map(|_| ())
}

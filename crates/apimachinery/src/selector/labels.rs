//! Label selectors.

use super::parse;
use crate::field::{ErrorList, FieldError, Path};
use crate::names;
use crate::object::ObjectExt;
use crate::status::Status;
use crate::text::quote;
use serde_json::Value;
use std::fmt;

/// A conjunction of requirements; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// All must hold.
    pub requirements: Vec<Requirement>,
    /// Selects nothing, regardless of the requirements (a null `metav1.LabelSelector`).
    pub nothing: bool,
}

/// One condition on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// Relation.
    pub operator: Operator,
    /// Operands.
    pub values: Vec<String>,
}

/// Relation between a label and operands. `=` is `In` with one operand, `!=` is `NotIn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

/// Refuses a malformed label key with a field error at `path`.
pub(super) fn check_key(key: &str, path: &str) -> Result<(), FieldError> {
    match names::qualified_name(key) {
        errors if errors.is_empty() => Ok(()),
        errors => Err(FieldError::invalid(&Path::new(path), key, errors.join("; "))),
    }
}

impl Requirement {
    /// A checked requirement.
    ///
    /// # Errors
    /// In upstream's words, if the key or the operands are malformed.
    pub fn new(key: &str, operator: Operator, values: Vec<String>) -> Result<Self, ErrorList> {
        let mut errors = ErrorList::new();
        let complaints = names::qualified_name(key);
        if !complaints.is_empty() {
            errors.push(FieldError::invalid(&Path::new("key"), key, complaints.join("; ")));
        }
        let path = Path::new("values");
        let shown = || Value::from(values.clone());
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                errors.push(FieldError::invalid(
                    &path,
                    shown(),
                    "for 'in', 'notin' operators, values set can't be empty",
                ))
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                errors.push(FieldError::invalid(
                    &path,
                    shown(),
                    "values set must be empty for exists and does not exist",
                ));
            }
            Operator::GreaterThan | Operator::LessThan => {
                if values.len() != 1 {
                    let why = "for 'Gt', 'Lt' operators, exactly one value is required";
                    errors.push(FieldError::invalid(&path, shown(), why));
                }
                for (i, value) in values.iter().enumerate() {
                    if value.parse::<i64>().is_err() {
                        let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                        errors.push(FieldError::invalid(&path.index(i), value.as_str(), why));
                    }
                }
            }
            _ => {}
        }
        for (i, value) in values.iter().enumerate() {
            let complaints = names::label_value(value);
            if !complaints.is_empty() {
                let path = path.index(i).key(key);
                errors.push(FieldError::invalid(&path, value.as_str(), complaints.join("; ")));
            }
        }
        if errors.is_empty() {
            Ok(Self { key: key.to_owned(), operator, values })
        } else {
            Err(errors)
        }
    }

    /// Returns true if a label's value, or its absence, satisfies the requirement.
    #[must_use]
    pub fn matches(&self, value: Option<&str>) -> bool {
        let among = |v: &str| self.values.iter().any(|x| x == v);
        let compare = |holds: fn(i64, i64) -> bool| {
            let operand = self.values.first().and_then(|v| v.parse().ok());
            let value = value.and_then(|v| v.parse().ok());
            matches!((value, operand), (Some(v), Some(o)) if holds(v, o))
        };
        match self.operator {
            Operator::In => value.is_some_and(among),
            Operator::NotIn => !value.is_some_and(among),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => compare(|v, o| v > o),
            Operator::LessThan => compare(|v, o| v < o),
        }
    }
}

impl LabelSelector {
    /// Parses the text form, for example `a=b,c in (x,y),!d`.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn parse(text: &str) -> Result<Self, Status> {
        let requirements = parse::parse(text).map_err(|e| Status::bad_request(e.to_string()))?;
        Ok(Self { requirements, nothing: false })
    }

    /// Reads a `metav1.LabelSelector`; null selects nothing, `{}` everything.
    ///
    /// # Errors
    /// 400 in upstream's words.
    pub fn from_value(selector: &Value) -> Result<Self, Status> {
        if selector.is_null() {
            return Ok(Self { nothing: true, ..Self::default() });
        }
        let mut requirements = Vec::new();
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            let values = vec![value.as_str().unwrap_or_default().to_owned()];
            requirements.push(Requirement::new(key, Operator::In, values));
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let operator = match expression.str_at(&["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let other = quote(other);
                    return Err(Status::bad_request(format!(
                        "{other} is not a valid label selector operator"
                    )));
                }
            };
            let values = expression.get("values").and_then(Value::as_array);
            let values = values.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            let key = expression.str_at(&["key"]);
            requirements.push(Requirement::new(key, operator, values.collect()));
        }
        let requirements = requirements.into_iter().collect::<Result<_, _>>();
        let requirements = requirements.map_err(|e| Status::bad_request(e.message()))?;
        Ok(Self { requirements, nothing: false })
    }

    /// A selector of exact values, as in Services and ReplicationControllers. Not validated.
    #[must_use]
    pub fn from_map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let requirements = pairs
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                operator: Operator::In,
                values: vec![value.to_owned()],
            })
            .collect();
        Self { requirements, nothing: false }
    }

    /// Returns true if it selects everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Returns true if an object is selected; `label` looks up a label's value.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(label(&r.key)))
    }

    /// Returns true if the labels of the object are selected.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(|key| object.label(key))
    }
}

/// The text form.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            let (key, values) = (&r.key, r.values.join(","));
            match r.operator {
                Operator::In if r.values.len() == 1 => write!(f, "{key}={values}")?,
                Operator::NotIn if r.values.len() == 1 => write!(f, "{key}!={values}")?,
                Operator::In => write!(f, "{key} in ({values})")?,
                Operator::NotIn => write!(f, "{key} notin ({values})")?,
                Operator::Exists => f.write_str(key)?,
                Operator::DoesNotExist => write!(f, "!{key}")?,
                Operator::GreaterThan => write!(f, "{key}>{values}")?,
                Operator::LessThan => write!(f, "{key}<{values}")?,
            }
        }
        Ok(())
    }
}

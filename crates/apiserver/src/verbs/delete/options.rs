//! DeleteOptions: from the body, or from the query if there is no body.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::validate::FieldValidation;
use apimachinery::{ObjectExt, Status};
use serde_json::{Value, json};

use crate::body::{self, Body};
use crate::decode::{self, Expected};
use crate::negotiate::Encoding;
use crate::registry::DefaultPolicy;
use crate::request::Query;
use crate::verbs::options::{check_dry_run, invalid};
use crate::verbs::{Call, FOREGROUND, ORPHAN};

const OPTIONS: Expected<'static> = Expected::builtin("", "v1", "DeleteOptions");
/// Upstream's name of the option to delete what cannot be read.
pub(super) const IGNORE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
const POLICIES: &[&str] = &["Foreground", "Background", "Orphan"];

/// The options of a deletion.
#[derive(Clone, Debug, Default)]
pub(in crate::verbs) struct Options {
    pub(super) grace: Option<i64>,
    pub(in crate::verbs) uid: Option<String>,
    pub(in crate::verbs) revision: Option<String>,
    propagation: Option<String>,
    pub(super) orphan: Option<bool>,
    pub(in crate::verbs) dry_run: bool,
    /// Deletes an object although it cannot be read.
    pub(super) ignore_read_error: bool,
}

impl Options {
    /// Reads the options of the request. As in upstream, the query is ignored if there is a body.
    pub(super) async fn read(call: &Call<'_>, body: Body) -> Result<Self, Status> {
        let bytes = body::read(body).await?;
        let value = match bytes.is_empty() {
            true => of_query(&call.query)?,
            false => {
                let value = of_body(call, &bytes)?;
                call.audit.requests_as_it_is(&value);
                value
            }
        };
        let errors = check(&value);
        if !errors.is_empty() {
            return Err(invalid("DeleteOptions", errors));
        }
        Ok(Self::of(&value))
    }

    /// Reads options that were validated before.
    pub(in crate::verbs) fn of(value: &Value) -> Self {
        let text = |path: &[&str]| value.get_path(path).and_then(Value::as_str).map(str::to_owned);
        Self {
            grace: value["gracePeriodSeconds"].as_i64(),
            uid: text(&["preconditions", "uid"]),
            revision: text(&["preconditions", "resourceVersion"]),
            propagation: text(&["propagationPolicy"]),
            orphan: value["orphanDependents"].as_bool(),
            dry_run: value["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
            ignore_read_error: value[IGNORE] == true,
        }
    }

    /// The finalizer that makes the garbage collector apply the policy. The options take precedence
    /// over the object's finalizers, and those over the kind's default.
    pub(super) fn finalizer<'a>(
        &self,
        mut present: impl Iterator<Item = &'a str>,
        kind: DefaultPolicy,
    ) -> Option<&'static str> {
        if kind == DefaultPolicy::None {
            return None;
        }
        if let Some(orphan) = self.orphan {
            return orphan.then_some(ORPHAN);
        }
        match self.propagation.as_deref() {
            Some("Orphan") => return Some(ORPHAN),
            Some("Foreground") => return Some(FOREGROUND),
            Some(_) => return None,
            None => {}
        }
        match present.find(|f| *f == ORPHAN || *f == FOREGROUND) {
            Some(ORPHAN) => Some(ORPHAN),
            Some(_) => Some(FOREGROUND),
            None => (kind == DefaultPolicy::Orphan).then_some(ORPHAN),
        }
    }

    /// Returns true if the client chose a policy for the dependents.
    pub(super) fn has_policy(&self) -> bool {
        self.orphan.is_some() || self.propagation.is_some()
    }
}

/// Validates DeleteOptions (upstream's `ValidateDeleteOptions`).
pub(in crate::verbs) fn check(options: &Value) -> ErrorList {
    let mut errors = ErrorList::new();
    let policy = options["propagationPolicy"].as_str();
    let path = Path::new("propagationPolicy");
    if let Some(policy) = policy {
        if options["orphanDependents"].is_boolean() {
            let why = "orphanDependents and deletionPropagation cannot be both set";
            errors.0.push(FieldError::invalid(&path, policy, why));
        }
        if !POLICIES.contains(&policy) {
            let supported = [POLICIES, &["nil"]].concat();
            errors.0.push(FieldError::not_supported(&path, policy, &supported));
        }
    }
    let dry_run = options["dryRun"].as_array().into_iter().flatten();
    check_dry_run(&mut errors, &dry_run.filter_map(Value::as_str).collect::<Vec<_>>());
    if options[IGNORE] == true {
        for other in
            ["propagationPolicy", "orphanDependents", "gracePeriodSeconds", "preconditions"]
        {
            if !options[other].is_null() {
                let why = format!("cannot be set together with .{other}");
                errors.0.push(FieldError::invalid(&Path::new(IGNORE), true, why));
            }
        }
    }
    errors
}

/// DeleteOptions may be JSON, YAML or protobuf, in `v1` or the resource's own version.
fn of_body(call: &Call<'_>, bytes: &[u8]) -> Result<Value, Status> {
    let (mut value, duplicates) = match call.content()? {
        Encoding::Json => apimachinery::codec::json::decode(bytes)?,
        Encoding::Yaml => apimachinery::codec::yaml::decode(bytes)?,
        Encoding::Protobuf => (apimachinery::codec::protobuf::decode(bytes)?, Vec::new()),
    };
    if !value.is_object() || !matches!(value.kind(), "" | "DeleteOptions") {
        return Err(Status::bad_request("decoded object cannot be converted to DeleteOptions"));
    }
    decode::check_fields(&mut value, OPTIONS, FieldValidation::Ignore, &duplicates, None)?;
    Ok(value)
}

fn of_query(query: &Query) -> Result<Value, Status> {
    let mut value = json!({});
    if let Some(text) = query.text("gracePeriodSeconds") {
        let grace: i64 = text.parse().map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                apimachinery::text::quote(text)
            ))
        })?;
        value["gracePeriodSeconds"] = grace.into();
    }
    for (name, path) in [
        ("uid", &["preconditions", "uid"][..]),
        ("resourceVersion", &["preconditions", "resourceVersion"]),
        ("propagationPolicy", &["propagationPolicy"]),
    ] {
        if let Some(text) = query.text(name) {
            value.set_path(path, text.into());
        }
    }
    if query.get(IGNORE).is_some() {
        value[IGNORE] = query.flag(IGNORE).into();
    }
    if query.get("orphanDependents").is_some() {
        value["orphanDependents"] = query.flag("orphanDependents").into();
    }
    value["dryRun"] = query.all("dryRun").collect::<Vec<_>>().into();
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_finalizer_follows_options_object_and_kind() {
        let of = |value: Value| Options::of(&value);
        let none = || std::iter::empty();
        let (delete, orphan) = (DefaultPolicy::Delete, DefaultPolicy::Orphan);
        assert_eq!(of(json!({})).finalizer(none(), delete), None);
        assert_eq!(of(json!({})).finalizer(none(), orphan), Some(ORPHAN));
        assert_eq!(of(json!({})).finalizer([FOREGROUND].into_iter(), orphan), Some(FOREGROUND));
        let background = of(json!({"propagationPolicy": "Background"}));
        assert_eq!(background.finalizer([ORPHAN].into_iter(), orphan), None);
        let foreground = of(json!({"propagationPolicy": "Foreground"}));
        assert_eq!(foreground.finalizer([ORPHAN].into_iter(), delete), Some(FOREGROUND));
        assert_eq!(foreground.finalizer(none(), DefaultPolicy::None), None);
        let keep = of(json!({"orphanDependents": true}));
        assert_eq!(keep.finalizer(none(), delete), Some(ORPHAN));
    }
}

//! Questions to the authorizer, and escapes of JSON pointers.

use std::sync::Arc;

use super::formats;
use super::strings::text;
use super::{Outcome, Row};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{Check, Decision, Opaque, Subject, Value};

pub(super) const ROWS: &[Row] = &[
    ("path", "authorizer_path", ".(Authorizer, string) -> PathCheck", path),
    ("group", "authorizer_group", ".(Authorizer, string) -> GroupCheck", group),
    (
        "serviceAccount",
        "authorizer_serviceaccount",
        ".(Authorizer, string, string) -> Authorizer",
        service_account,
    ),
    ("resource", "groupcheck_resource", ".(GroupCheck, string) -> ResourceCheck", resource),
    (
        "subresource",
        "resourcecheck_subresource",
        ".(ResourceCheck, string) -> ResourceCheck",
        subresource,
    ),
    (
        "namespace",
        "resourcecheck_namespace",
        ".(ResourceCheck, string) -> ResourceCheck",
        namespace,
    ),
    ("name", "resourcecheck_name", ".(ResourceCheck, string) -> ResourceCheck", name),
    (
        "fieldSelector",
        "authorizer_fieldselector",
        ".(ResourceCheck, string) -> ResourceCheck",
        field_selector,
    ),
    (
        "labelSelector",
        "authorizer_labelselector",
        ".(ResourceCheck, string) -> ResourceCheck",
        label_selector,
    ),
    ("check", "pathcheck_check", ".(PathCheck, string) -> Decision", check),
    ("check", "resourcecheck_check", ".(ResourceCheck, string) -> Decision", check),
    ("errored", "decision_errored", ".(Decision) -> bool", errored),
    ("error", "decision_error", ".(Decision) -> string", error),
    ("allowed", "decision_allowed", ".(Decision) -> bool", allowed),
    ("reason", "decision_reason", ".(Decision) -> string", reason),
    ("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", "(string) -> string", escape_key),
];

fn subject<'v, 'a>(args: &'v [Value<'a>]) -> Result<&'v Subject<'a>, EvalError> {
    match args.first() {
        Some(Value::Opaque(Opaque::Authorization(subject))) => Ok(subject),
        _ => Err(EvalError::no_such_overload()),
    }
}

/// The check with one thing more.
fn with<'a>(args: &[Value<'a>], set: impl FnOnce(&mut Check, String)) -> Outcome<'a> {
    let mut subject = subject(args)?.clone();
    set(&mut subject.check, text(args, 1)?.to_owned());
    Ok(Value::Opaque(Opaque::Authorization(Arc::new(subject))))
}

fn not_empty(args: &[Value<'_>], message: &str) -> Result<(), EvalError> {
    match text(args, 1)?.trim().is_empty() {
        true => Err(EvalError::new(message)),
        false => Ok(()),
    }
}

fn path<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    not_empty(args, "path must not be empty")?;
    with(args, |check, path| check.path = Some(path))
}

fn group<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    with(args, |check, group| check.group = Some(group))
}

fn service_account<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let account = text(args, 2)?.to_owned();
    if !formats::is_subdomain(&account) {
        return Err(EvalError::new("Invalid service account name"));
    }
    if !formats::is_label(text(args, 1)?) {
        return Err(EvalError::new("Invalid service account namespace"));
    }
    with(args, |check, namespace| check.service_account = Some((namespace, account)))
}

fn resource<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    not_empty(args, "resource must not be empty")?;
    with(args, |check, resource| check.resource = Some(resource))
}

fn subresource<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    with(args, |check, subresource| check.subresource = subresource)
}

fn namespace<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    with(args, |check, namespace| check.namespace = namespace)
}

fn name<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    with(args, |check, name| check.name = name)
}

fn field_selector<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    with(args, |check, selector| check.field_selector = selector)
}

fn label_selector<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    with(args, |check, selector| check.label_selector = selector)
}

fn check<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let subject = subject(args)?;
    let decision = subject.authorizer.authorize(&subject.check, text(args, 1)?);
    Ok(Value::Opaque(Opaque::Decision(Arc::new(decision))))
}

fn decision<'v>(args: &'v [Value<'_>]) -> Result<&'v Decision, EvalError> {
    match args.first() {
        Some(Value::Opaque(Opaque::Decision(decision))) => Ok(decision),
        _ => Err(EvalError::no_such_overload()),
    }
}

fn errored<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(decision(args)?.error.is_some()))
}

fn error<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(decision(args)?.error.as_deref().unwrap_or_default()))
}

fn allowed<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::Bool(decision(args)?.allowed))
}

fn reason<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    Ok(Value::text(decision(args)?.reason.as_str()))
}

fn escape_key<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let key = text(args, 0)?;
    budget.allocate(key.len() * 2)?;
    Ok(Value::text(key.replace('~', "~0").replace('/', "~1")))
}

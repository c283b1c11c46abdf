//! PodLogOptions: the requested part of a log.

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::{Status, time};

use super::super::list_options::parse_int;
use super::Call;

const POSITIVE: &str = "must be greater than 0";

/// Validates the options (upstream's `ValidatePodLogOptions`) and encodes them for the kubelet.
pub(super) fn options(call: &Call<'_>) -> Result<String, Status> {
    let number = |name: &str| call.query.get(name).map(parse_int).transpose();
    let since_seconds = number("sinceSeconds")?;
    let since_time = match call.query.text("sinceTime") {
        Some(text) => Some(
            time::parse(text)
                .ok_or_else(|| Status::bad_request(time::complaint(text, time::TIME)))?,
        ),
        None => None,
    };
    let (tail, limit) = (number("tailLines")?, number("limitBytes")?);

    let mut errors = ErrorList::new();
    let mut invalid = |name: &'static str, value: i64, why: &str| {
        errors.0.push(FieldError::invalid(&Path::new(name), value, why));
    };
    if let Some(lines) = tail.filter(|n| *n < 0) {
        invalid("tailLines", lines, "must be greater than or equal to 0");
    }
    if let Some(bytes) = limit.filter(|n| *n < 1) {
        invalid("limitBytes", bytes, POSITIVE);
    }
    match (since_seconds, since_time) {
        (Some(_), Some(_)) => {
            let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
            errors.0.push(FieldError::forbidden(&Path::new("[]"), why));
        }
        (Some(seconds), None) if seconds < 1 => invalid("sinceSeconds", seconds, POSITIVE),
        _ => {}
    }
    if call.query.get("stream").is_some() {
        // Its feature is disabled.
        errors.0.push(FieldError::forbidden(&Path::new("stream"), "may not be specified"));
    }
    if !errors.is_empty() {
        return Err(Status::invalid("", "PodLogOptions", &call.info.name, errors));
    }

    let mut query = form_urlencoded::Serializer::new(String::new());
    for flag in ["follow", "previous", "timestamps"] {
        if call.query.flag(flag) {
            query.append_pair(flag, "true");
        }
    }
    for (name, value) in
        [("sinceSeconds", since_seconds), ("tailLines", tail), ("limitBytes", limit)]
    {
        if let Some(value) = value {
            query.append_pair(name, &value.to_string());
        }
    }
    if let Some(moment) = since_time {
        query.append_pair("sinceTime", &time::rfc3339(moment));
    }
    Ok(query.finish())
}

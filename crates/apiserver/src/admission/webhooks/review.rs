//! AdmissionReview: what a webhook is asked, and what it answers.

use apimachinery::text::quote;
use apimachinery::{Object, ObjectExt, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::Fault;
use super::hooks::Hook;
use crate::admission::Request;
use crate::registry::Kind;
use crate::webhook;

/// The parts of an answer that take effect.
pub(super) struct Answer {
    /// A JSON patch.
    pub(super) patch: Option<Value>,
    pub(super) warnings: Vec<String>,
}

/// Asks a webhook about a request.
pub(super) async fn ask(
    hook: &Hook,
    request: &Request<'_>,
    seen: &Kind,
    object: Option<&Object>,
    mutating: bool,
) -> Result<Answer, Fault> {
    if request.dry_run && !hook.without_side_effects {
        let name = quote(&hook.name);
        let message = format!("admission webhook {name} does not support dry run");
        return Err(Fault::Refused(Box::new(Status::bad_request(message))));
    }
    let call = |why: String| Fault::Call(why);
    let version = hook.review.ok_or_else(|| {
        call(
            "could not create admission objects: webhook does not accept known AdmissionReview \
              versions (v1, v1beta1)"
                .to_owned(),
        )
    })?;
    let uid = uuid::Uuid::new_v4().to_string();
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"),
        "request": question(request, seen, object, &uid).await.map_err(|status| {
            Fault::Refused(Box::new(status))
        })?,
    });
    let body = serde_json::to_vec(&review).map_err(|why| call(why.to_string()))?;
    let target = hook.target.as_ref().map_err(|why| call(why.to_string()))?;
    let answer = webhook::post(request.server, target, Bytes::from(body), hook.timeout).await;
    let answer = answer.map_err(|why| call(format!("failed to call webhook: {why}")))?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|why| {
        call(format!("failed to call webhook: couldn't get version/kind; json parse error: {why}"))
    })?;
    let invalid = |why: Invalid| call(format!("received invalid webhook response: {why}"));
    let response = verify(&answer, version, &uid, mutating).map_err(invalid)?;
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings: Vec<String> = warnings.filter_map(Value::as_str).map(str::to_owned).collect();
    for (key, text) in response["auditAnnotations"].as_object().into_iter().flatten() {
        let key = format!("{}/{key}", hook.name);
        request.call.audit.annotate_as_asked(&key, text.as_str().unwrap_or_default());
    }
    if response["allowed"] != true {
        request.call.warn(warnings);
        return Err(Fault::Refused(Box::new(refusal(&hook.name, &response["status"]))));
    }
    let patch = match response["patch"].as_str().filter(|patch| mutating && !patch.is_empty()) {
        None => None,
        Some(patch) => {
            let undecodable = |why: String| {
                call(format!("received undecodable patch in webhook response: {why}"))
            };
            let patch = STANDARD.decode(patch).map_err(|why| undecodable(why.to_string()))?;
            Some(serde_json::from_slice(&patch).map_err(|why| undecodable(why.to_string()))?)
        }
    };
    Ok(Answer { patch, warnings })
}

/// The `request` of a review.
async fn question(
    request: &Request<'_>,
    seen: &Kind,
    object: Option<&Object>,
    uid: &str,
) -> Result<Value, Status> {
    let mut question = request.described(seen);
    question["uid"] = uid.into();
    question["object"] = request.shown(seen, object).await?;
    question["oldObject"] = request.shown(seen, request.old).await?;
    Ok(question)
}

/// The reason why an answer is none.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Invalid(String);

fn invalid(why: String) -> Invalid {
    Invalid(why)
}

/// The `response` of a review, if it is one.
fn verify<'a>(
    review: &'a Value,
    version: &str,
    uid: &str,
    mutating: bool,
) -> Result<&'a Value, Invalid> {
    let response = review.get("response").filter(|response| response.is_object());
    let response = response.ok_or_else(|| Invalid("webhook response was absent".to_owned()))?;
    if version != "v1" {
        return Ok(response);
    }
    let given = response.str_at(&["uid"]);
    if given != uid {
        return Err(invalid(format!("expected response.uid={}, got {}", quote(uid), quote(given))));
    }
    let (group, kind) = (review.api_version(), review.kind());
    if (group, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
        let (group, version) = group.split_once('/').unwrap_or(("", group));
        return Err(invalid(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {}",
            format_args!("{group}/{version}, Kind={kind}")
        )));
    }
    let patch = response["patch"].as_str().is_some_and(|patch| !patch.is_empty());
    let of = response["patchType"].as_str();
    match (mutating, patch, of) {
        (false, true, _) => {
            Err(invalid("validating webhook may not return response.patch".to_owned()))
        }
        (false, _, Some(_)) => {
            Err(invalid("validating webhook may not return response.patchType".to_owned()))
        }
        (true, true, None) => {
            Err(invalid("webhook returned response.patch but not response.patchType".to_owned()))
        }
        (true, false, Some(_)) => {
            Err(invalid("webhook returned response.patchType but not response.patch".to_owned()))
        }
        (true, true, Some("")) => {
            Err(invalid("webhook returned invalid response.patchType of \"\"".to_owned()))
        }
        (true, true, Some(of)) if of != "JSONPatch" => {
            Err(invalid(format!("unsupported patch type {}", quote(of))))
        }
        _ => Ok(response),
    }
}

/// The answer to a client whose request a webhook does not allow.
fn refusal(name: &str, status: &Value) -> Status {
    let mut refusal: Status = serde_json::from_value(status.clone()).unwrap_or_default();
    if refusal.code < 400 {
        refusal.code = 400;
    }
    if matches!(&*refusal.status, "" | "Success") {
        refusal.status = "Failure".into();
    }
    let denied = format!("admission webhook {} denied the request", quote(name));
    refusal.message = match (refusal.message.as_str(), &*refusal.reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_refused() {
        for (status, code, message) in [
            (json!(null), 400, "denied the request without explanation"),
            (json!({"reason": "Because"}), 400, "denied the request: Because"),
            (json!({"message": "no", "code": 403}), 403, "denied the request: no"),
            (json!({"message": "no", "code": 200, "status": "Success"}), 400, "the request: no"),
        ] {
            let refusal = refusal("h.example.com", &status);
            assert_eq!((refusal.code, &*refusal.status), (code, "Failure"));
            assert!(refusal.message.starts_with("admission webhook \"h.example.com\" denied"));
            assert!(refusal.message.ends_with(message), "{}", refusal.message);
        }
    }

    #[test]
    fn answers_are_verified() {
        let review = |response: Value| {
            json!({
                "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                "response": response,
            })
        };
        let check = |review: &Value, mutating| verify(review, "v1", "u", mutating).is_ok();
        assert!(check(&review(json!({"uid": "u", "allowed": true})), true));
        assert!(!check(&review(json!({"uid": "v", "allowed": true})), true));
        assert!(!check(&json!({"response": {"uid": "u"}}), true));
        assert!(!check(&json!({}), true));
        let patch = review(json!({"uid": "u", "patch": "W10=", "patchType": "JSONPatch"}));
        assert!(check(&patch, true) && !check(&patch, false));
        assert!(!check(&review(json!({"uid": "u", "patch": "W10="})), true));
    }
}

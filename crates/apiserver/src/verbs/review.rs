//! Reviews of users and of their rights.

use apimachinery::object::strings;
use apimachinery::selector::{FieldSelector, FieldTerm, LabelSelector};
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::create::record;
use super::{Call, meta};
use crate::authn::TokenOutcome;
use crate::authz::{self, Attributes, Decision, Refusal};
use crate::body::Body;
use crate::encode;
use crate::registry::check_access_review;
use crate::user::User;

pub(super) async fn answer(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let mut review = call.decode(body, call.expected()).await?;
    meta::place(&call.kind, &call.info.namespace, &mut review)?;
    meta::wipe(&mut review);
    call.kind.write_zeros(&mut review);
    record(call, None, &mut review);
    let status = match call.kind.kind {
        "SelfSubjectReview" => {
            review = empty(call);
            review.set_meta("creationTimestamp", time::now_rfc3339().into());
            json!({"userInfo": user_info(&call.user)})
        }
        "TokenReview" => token(call, &review).await?,
        "SelfSubjectRulesReview" => {
            let namespace = review.str_at(&["spec", "namespace"]);
            if namespace.is_empty() {
                return Err(Status::bad_request("no namespace on request"));
            }
            let authorizers = &call.server.authorizers;
            let status = authorizers.rules_for(call.server, &call.user, namespace);
            review = empty(call);
            status
        }
        of => {
            let errors = check_access_review(of, &review);
            if !errors.is_empty() {
                return Err(Status::invalid(call.kind.group, "", "", errors));
            }
            match of {
                "SelfSubjectAccessReview" => access(call, &call.user, &review).await,
                _ => access(call, &subject(&review), &review).await,
            }
        }
    };
    review["status"] = status;
    call.kind.write_zeros(&mut review);
    encode::value(StatusCode::CREATED, &review, call.accepted.encoding)
}

/// An answer that repeats nothing of the request.
fn empty(call: &Call<'_>) -> Object {
    json!({"kind": call.kind.kind, "apiVersion": call.kind.api_version(), "metadata": {}})
}

/// A user as reviews tell of it (`UserInfo`).
pub(crate) fn user_info(user: &User) -> Value {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.clone().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

async fn token(call: &Call<'_>, review: &Object) -> Result<Value, Status> {
    let audiences = strings(&review["spec"]["audiences"]);
    let token = review.str_at(&["spec", "token"]);
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    // The status of the request is kept unless the answer replaces it.
    let mut status = review["status"].clone();
    status.remove_path(&["authenticated"]);
    match crate::authn::token(call.server, token, &audiences).await {
        TokenOutcome::Valid(user, audiences) => {
            status["authenticated"] = true.into();
            status["user"] = user_info(&user);
            status["audiences"] = audiences.into();
        }
        TokenOutcome::Invalid(why) => status["error"] = why.into(),
        TokenOutcome::Unknown => status["error"] = "invalid bearer token".into(),
    }
    if status["user"].is_null() {
        status["user"] = json!({});
    }
    Ok(status)
}

/// The user of a SubjectAccessReview.
fn subject(review: &Object) -> User {
    let spec = &review["spec"];
    let (name, groups) = (spec.str_at(&["user"]), strings(&spec["groups"]));
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: name.to_owned(),
        uid: spec.str_at(&["uid"]).to_owned(),
        groups,
        extra: extra.map(|(k, v)| (k.clone(), strings(v))).collect(),
    }
}

async fn access(call: &Call<'_>, user: &User, review: &Object) -> Value {
    let spec = &review["spec"];
    let resource = spec.get("resourceAttributes").filter(|r| !r.is_null());
    let fields = resource.and_then(|r| selected_fields(&r["fieldSelector"]));
    let labels = resource.and_then(|r| selected_labels(&r["labelSelector"]));
    let attributes = match resource {
        Some(r) => Attributes {
            subresource: r.str_at(&["subresource"]),
            namespace: r.str_at(&["namespace"]),
            name: r.str_at(&["name"]),
            fields: fields.as_ref(),
            labels: labels.as_ref(),
            version: r.str_at(&["version"]),
            ..Attributes::on_resource(
                user,
                r.str_at(&["verb"]),
                r.str_at(&["group"]),
                r.str_at(&["resource"]),
            )
        },
        None => {
            let r = &spec["nonResourceAttributes"];
            Attributes {
                path: r.str_at(&["path"]),
                is_resource: false,
                ..Attributes::on_resource(user, r.str_at(&["verb"]), "", "")
            }
        }
    };
    let (allowed, refusal) = match authz::decide(call.server, attributes).await {
        Decision::Allow(reason) => (true, Refusal { reason, ..Refusal::default() }),
        Decision::Deny(refusal) => (false, refusal),
    };
    let Refusal { reason, error, denied } = refusal;
    let mut status = json!({"allowed": allowed});
    if denied {
        status["denied"] = true.into();
    }
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    let ignored = resource.map(ignored_selectors).unwrap_or_default();
    let errors: Vec<String> = error.into_iter().chain(ignored).collect();
    if !errors.is_empty() {
        status["evaluationError"] = errors.join("; ").into();
    }
    status
}

/// Errors about selectors that are ignored, wholly or in part.
fn ignored_selectors(resource: &Value) -> Vec<String> {
    let mut said = Vec::new();
    for (name, raw_is_good, requirement_is_good) in [
        ("fieldSelector", raw_fields as fn(&str) -> bool, field_requirement as fn(&Value) -> bool),
        ("labelSelector", raw_labels, label_requirement),
    ] {
        let selector = &resource[name];
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let requirements = selector["requirements"].as_array().map_or(&[][..], Vec::as_slice);
        let (good, all) = match requirements.len() {
            0 if raw.is_empty() || raw_is_good(raw) => continue,
            0 => (0, 1),
            all => (requirements.iter().filter(|r| requirement_is_good(r)).count(), all),
        };
        if good < all {
            let part = if good > 0 { "partially " } else { "" };
            said.push(format!("spec.resourceAttributes.{name} {part}ignored due to parse error"));
        }
    }
    said
}

fn raw_fields(raw: &str) -> bool {
    FieldSelector::parse(raw).is_ok()
}

fn raw_labels(raw: &str) -> bool {
    LabelSelector::parse(raw).is_ok()
}

/// Returns true if a field selector can express the requirement.
fn field_requirement(requirement: &Value) -> bool {
    matches!(requirement.str_at(&["operator"]), "In" | "NotIn")
        && requirement["values"].as_array().is_some_and(|values| values.len() == 1)
}

fn label_requirement(requirement: &Value) -> bool {
    LabelSelector::from_value(&json!({"matchExpressions": [requirement]})).is_ok()
}

/// The selector of a review (KEP-4601): as text, or as requirements, of which only those that a
/// field selector can express are kept. Omitting one only widens the request.
fn selected_fields(selector: &Value) -> Option<FieldSelector> {
    if let Some(raw) = selector["rawSelector"].as_str().filter(|raw| !raw.is_empty()) {
        return FieldSelector::parse(raw).ok();
    }
    let terms = selector["requirements"].as_array()?.iter().filter_map(|requirement| {
        let equal = match requirement.str_at(&["operator"]) {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        let values = requirement["values"].as_array()?;
        let [value] = values.as_slice() else { return None };
        Some(FieldTerm {
            field: requirement.str_at(&["key"]).to_owned(),
            value: value.as_str()?.to_owned(),
            equal,
        })
    });
    Some(FieldSelector { terms: terms.collect() })
}

/// The same for labels.
fn selected_labels(selector: &Value) -> Option<LabelSelector> {
    if let Some(raw) = selector["rawSelector"].as_str().filter(|raw| !raw.is_empty()) {
        return LabelSelector::parse(raw).ok();
    }
    let good = selector["requirements"].as_array()?.iter().filter(|r| label_requirement(r));
    LabelSelector::from_value(&json!({"matchExpressions": good.collect::<Vec<_>>()})).ok()
}

//! `serviceaccounts/token`: issues bound tokens (TokenRequest).

use apimachinery::apply::{self, Writer};
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::schema::Registry;
use apimachinery::{Object, ObjectExt, Status, time};
use http::{Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use pki::{BoundObject, Claims, KubernetesClaims};
use serde_json::{Value, json};

use super::Call;
use crate::admission::{self, Operation};
use crate::body::Body;
use crate::decode::Expected;
use crate::encode::{self, view};
use crate::registry;

const REQUEST: Expected<'static> = Expected::builtin("authentication.k8s.io", "v1", "TokenRequest");
const DEFAULT_SECONDS: i64 = 3600;
const MIN_SECONDS: i64 = 600;
const MAX_SECONDS: i64 = 1 << 32;

pub(super) async fn issue(call: &Call<'_>, body: Body) -> Result<Response<Body>, Status> {
    let mut request = call.decode(body, REQUEST).await?;
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    check_place(call, &request)?;
    let entry = call.server.entry(&call.kind, namespace, name).ok_or_else(|| call.not_found())?;
    let account = view(&call.kind, &entry);
    let uid = request.uid();
    if !uid.is_empty() && uid != account.uid() {
        let why = format!(
            "the UID in the token request ({uid}) does not match the UID of the service account ({})",
            account.uid()
        );
        return Err(Status::conflict(REQUEST.group, REQUEST.kind, name, why));
    }
    record(call, &mut request);
    admission::admit(call, Operation::Create, &mut request, None).await?;
    admission::validate(call, Operation::Create, Some(&request), None).await?;

    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    let path = Path::new("spec").child("expirationSeconds");
    let out_of_range = if seconds < MIN_SECONDS {
        Some("may not specify a duration less than 10 minutes")
    } else if seconds > MAX_SECONDS {
        Some("may not specify a duration larger than 2^32 seconds")
    } else {
        None
    };
    if let Some(why) = out_of_range {
        let errors = ErrorList(vec![FieldError::invalid(&path, seconds, why)]);
        return Err(Status::invalid("authentication.k8s.io", "TokenRequest", "", errors));
    }
    let signer = &call.server.settings.signer;
    let audiences: Vec<String> = request["spec"]["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    let audiences = if audiences.is_empty() { vec![signer.issuer().to_owned()] } else { audiences };

    let now = Timestamp::now();
    let expires = now + SignedDuration::from_secs(seconds);
    let mut kubernetes = KubernetesClaims {
        namespace: namespace.clone(),
        serviceaccount: BoundObject { name: name.clone(), uid: account.uid().to_owned() },
        pod: None,
        secret: None,
        node: None,
    };
    bind(call, &request, &mut kubernetes)?;
    let claims = Claims {
        aud: audiences.clone(),
        exp: expires.as_second(),
        iat: now.as_second(),
        nbf: now.as_second(),
        iss: signer.issuer().to_owned(),
        jti: uuid::Uuid::new_v4().to_string(),
        sub: format!("system:serviceaccount:{namespace}:{name}"),
        kubernetes,
    };
    let token = signer.sign(&claims).map_err(Status::internal)?;
    request.set_path(&["spec", "audiences"], json!(audiences));
    request.set_path(&["spec", "expirationSeconds"], seconds.into());
    request.set_meta("name", name.clone().into());
    request.set_meta("namespace", namespace.clone().into());
    request.set_meta("uid", account.uid().into());
    request.set_meta("creationTimestamp", time::now_rfc3339().into());
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": token, "expirationTimestamp": time::rfc3339(expires)});
    encode::value(StatusCode::CREATED, &request, call.accepted.encoding)
}

/// The body must name the same account as the path.
fn check_place(call: &Call<'_>, request: &Object) -> Result<(), Status> {
    if !request.namespace().is_empty() && request.namespace() != call.info.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let name = request.name();
    if !name.is_empty() && name != call.info.name {
        let why = "must match the service account name if specified";
        let errors = FieldError::invalid(&Path::new("metadata").child("name"), name, why);
        let errors = ErrorList(vec![errors]);
        return Err(Status::invalid(REQUEST.group, REQUEST.kind, &call.info.name, errors));
    }
    Ok(())
}

/// Records the requested fields in managedFields.
fn record(call: &Call<'_>, request: &mut Object) {
    let schema = Registry::builtin().lookup(REQUEST.group, REQUEST.version, REQUEST.kind);
    let Some(schema) = schema else { return };
    let (manager, now) = (call.manager(), time::now_rfc3339());
    let api_version = registry::api_version(REQUEST.group, REQUEST.version);
    // A request without a lifetime owns the default.
    let mut asked = request.clone();
    if asked["spec"]["expirationSeconds"].is_null() {
        asked.set_path(&["spec", "expirationSeconds"], DEFAULT_SECONDS.into());
    }
    let writer = Writer {
        manager: &manager,
        api_version: &api_version,
        subresource: call.subresource(),
        now: &now,
        reset_fields: &[],
    };
    apply::update_managers(schema, None, &mut asked, &writer);
    request.set_meta("managedFields", asked["metadata"]["managedFields"].clone());
}

/// Binds the token to the object that the request names; it must exist.
fn bind(call: &Call<'_>, request: &Object, claims: &mut KubernetesClaims) -> Result<(), Status> {
    let Some(wanted) = request.get_path(&["spec", "boundObjectRef"]).filter(|r| !r.is_null())
    else {
        return Ok(());
    };
    let (of, version) = (wanted.str_at(&["kind"]), wanted.str_at(&["apiVersion"]));
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let (resource, namespace) = match (group, of) {
        ("", "Pod") => ("pods", call.info.namespace.as_str()),
        ("", "Secret") => ("secrets", call.info.namespace.as_str()),
        ("", "Node") => ("nodes", ""),
        _ => {
            return Err(Status::bad_request(format!(
                "cannot bind token to object of type {group}/{version}, Kind={of}"
            )));
        }
    };
    let kind =
        registry::find("", "v1", resource).ok_or_else(|| Status::internal("no such kind"))?;
    let name = wanted.str_at(&["name"]);
    let object = call
        .server
        .entry(kind, namespace, name)
        .map(|e| e.object())
        .ok_or_else(|| Status::not_found("", resource, name))?;
    let bound = BoundObject { name: name.to_owned(), uid: object.uid().to_owned() };
    match resource {
        "pods" => {
            let account = object.str_at(&["spec", "serviceAccountName"]);
            if account != call.info.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {} to pod running with different serviceaccount name.",
                    apimachinery::text::quote(&call.info.name)
                )));
            }
            claims.pod = Some(bound);
            claims.node = node_of(call, &object);
        }
        "secrets" => claims.secret = Some(bound),
        _ => claims.node = Some(bound),
    }
    let uid = wanted.str_at(&["uid"]);
    if !uid.is_empty() && uid != object.uid() {
        return Err(Status::conflict(
            "",
            of,
            name,
            format!(
                "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been deleted and then recreated"
            ),
        ));
    }
    Ok(())
}

fn node_of(call: &Call<'_>, pod: &Value) -> Option<BoundObject> {
    let name = pod.str_at(&["spec", "nodeName"]);
    let nodes = registry::find("", "v1", "nodes")?;
    let uid = call.server.entry(nodes, "", name).map(|e| e.object().uid().to_owned());
    (!name.is_empty()).then(|| BoundObject { name: name.to_owned(), uid: uid.unwrap_or_default() })
}

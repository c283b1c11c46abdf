//! PodCertificateRequest: a kubelet asks a signer for the certificate of a pod.

use apimachinery::field::{ErrorList, FieldError};
use apimachinery::{Object, ObjectExt, names, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::pods::{Leaf, Unfit, check_intermediates, check_pod_request, leaf};
use serde_json::Value;

use crate::registry::Sub;
use crate::registry::check::{
    Field, check, check_conditions, check_signer_name, check_user_annotations,
};
use crate::registry::strategy::{
    ALL_METADATA, Context, Strategy, clear_status, ensure, set_default,
};

const MAX_REQUEST: usize = 10 << 10;
const MAX_CHAIN: usize = 100 << 10;
const MAX_UID: usize = 128;
const HOUR: i64 = 60 * 60;
/// The lifetime of who asks for none, in seconds.
const LIFETIME: i64 = 24 * HOUR;
/// Lifetimes that may be asked for, in seconds; the second limit is for signers of Kubernetes.
const MAX_LIFETIME: i64 = 91 * 24 * HOUR;
const MAX_OWN_LIFETIME: i64 = 24 * HOUR;
/// How far a certificate may begin from now, in seconds.
const SKEW: i64 = 5 * 60;
/// How far from both ends of its validity a certificate is renewed, in seconds.
const MARGIN: i64 = 10 * 60;
const NANOS: i64 = 1_000_000_000;
/// Conditions that end a request.
const ENDS: &[&str] = &["Issued", "Denied", "Failed"];

pub(super) struct Request;

impl Strategy for Request {
    fn default(&self, object: &mut Object) {
        set_default(ensure(object, &["spec"]), "maxExpirationSeconds", LIFETIME);
    }

    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec")))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| object.immutable_as("spec", old, "PodCertificateRequestSpec"))
    }

    fn validate_status(&self, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| check_status(object, old))
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

/// The cell of the column `State`.
pub(super) fn state(object: &Value) -> Value {
    let conditions = object.get_path(&["status", "conditions"]).and_then(Value::as_array);
    let mut types = conditions.into_iter().flatten().filter_map(|c| c["type"].as_str());
    types.rfind(|of| ENDS.contains(of)).unwrap_or("Pending").into()
}

fn check_spec(spec: &Field<'_>) {
    check_signer_name(&spec.at("signerName"));
    check_user_annotations(spec, "unverifiedUserAnnotations");
    for (name, uid) in [
        ("podName", "podUID"),
        ("serviceAccountName", "serviceAccountUID"),
        ("nodeName", "nodeUID"),
    ] {
        spec.valid(name, names::dns1123_subdomain);
        if spec.str(uid).is_empty() {
            spec.at(uid).invalid("must not be empty");
        }
        if spec.str(uid).len() > MAX_UID {
            spec.at(uid).too_long(MAX_UID);
        }
    }
    let lifetime = spec.at("maxExpirationSeconds");
    let Some(seconds) = spec.int("maxExpirationSeconds") else {
        return lifetime.required("must be set");
    };
    let host = spec.str("signerName").split('/').next().unwrap_or_default();
    let own = host == "kubernetes.io" || host.ends_with(".kubernetes.io");
    let max = if own { MAX_OWN_LIFETIME } else { MAX_LIFETIME };
    if !(HOUR..=max).contains(&seconds) {
        lifetime.invalid(format!("must be in the range [{HOUR}, {max}]"));
    }
    let request = decoded(spec.str("stubPKCS10Request"));
    let at = spec.at("stubPKCS10Request");
    if request.is_empty() {
        return spec.invalid_omitted(
            "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set",
        );
    }
    if request.len() > MAX_REQUEST {
        return at.too_long(MAX_REQUEST);
    }
    match check_pod_request(&request) {
        Ok(()) => {}
        Err(why @ Unfit::Curve(_)) => {
            let Unfit::Curve(curve) = &why else { return };
            at.invalid_value(format!("curve {curve}"), why.to_string());
        }
        Err(why @ Unfit::Modulus(bits)) => {
            at.invalid_value(format!("{bits}-bit modulus"), why.to_string());
        }
        Err(why) => at.invalid_omitted(why.to_string()),
    }
}

fn decoded(base64: &str) -> Vec<u8> {
    STANDARD.decode(base64).unwrap_or_default()
}

fn has_ended(status: &Value, how: &[&str]) -> bool {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .filter(|condition| condition["status"] == "True")
        .any(|condition| how.iter().any(|of| condition["type"] == *of))
}

/// Upstream reports each of these alone.
fn check_status(object: &Field<'_>, old: &Object) {
    let (status, was) = (object.at("status"), &old["status"]);
    let mut known = 0;
    for (i, condition) in status.items("conditions").enumerate() {
        // Upstream's path has a dot before the number.
        let at = status.at("conditions").at(&format!("[{i}]"));
        let (of, value) = (at.at("type"), condition.get("type"));
        if !ENDS.contains(&condition.str("type")) {
            of.instead(value).not_supported(ENDS);
            continue;
        }
        known += 1;
        if known > 1 {
            of.instead(value).invalid(
                "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"",
            );
        }
        if condition.str("status") != "True" {
            at.at("status").instead(condition.get("status")).not_supported(&["True"]);
        }
    }
    check_conditions(&status);
    if object.count() > 0 {
        return;
    }
    if has_ended(was, ENDS) {
        if status.value() != was {
            status.invalid_omitted(
                "immutable after PodCertificateRequest is issued, denied, or failed",
            );
        }
    } else if has_ended(status.value(), &["Denied", "Failed"]) {
        let fields = status.value().as_object().into_iter().flatten();
        if fields.into_iter().any(|(name, value)| name != "conditions" && !value.is_null()) {
            status.invalid_omitted(
                "non-condition status fields must be empty when denying or failing the \
                 PodCertificateRequest",
            );
        }
    } else if has_ended(status.value(), &["Issued"]) {
        check_issued(object, old);
    } else if status.value() != was {
        status.invalid_omitted(
            "status is immutable unless transitioning to \"Issued\", \"Denied\", or \"Failed\"",
        );
    }
}

fn check_issued(object: &Field<'_>, old: &Object) {
    let status = object.at("status");
    let chain = status.at("certificateChain");
    if chain.text().len() > MAX_CHAIN {
        return chain.too_long(MAX_CHAIN);
    }
    let leaf = match leaf(chain.text()) {
        Ok(leaf) => leaf,
        Err(why) => return chain.invalid(why.to_string()),
    };
    check_names(&chain, &leaf);
    if !leaf.is_for(&decoded(old.str_at(&["spec", "stubPKCS10Request"]))) {
        return chain.invalid("leaf certificate was not issued to the requested public key");
    }
    for (field, how) in [
        ("notBefore", "must be present and consistent with the issued certificate"),
        ("notAfter", "must be present and consistent with the issued certificate"),
        ("beginRefreshAt", "must be present and in the range [notbefore+10min, notafter-10min]"),
    ] {
        if !status.has(field) {
            status.at(field).required(how);
        }
    }
    if object.count() > 0 {
        return;
    }
    if let Some((field, shown, why)) = misfit(object, &leaf) {
        let error = FieldError::invalid_omitted(status.at(field).path(), why);
        return status.push(error.showing(shown));
    }
    if let Err(why) = check_intermediates(chain.text()) {
        chain.invalid(why.to_string());
    }
}

fn check_names(chain: &Field<'_>, leaf: &Leaf) {
    for name in &leaf.dns_names {
        if name.is_empty() {
            chain.invalid_value("", "leaf certificate should not contain empty DNSName");
        }
        if name.contains("..") {
            let why = "leaf certificate's DNSName should not contain '..'";
            chain.invalid_value(name.as_str(), why);
        }
        if name.starts_with('.') || name.ends_with('.') {
            let why = "leaf certificate's DNSName should not start or end with '.'";
            chain.invalid_value(name.as_str(), why);
        }
    }
    for address in leaf.emails.iter().filter(|address| !address.contains('@')) {
        let why = "leaf certificate should not contain invalid EmailAddress";
        chain.invalid_value(address.as_str(), why);
    }
}

fn seconds(time: &Value) -> i64 {
    time.as_str().and_then(time::parse).map_or(0, |moment| moment.as_second())
}

/// A part of the status that does not fit the certificate: the field, what Go shows of it, and why.
type Misfit = (&'static str, String, String);

/// The first of them.
fn misfit(object: &Field<'_>, leaf: &Leaf) -> Option<Misfit> {
    let status = object.at("status");
    let at = |field| seconds(status.get(field));
    let (start, end, refresh) = (at("notBefore"), at("notAfter"), at("beginRefreshAt"));
    let now = jiff::Timestamp::now().as_second();
    let max = object.at("spec").int("maxExpirationSeconds").unwrap_or(0);
    let lifetime = leaf.not_after.saturating_sub(leaf.not_before);
    let time = |field, why: &str| Some((field, shown_time(status.get(field)), why.to_owned()));
    let life = |why: String| {
        let shown = time::format_duration(lifetime.saturating_mul(NANOS));
        Some(("certificateChain", shown, why))
    };
    if start != leaf.not_before {
        time("notBefore", "must be set to the NotBefore time encoded in the leaf certificate")
    } else if start.abs_diff(now) >= SKEW.unsigned_abs() {
        time("notBefore", "must be set to within 5 minutes of kube-apiserver's current time")
    } else if end != leaf.not_after {
        time("notAfter", "must be set to the NotAfter time encoded in the leaf certificate")
    } else if lifetime < HOUR {
        life("leaf certificate lifetime must be >= 1 hour".to_owned())
    } else if lifetime > max {
        life(format!("leaf certificate lifetime must be <= spec.maxExpirationSeconds ({max})"))
    } else if refresh < start.saturating_add(MARGIN) {
        time("beginRefreshAt", "must be at least 10 minutes after status.notBefore")
    } else if refresh > end.saturating_sub(MARGIN) {
        time("beginRefreshAt", "must be at least 10 minutes before status.notAfter")
    } else {
        None
    }
}

/// A time as Go prints it, with its zone.
fn shown_time(time: &Value) -> String {
    let moment = time.as_str().and_then(time::parse).unwrap_or_default();
    moment.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string()
}

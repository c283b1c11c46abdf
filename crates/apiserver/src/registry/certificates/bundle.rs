//! ClusterTrustBundle: trust anchors that pods can mount.

use apimachinery::field::ErrorList;
use apimachinery::{Object, ObjectExt, names};

use crate::registry::Sub;
use crate::registry::check::{Field, check, check_signer_name};
use crate::registry::strategy::Strategy;

const MAX_BUNDLE: usize = 1 << 20;

pub(super) struct Bundle;

impl Strategy for Bundle {
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::dns1123_subdomain(name)
    }

    /// The bundle of a signer has the signer's name before its own.
    fn validate_name_of(&self, object: &Object, name: &str) -> Vec<String> {
        let signer = object.str_at(&["spec", "signerName"]);
        if signer.is_empty() {
            if name.contains(':') {
                let why = "ClusterTrustBundle without signer name must not have \":\" in its name";
                return vec![why.to_owned()];
            }
            return names::dns1123_subdomain(name);
        }
        let prefix = format!("{}:", signer.replace('/', ":"));
        match name.strip_prefix(&prefix) {
            Some(rest) => names::dns1123_subdomain(rest),
            None => vec![format!(
                "ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"
            )],
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec"), None))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            check_spec(&spec, Some(old));
            spec.immutable_text("signerName", &old["spec"]);
        })
    }

    fn unconditional_update(&self) -> bool {
        false
    }
}

fn check_spec(spec: &Field<'_>, old: Option<&Object>) {
    if !spec.str("signerName").is_empty() {
        check_signer_name(&spec.at("signerName"));
    }
    // An unchanged bundle stays valid when its readers become stricter.
    let bundle = spec.at("trustBundle");
    if old.is_some_and(|old| &old["spec"]["trustBundle"] == bundle.value()) {
        return;
    }
    if bundle.text().len() > MAX_BUNDLE {
        return bundle.too_long(MAX_BUNDLE);
    }
    for why in pki::pods::check_anchors(bundle.text()) {
        bundle.invalid_value("<value omitted>", why.to_string());
    }
}

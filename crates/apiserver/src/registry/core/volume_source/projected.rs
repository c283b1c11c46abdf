//! Projected volumes: several sources in one directory.

use std::collections::HashSet;

use apimachinery::names;

use super::files::{downward_file, file_mode, key_to_path};
use crate::registry::check::{
    Field, check_label_selector, check_signer_name, check_user_annotations,
};

const SOURCES: &[&str] = &[
    "secret",
    "configMap",
    "downwardAPI",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
];

/// The file paths of the volume so far.
struct Paths<'a>(HashSet<&'a str>);

impl<'a> Paths<'a> {
    /// Reports a path of another source at the volume. `shown` is the value that upstream prints.
    fn add(&mut self, volume: &Field<'_>, path: &'a str, shown: &str) {
        if !self.0.insert(path) {
            volume.invalid_value(shown, "conflicting duplicate paths");
        }
    }
}

pub(super) fn projected(volume: &Field<'_>) {
    file_mode(volume, "defaultMode");
    let mut paths = Paths(HashSet::new());
    for source in volume.items("sources") {
        for name in ["secret", "configMap"] {
            let Some(keys) = source.opt(name) else { continue };
            keys.needs("name");
            for item in keys.items("items") {
                key_to_path(&item);
                if !item.str("path").is_empty() {
                    paths.add(volume, item.str("path"), keys.str("name"));
                }
            }
        }
        if let Some(downward) = source.opt("downwardAPI") {
            for file in downward.items("items") {
                downward_file(&downward, &file);
                if !file.str("path").is_empty() {
                    paths.add(volume, file.str("path"), file.str("path"));
                }
            }
        }
        if let Some(token) = source.opt("serviceAccountToken") {
            service_account_token(volume, &token);
        }
        if let Some(bundle) = source.opt("clusterTrustBundle") {
            cluster_trust_bundle(&bundle);
            paths.add(volume, bundle.str("path"), bundle.str("path"));
        }
        if let Some(certificate) = source.opt("podCertificate") {
            pod_certificate(volume, &certificate, &mut paths);
        }
        if SOURCES.iter().filter(|name| source.has(name)).count() > 1 {
            source.forbidden("may not specify more than 1 volume type per source");
        }
    }
}

fn service_account_token(volume: &Field<'_>, token: &Field<'_>) {
    let at = token.at("expirationSeconds");
    match token.int("expirationSeconds") {
        None => at.required(""),
        Some(seconds) if seconds < 600 => {
            at.invalid("may not specify a duration less than 10 minutes");
        }
        Some(seconds) if seconds > 1 << 32 => {
            at.invalid("may not specify a duration larger than 2^32 seconds");
        }
        Some(_) => {}
    }
    // Upstream reports errors at the volume.
    let place = volume.instead(token.value());
    if place.needs("path") {
        place.at("path").local_path();
    }
}

fn cluster_trust_bundle(bundle: &Field<'_>) {
    match (bundle.has("name"), bundle.has("signerName")) {
        (true, true) => bundle.invalid("only one of name and signerName may be used"),
        (true, false) => {
            let name = bundle.at("name");
            if name.text().is_empty() {
                name.required("must be a valid object name");
            }
            for message in trust_bundle_name(name.text()) {
                name.invalid(format!("not a valid clustertrustbundlename: {message}"));
            }
            if bundle.has("labelSelector") {
                bundle
                    .at("labelSelector")
                    .invalid("labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            let signer = bundle.at("signerName");
            if signer.text().is_empty() {
                signer.required("must be a valid signer name");
            }
            check_signer_name(&signer);
            if let Some(selector) = bundle.opt("labelSelector") {
                check_label_selector(&selector);
            }
        }
        (false, false) => bundle.required("either name or signerName must be specified"),
    }
    bundle.needs("path");
    bundle.at("path").local_path();
}

/// Checks `example.com:signer:name`, or a name without colons.
fn trust_bundle_name(name: &str) -> Vec<String> {
    let last = name.rsplit(':').next().unwrap_or(name);
    names::dns1123_subdomain(last)
}

const KEY_TYPES: &[&str] =
    &["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];

fn pod_certificate<'a>(volume: &Field<'_>, source: &Field<'a>, paths: &mut Paths<'a>) {
    check_signer_name(&source.at("signerName"));
    check_user_annotations(source, "userAnnotations");
    source.one_of("keyType", KEY_TYPES);
    if let Some(seconds) = source.int("maxExpirationSeconds") {
        let at = source.at("maxExpirationSeconds");
        if seconds < 3600 {
            at.invalid("if provided, maxExpirationSeconds must be >= 3600");
        }
        let domain = source.str("signerName").split('/').next().unwrap_or_default();
        let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io");
        let max = if own { 86_400 } else { 91 * 86_400 };
        if seconds > max {
            at.invalid(format!("if provided, maxExpirationSeconds must be <= {max}"));
        }
    }
    let mut given = 0;
    for name in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        if !source.str(name).is_empty() {
            given += 1;
            source.at(name).local_path();
            paths.add(volume, source.str(name), source.str(name));
        }
    }
    if given == 0 {
        source.required(
            "specify at least one of credentialBundlePath, keyPath, and certificateChainPath",
        );
    }
}

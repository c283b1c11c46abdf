//! Annotations of pods that the server interprets.

use serde_json::Value;

use super::{CONTAINER_LISTS, all_containers};
use crate::registry::check::Field;

pub(super) use crate::registry::MIRROR_POD as MIRROR;
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
pub(super) use super::super::app_armor::ANNOTATION as APP_ARMOR;

fn has_container(spec: &Value, name: &str) -> bool {
    CONTAINER_LISTS
        .iter()
        .flat_map(|list| spec[*list].as_array().into_iter().flatten())
        .any(|c| c["name"] == name)
}

/// Returns true for digits without a plus sign or leading zeros.
fn is_cost(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = text == "0" || digits.starts_with(|c: char| ('1'..='9').contains(&c));
    canonical && text.parse::<i32>().is_ok()
}

/// Checks the annotations of a pod or template with that spec.
pub(super) fn check(annotations: &Field<'_>, spec: &Value) {
    for (key, value) in annotations.value().as_object().into_iter().flatten() {
        let (value, at) = (value.as_str().unwrap_or_default(), annotations.key(key));
        match key.as_str() {
            MIRROR if spec["nodeName"].as_str().unwrap_or_default().is_empty() => {
                at.invalid("must set spec.nodeName if mirror pod annotation is set");
            }
            DELETION_COST if !is_cost(value) => at.invalid("must be a 32bit integer"),
            _ => {}
        }
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            check_seccomp(&annotations.at(key), value);
        }
        if let Some(container) = key.strip_prefix(APP_ARMOR) {
            if !has_container(spec, container) {
                at.invalid_value(container, "container not found");
            }
            let known = matches!(value, "" | "runtime/default" | "unconfined")
                || value.starts_with("localhost/");
            if !known {
                let quoted = apimachinery::text::quote(value);
                at.invalid(format!("invalid AppArmor profile name: {quoted}"));
            }
        }
    }
}

fn check_seccomp(at: &Field<'_>, profile: &str) {
    match profile.strip_prefix("localhost/") {
        Some(path) => {
            if path.starts_with('/') {
                at.invalid_value(path, "must be a relative path");
            }
            if path.split('/').any(|part| part == "..") {
                at.invalid_value(path, "must not contain '..'");
            }
        }
        None if matches!(profile, "runtime/default" | "docker/default" | "unconfined") => {}
        None => at.invalid_value(profile, "must be a valid seccomp profile"),
    }
}

/// If a profile is given both by a field and by its older annotation, they must be equal.
pub(super) fn check_fields_match(meta: &Field<'_>, spec: &Field<'_>) {
    let annotation = |key: &str| meta.get("annotations")[key].as_str();
    let own = spec.at("securityContext");
    if let (Some(text), Some(profile)) = (annotation(SECCOMP_POD), own.opt("seccompProfile")) {
        check_match(&profile, text, "seccomp", &["runtime/default", "docker/default"]);
    }
    for container in all_containers(spec) {
        let name = container.str("name");
        let context = container.at("securityContext");
        if let Some(profile) = context.opt("seccompProfile")
            && let Some(text) = annotation(&format!("{SECCOMP_CONTAINER}{name}"))
        {
            check_match(&profile, text, "seccomp", &["runtime/default", "docker/default"]);
        }
        let at = context.at("appArmorProfile");
        let profile = if at.value().is_null() { own.get("appArmorProfile") } else { at.value() };
        if spec.at("os").str("name") != "windows"
            && !profile.is_null()
            && let Some(text) = annotation(&format!("{APP_ARMOR}{name}"))
        {
            check_match(&at.instead(profile), text, "apparmor", &["runtime/default"]);
        }
    }
}

fn check_match(profile: &Field<'_>, text: &str, what: &str, defaults: &[&str]) {
    let same_type = match profile.str("type") {
        "Unconfined" => text == "unconfined",
        "RuntimeDefault" => defaults.contains(&text),
        "Localhost" => text.starts_with("localhost/"),
        _ => true,
    };
    if !same_type {
        profile.at("type").forbidden(format!("{what} type in annotation and field must match"));
    } else if let Some(path) = text.strip_prefix("localhost/")
        && profile.str("type") == "Localhost"
        && profile.get("localhostProfile").as_str() != Some(path)
    {
        profile
            .at("localhostProfile")
            .forbidden(format!("{what} profile in annotation and field must match"));
    }
}

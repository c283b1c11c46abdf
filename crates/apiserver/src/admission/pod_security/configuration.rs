//! The cluster's defaults and exemptions (`PodSecurityConfiguration`).

use std::collections::HashSet;

use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::names;
use apimachinery::text::aggregate;
use serde::Deserialize;

use super::super::Plugin;
use super::super::configuration::{Document, Invalid};
use super::PodSecurity;
use super::policy::{Level, Policy, Standard, Version};

/// Nobody asks for what these ask.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exemptions {
    pub(super) users: HashSet<String>,
    pub(super) namespaces: HashSet<String>,
    pub(super) runtime_classes: HashSet<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Configuration {
    defaults: Defaults,
    exemptions: Listed,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
struct Defaults {
    enforce: String,
    enforce_version: String,
    audit: String,
    audit_version: String,
    warn: String,
    warn_version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Listed {
    usernames: Vec<String>,
    namespaces: Vec<String>,
    runtime_classes: Vec<String>,
}

const GROUP: &str = "pod-security.admission.config.k8s.io";

/// Makes the plugin of its configuration; without one it enforces what labels ask for.
pub(in crate::admission) fn configure(
    document: Option<&Document>,
) -> Result<Box<dyn Plugin>, Invalid> {
    Ok(Box::new(make(document)?))
}

fn make(document: Option<&Document>) -> Result<PodSecurity, Invalid> {
    let configuration = match document {
        Some(document) => {
            let versions = ["v1", "v1beta1", "v1alpha1"];
            document.read(GROUP, &versions, "PodSecurityConfiguration")?
        }
        None => Configuration::default(),
    };
    let defaults = defaults(&configuration.defaults)?;
    Ok(PodSecurity { defaults, exempt: exemptions(configuration.exemptions)? })
}

fn defaults(given: &Defaults) -> Result<Policy, Invalid> {
    let mut faults = Vec::new();
    let mut standard = |mode: &str, level: &str, version: &str| {
        let level = if level.is_empty() { "privileged" } else { level };
        let level = Level::parse(level).unwrap_or_else(|why| {
            faults.push(format!("{mode}: {why}"));
            Level::Restricted
        });
        let version = if version.is_empty() { "latest" } else { version };
        let version = Version::parse(version).unwrap_or_else(|why| {
            faults.push(format!("{mode}-version: {why}"));
            Version::Latest
        });
        Standard { level, version }
    };
    let policy = Policy {
        enforce: standard("enforce", &given.enforce, &given.enforce_version),
        audit: standard("audit", &given.audit, &given.audit_version),
        warn: standard("warn", &given.warn, &given.warn_version),
    };
    match faults.is_empty() {
        true => Ok(policy),
        false => {
            let why = aggregate(&faults);
            Err(Invalid::Values(format!("PodSecurity configuration error: {why}")))
        }
    }
}

fn exemptions(listed: Listed) -> Result<Exemptions, Invalid> {
    let path = Path::new("exemptions");
    let mut errors = ErrorList::new();
    let mut read = |field: &str, list: Vec<String>, check: fn(&str) -> Vec<String>| {
        let path = path.child(field);
        let mut known = HashSet::new();
        for (i, name) in list.into_iter().enumerate() {
            let faults = check(&name);
            if !faults.is_empty() {
                errors.0.push(FieldError::invalid(&path.index(i), name, faults.join(", ")));
            } else if known.contains(&name) {
                errors.0.push(FieldError::duplicate(&path.index(i), name));
            } else {
                known.insert(name);
            }
        }
        known
    };
    let namespaces = read("namespaces", listed.namespaces, names::dns1123_label);
    let runtime_classes = read("runtimeClasses", listed.runtime_classes, names::dns1123_subdomain);
    let named = |name: &str| match name {
        "" => vec!["username must not be empty".to_owned()],
        _ => Vec::new(),
    };
    let users = read("usernames", listed.usernames, named);
    match errors.is_empty() {
        true => Ok(Exemptions { users, namespaces, runtime_classes }),
        false => Err(Invalid::Values(format!("PodSecurity invalid: {errors}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(mut fields: Value) -> Result<PodSecurity, Invalid> {
        fields["apiVersion"] = format!("{GROUP}/v1").into();
        fields["kind"] = "PodSecurityConfiguration".into();
        make(Some(&Document::test(fields)))
    }

    #[test]
    fn what_is_left_out_is_privileged() {
        let none = make(None).unwrap();
        assert_eq!((none.defaults, &none.exempt), (Policy::PRIVILEGED, &Exemptions::default()));
        let some = read(json!({
            "defaults": {"enforce": "baseline", "warn-version": "v1.30"},
            "exemptions": {"usernames": ["u"], "namespaces": null, "runtimeClasses": ["r"]},
        }))
        .unwrap();
        assert_eq!(some.defaults.enforce.to_string(), "baseline:latest");
        assert_eq!(some.defaults.warn.to_string(), "privileged:v1.30");
        assert!(some.exempt.users.contains("u") && some.exempt.runtime_classes.contains("r"));
    }

    #[test]
    fn mistakes_are_named() {
        let fails = |fields: Value| match read(fields) {
            Err(Invalid::Document(why) | Invalid::Values(why)) => why,
            Ok(_) => String::new(),
        };
        assert_eq!(
            fails(json!({"defaults": {"enforce": "x", "audit-version": "1.2"}})),
            "PodSecurity configuration error: [enforce: must be one of privileged, baseline, \
             restricted, audit-version: must be \"latest\" or \"v1.x\"]"
        );
        let lists = json!({"exemptions": {
            "namespaces": ["a", "a", "A"], "usernames": ["", "u", "u"], "runtimeClasses": ["?"],
        }});
        let why = fails(lists);
        for part in [
            "exemptions.namespaces[1]: Duplicate value: \"a\"",
            "exemptions.namespaces[2]: Invalid value: \"A\": a lowercase RFC 1123 label",
            "exemptions.runtimeClasses[0]: Invalid value: \"?\": a lowercase RFC 1123 subdomain",
            "exemptions.usernames[0]: Invalid value: \"\": username must not be empty",
            "exemptions.usernames[2]: Duplicate value: \"u\"",
        ] {
            assert!(why.contains(part), "{part} in {why}");
        }
        assert!(fails(json!({"default": {}})).contains("unknown field `default`"));
        assert!(fails(json!({"defaults": {"enforceVersion": "latest"}})).contains("unknown field"));
    }
}

//! Checks the dependencies against `deny.toml` as an ordinary test, so that it holds also where
//! cargo-deny is not at hand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::test::{cargo, root};

/// A part of `deny.toml`.
struct Rules {
    licences: BTreeSet<String>,
    clarified: BTreeMap<String, String>,
    may_repeat: BTreeSet<String>,
}

fn texts(list: &toml::Value, field: &str) -> Vec<String> {
    let entries = list.as_array().into_iter().flatten();
    entries.map(|entry| entry[field].as_str().unwrap().to_owned()).collect()
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let rules: toml::Value = toml::from_str(&text).unwrap();
    let licences = &rules["licenses"];
    let allowed = licences["allow"].as_array().unwrap();
    let clarify = &licences["clarify"];
    Rules {
        licences: allowed.iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
        clarified: texts(clarify, "crate").into_iter().zip(texts(clarify, "expression")).collect(),
        may_repeat: texts(&rules["bans"]["skip"], "crate").into_iter().collect(),
    }
}

/// The packages that do not come with the project.
fn packages() -> Vec<Value> {
    let output = cargo("metadata --format-version 1 --locked").current_dir(root()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].take();
    let packages = packages.as_array().unwrap().iter();
    packages.filter(|package| !package["source"].is_null()).cloned().collect()
}

/// The SPDX expression holds with these licences. (`/` is how `OR` was once written.)
fn is_allowed(expression: &str, licences: &BTreeSet<String>) -> bool {
    let expression = expression.replace('/', " OR ").replace("  ", " ");
    let one = |text: &str| {
        let name = text.trim().trim_matches(['(', ')']).trim_end_matches('+');
        licences.contains(name)
    };
    // No expression that is met nests deeper than alternatives within parentheses.
    let all = expression.split(" AND ");
    all.into_iter().all(|part| part.split(" OR ").any(one))
}

#[test]
fn licences_are_those_that_may_be_shipped() {
    let rules = rules();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let given = package["license"].as_str();
        let licence = rules.clarified.get(name).map(String::as_str).or(given).unwrap_or_default();
        assert!(is_allowed(licence, &rules.licences), "{name} is under {licence:?}");
    }
}

#[test]
fn no_library_is_built_twice_without_a_reason() {
    let rules = rules();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        let text = |field: &str| package[field].as_str().unwrap().to_owned();
        versions.entry(text("name")).or_default().insert(text("version"));
    }
    for (name, versions) in &versions {
        let reason = rules.may_repeat.contains(name);
        assert!(versions.len() == 1 || reason, "{name} is there in {versions:?}");
        assert!(versions.len() > 1 || !reason, "deny.toml excuses {name}, which is there once");
    }
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    let licences = ["MIT", "ISC", "MPL-2.0"].map(str::to_owned).into();
    for (expression, wanted) in [
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("MPL-2.0+", true),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &licences), wanted, "{expression}");
    }
}

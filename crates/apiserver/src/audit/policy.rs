//! The audit policy: which requests are audited, and how much of them.

use std::path::Path as FilePath;

use apimachinery::codec::yaml;
use apimachinery::field::{ErrorList, FieldError, Path};
use apimachinery::object::without_nulls;
use apimachinery::{ObjectExt, names, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AuditError;
use crate::request::RequestInfo;
use crate::user::User;

/// The part of a request that is recorded; each level contains those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Level {
    /// Nothing.
    None,
    /// User, verb, resource and outcome.
    Metadata,
    /// And the body of the request.
    Request,
    /// And the body of the answer.
    RequestResponse,
}

impl Level {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// A point in the course of a request at which an event is generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    RequestReceived,
    /// Only of long-running requests.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

const LEVELS: [&str; 4] = ["None", "Metadata", "Request", "RequestResponse"];
const STAGES: [&str; 4] = ["RequestReceived", "ResponseStarted", "ResponseComplete", "Panic"];

/// The parts of one request that are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) level: Level,
    pub(super) omitted: Vec<Stage>,
    pub(super) omit_managed_fields: bool,
}

/// A policy: the first rule that matches a request decides.
#[derive(Debug)]
pub(crate) struct Policy {
    rules: Vec<(Rule, Scope)>,
    omitted: Vec<Stage>,
    omit_managed_fields: bool,
}

/// A rule as it is written; levels and stages are text until they are validated.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    paths: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Written {
    rules: Vec<Rule>,
    omit_stages: Vec<String>,
    omit_managed_fields: bool,
}

impl Policy {
    /// Reads the file of a policy.
    pub(super) fn of_file(path: &FilePath) -> Result<Self, AuditError> {
        let shown = path.display();
        let bytes = std::fs::read(path).map_err(|why| {
            let path = text::quote(&path.to_string_lossy());
            AuditError::Policy(format!("failed to read file path {path}: {why}"))
        })?;
        Self::parse(&bytes).map_err(|why| AuditError::Policy(format!("{why}: from file {shown}")))
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let malformed = |why: &dyn std::fmt::Display| Malformed(format!("failed decoding: {why}"));
        let (mut value, twice) = yaml::decode(bytes).map_err(|why| malformed(&why.message))?;
        let (api_version, kind) = (value.api_version().to_owned(), value.kind().to_owned());
        for (field, text) in [("Kind", &kind), ("apiVersion", &api_version)] {
            if text.is_empty() {
                return Err(malformed(&format_args!("Object '{field}' is missing in '{value}'")));
            }
        }
        if kind != "Policy" || api_version != "audit.k8s.io/v1" {
            let (kind, version) = (text::quote(&kind), text::quote(&api_version));
            let why = format_args!("no kind {kind} is registered for version {version}");
            return Err(malformed(&why));
        }
        for complaint in twice.iter().map(ToString::to_string).chain(unknown(&value)) {
            tracing::warn!(complaint, "audit policy contains errors, which are ignored");
        }
        without_nulls(&mut value);
        let written: Written = serde_json::from_value(value).map_err(|why| malformed(&why))?;
        let errors = validate(&written);
        if !errors.is_empty() {
            return Err(Malformed(errors.message()));
        }
        if written.rules.is_empty() {
            return Err(Malformed("loaded illegal policy with 0 rules".to_owned()));
        }
        Ok(Self::of(written))
    }

    fn of(written: Written) -> Self {
        let (omitted, managed) = (stages(&written.omit_stages), written.omit_managed_fields);
        let rules = written.rules.into_iter().map(|rule| {
            let scope = Scope {
                level: level(&rule.level),
                omitted: [omitted.clone(), stages(&rule.omit_stages)].concat(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(managed),
            };
            (rule, scope)
        });
        Self { rules: rules.collect(), omitted, omit_managed_fields: managed }
    }

    /// The parts of a request that are recorded; there is no user if none could be authenticated.
    pub(super) fn scope(&self, user: Option<&User>, info: &RequestInfo) -> Scope {
        let mut rules = self.rules.iter();
        let found = rules.find(|(rule, _)| rule.matches(user, info));
        found.map(|(_, scope)| scope.clone()).unwrap_or_else(|| Scope {
            level: Level::None,
            omitted: self.omitted.clone(),
            omit_managed_fields: self.omit_managed_fields,
        })
    }
}

/// The reason why a file is no policy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Malformed(String);

fn level(text: &str) -> Level {
    match text {
        "Metadata" => Level::Metadata,
        "Request" => Level::Request,
        "RequestResponse" => Level::RequestResponse,
        _ => Level::None,
    }
}

fn stages(texts: &[String]) -> Vec<Stage> {
    let known =
        [Stage::RequestReceived, Stage::ResponseStarted, Stage::ResponseComplete, Stage::Panic];
    known.into_iter().filter(|stage| texts.iter().any(|text| text == stage.name())).collect()
}

/// Complaints about fields that a policy does not have: upstream reads it nevertheless.
fn unknown(policy: &Value) -> Vec<String> {
    const POLICY: &[&str] =
        &["kind", "apiVersion", "metadata", "rules", "omitStages", "omitManagedFields"];
    const RULE: &[&str] = &[
        "level",
        "users",
        "userGroups",
        "verbs",
        "resources",
        "namespaces",
        "nonResourceURLs",
        "omitStages",
        "omitManagedFields",
    ];
    const RESOURCES: &[&str] = &["group", "resources", "resourceNames"];
    let mut found = Vec::new();
    let mut check = |value: &Value, known: &[&str], at: String| {
        let keys = value.as_object().into_iter().flat_map(|map| map.keys());
        let other = keys.filter(|key| !known.contains(&key.as_str()));
        found.extend(
            other.map(|key| format!("unknown field {}", text::quote(&format!("{at}{key}")))),
        );
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    check(policy, POLICY, String::new());
    for (i, rule) in list(&policy["rules"]).iter().enumerate() {
        check(rule, RULE, format!("rules[{i}]."));
        for (j, resources) in list(&rule["resources"]).iter().enumerate() {
            check(resources, RESOURCES, format!("rules[{i}].resources[{j}]."));
        }
    }
    found
}

fn validate(policy: &Written) -> ErrorList {
    let mut errors = ErrorList::new();
    check_stages(&policy.omit_stages, &Path::new("omitStages"), &mut errors);
    for (i, rule) in policy.rules.iter().enumerate() {
        validate_rule(rule, &Path::new("rules").index(i), &mut errors);
    }
    errors
}

fn validate_rule(rule: &Rule, at: &Path, errors: &mut ErrorList) {
    let path = at.child("level");
    match rule.level.as_str() {
        "" => errors.push(FieldError::required(&path, "")),
        level if LEVELS.contains(&level) => {}
        level => errors.push(FieldError::not_supported(&path, level, &LEVELS)),
    }
    let urls = at.child("nonResourceURLs");
    for (i, url) in rule.paths.iter().enumerate().filter(|(_, url)| *url != "*") {
        if !url.starts_with('/') {
            let why = "non-resource URL rules must begin with a '/' character";
            errors.push(FieldError::invalid(&urls.index(i), url.as_str(), why));
        }
        if url.strip_suffix(|_| true).is_some_and(|before| before.contains('*')) {
            let why = "non-resource URL wildcards '*' must be the final character of the rule";
            errors.push(FieldError::invalid(&urls.index(i), url.as_str(), why));
        }
    }
    let path = at.child("resources");
    for of in &rule.resources {
        if !of.group.is_empty() && of.group != "*" {
            let wrong = names::dns1123_subdomain(&of.group);
            if !wrong.is_empty() {
                let why = wrong.join(",");
                errors.push(FieldError::invalid(&path.child("group"), of.group.as_str(), why));
            }
        }
        if !of.resource_names.is_empty() && of.resources.is_empty() {
            let why = "using resourceNames requires at least one resource";
            let names = of.resource_names.clone();
            errors.push(FieldError::invalid(&path.child("resourceNames"), names, why));
        }
    }
    check_stages(&rule.omit_stages, &at.child("omitStages"), errors);
    let of_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
    if of_resources && !rule.paths.is_empty() {
        let why = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(FieldError::invalid(&urls, rule.paths.clone(), why));
    }
}

fn check_stages(given: &[String], at: &Path, errors: &mut ErrorList) {
    for (i, stage) in given.iter().enumerate() {
        if !STAGES.contains(&stage.as_str()) {
            let why = format!("allowed stages are {}", STAGES.join(","));
            errors.push(FieldError::invalid(&at.index(i), stage.as_str(), why));
        }
    }
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == text)
}

impl Rule {
    fn matches(&self, user: Option<&User>, info: &RequestInfo) -> bool {
        let by_user =
            self.users.is_empty() || user.is_some_and(|user| has(&self.users, &user.name));
        let in_group = |user: &User| user.groups.iter().any(|group| has(&self.user_groups, group));
        let by_group = self.user_groups.is_empty() || user.is_some_and(in_group);
        let by_verb = self.verbs.is_empty() || has(&self.verbs, info.verb);
        if !(by_user && by_group && by_verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            let in_namespace = self.namespaces.is_empty() || has(&self.namespaces, &info.namespace);
            let mut resources = self.resources.iter();
            let of = self.resources.is_empty() || resources.any(|of| of.matches(info));
            return info.is_resource && in_namespace && of;
        }
        if self.paths.is_empty() {
            return true;
        }
        !info.is_resource && self.paths.iter().any(|path| covers(path, &info.path))
    }
}

impl GroupResources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != info.group && self.group != "*" {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !has(&self.resource_names, &info.name) {
            return false;
        }
        let (resource, sub) = (info.resource.as_str(), info.subresource.as_str());
        self.resources.iter().any(|one| match one.split_once('/') {
            None => one == "*" || (sub.is_empty() && one == resource),
            Some(("*", of)) if !sub.is_empty() && of == sub => true,
            Some((of, "*")) => of == resource,
            Some((of, own)) => of == resource && own == sub && !sub.is_empty(),
        })
    }
}

/// Returns true if a rule's URL is a path, or the beginning of one.
fn covers(rule: &str, path: &str) -> bool {
    let begins = |rule: &str| path.starts_with(rule.trim_end_matches('*'));
    rule == "*" || rule == path || (rule.ends_with('*') && begins(rule))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::request::Query;

    fn refused(text: &str) -> String {
        Policy::parse(text.as_bytes()).unwrap_err().to_string()
    }

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    #[test]
    fn mistakes_are_told_as_upstream_tells_them() {
        let stages = "allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic";
        for (text, want) in [
            ("{}", "failed decoding: Object 'Kind' is missing in '{}'".to_owned()),
            (
                "{kind: Policy, apiVersion: audit.k8s.io/v1beta1, rules: [{level: None}]}",
                "failed decoding: no kind \"Policy\" is registered for version \
                 \"audit.k8s.io/v1beta1\""
                    .to_owned(),
            ),
            (HEAD, "loaded illegal policy with 0 rules".to_owned()),
            (&format!("{HEAD}rules: [{{}}]"), "rules[0].level: Required value".to_owned()),
            (
                &format!("{HEAD}rules: [{{level: All}}]"),
                "rules[0].level: Unsupported value: \"All\": supported values: \"None\", \
                 \"Metadata\", \"Request\", \"RequestResponse\""
                    .to_owned(),
            ),
            (
                &format!("{HEAD}omitStages: [x]\nrules: [{{level: None, omitStages: [z]}}]"),
                format!(
                    "[omitStages[0]: Invalid value: \"x\": {stages}, rules[0].omitStages[0]: \
                     Invalid value: \"z\": {stages}]"
                ),
            ),
            (
                &format!("{HEAD}rules: [{{level: None, nonResourceURLs: [a, /b*c]}}]"),
                "[rules[0].nonResourceURLs[0]: Invalid value: \"a\": non-resource URL rules must \
                 begin with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: \"/b*c\": \
                 non-resource URL wildcards '*' must be the final character of the rule]"
                    .to_owned(),
            ),
            (
                &format!("{HEAD}rules: [{{level: None, resources: [{{resourceNames: [a]}}]}}]"),
                "rules[0].resources.resourceNames: Invalid value: [\"a\"]: using resourceNames \
                 requires at least one resource"
                    .to_owned(),
            ),
            (
                &format!("{HEAD}rules: [{{level: None, namespaces: [a], nonResourceURLs: [/b]}}]"),
                "rules[0].nonResourceURLs: Invalid value: [\"/b\"]: rules cannot apply to both \
                 regular resources and non-resource URLs"
                    .to_owned(),
            ),
        ] {
            assert_eq!(refused(text), want, "{text}");
        }
        let wrong =
            refused(&format!("{HEAD}rules: [{{level: None, resources: [{{group: a/b}}]}}]"));
        assert!(wrong.starts_with("rules[0].resources.group: Invalid value: \"a/b\": "), "{wrong}");
        assert!(refused(&format!("{HEAD}rules: 3")).starts_with("failed decoding: "));
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = Policy::parse(
            format!(
                "{HEAD}
omitStages: [RequestReceived]
omitManagedFields: true
unknown: 1
rules:
- {{level: None, users: [quiet]}}
- {{level: None, userGroups: [quiets], verbs: [get]}}
- {{level: Request, resources: [{{resources: [pods], resourceNames: [named]}}]}}
- {{level: RequestResponse, resources: [{{group: apps, resources: ['deployments/*']}}], omitManagedFields: false}}
- {{level: Metadata, resources: [{{group: '*', resources: ['*/status', 'pods/log']}}], omitStages: [Panic]}}
- {{level: Request, namespaces: [own], resources: [{{group: batch}}]}}
- {{level: Metadata, namespaces: ['']}}
- {{level: Metadata, nonResourceURLs: ['/healthz*', /version]}}
"
            )
            .as_bytes(),
        )
        .unwrap();
        let of = |user: &User, method: &str, path: &str| {
            let method: Method = method.parse().unwrap();
            let info = RequestInfo::parse(&method, path, &Query::default()).unwrap();
            policy.scope(Some(user), &info)
        };
        let user = User::new("u", &["quiets"]);
        for (method, path, want) in [
            ("POST", "/api/v1/namespaces/a/pods", Level::None),
            ("PUT", "/api/v1/namespaces/a/pods/named", Level::Request),
            ("GET", "/api/v1/namespaces/a/pods/named", Level::None),
            ("PUT", "/api/v1/namespaces/a/pods/named/status", Level::Metadata),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/d", Level::RequestResponse),
            ("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale", Level::RequestResponse),
            ("POST", "/apis/batch/v1/namespaces/own/jobs", Level::Request),
            ("POST", "/apis/batch/v1/namespaces/other/jobs", Level::None),
            ("POST", "/api/v1/nodes", Level::Metadata),
            ("POST", "/healthz/ping", Level::Metadata),
            ("POST", "/versions", Level::None),
        ] {
            assert_eq!(of(&user, method, path).level, want, "{method} {path}");
        }
        assert_eq!(of(&User::new("quiet", &[]), "POST", "/api/v1/nodes").level, Level::None);
        let scope = of(&user, "PUT", "/apis/apps/v1/namespaces/a/deployments/d");
        assert!(!scope.omit_managed_fields);
        let scope = of(&user, "PUT", "/api/v1/nodes/n/status");
        assert_eq!(scope.omitted, [Stage::RequestReceived, Stage::Panic]);
        assert!(scope.omit_managed_fields);
        // Rules about users do not match those that are unknown.
        let info = RequestInfo::parse(&Method::GET, "/version", &Query::default()).unwrap();
        assert_eq!(policy.scope(None, &info).level, Level::Metadata);
    }
}

//! The ABAC authorizer: a file of policies, one a line, read when the server starts.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Attributes, Opinion};
use crate::user::{AUTHENTICATED, User};
use crate::watched_file;

const VERSION: &str = "abac.authorization.kubernetes.io/v1beta1";
const READS: [&str; 3] = ["get", "list", "watch"];

/// Why a file of policies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It cannot be read.
    #[error("error reading policy file {0}: {1}")]
    File(String, std::io::Error),
    /// A line is no policy.
    #[error("error reading policy file {path}, line {number}: {line}: {why}")]
    Line {
        /// The file.
        path: String,
        /// From one.
        number: usize,
        /// The text that stands there.
        line: String,
        /// The reason.
        why: serde_json::Error,
    },
}

/// Users, and things that they may do.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    resource: String,
    namespace: String,
    non_resource_path: String,
}

/// All policies of a file.
#[derive(Debug)]
pub(super) struct Policies(Vec<Policy>);

impl Policies {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or a line is no policy.
    pub(super) fn read(path: &Path) -> Result<Self, PolicyFileError> {
        let shown = || path.display().to_string();
        let text = watched_file::read(path).map_err(|why| PolicyFileError::File(shown(), why))?;
        let lines = (1..).zip(text.lines());
        let lines =
            lines.filter(|(_, line)| !matches!(line.trim().chars().next(), None | Some('#')));
        let read = |(number, line): (usize, &str)| {
            let line_of =
                |why| PolicyFileError::Line { path: shown(), number, line: line.to_owned(), why };
            Policy::parse(line).map_err(line_of)
        };
        Ok(Self(lines.map(read).collect::<Result<_, _>>()?))
    }

    pub(super) fn decide(&self, a: &Attributes<'_>) -> Opinion {
        match self.0.iter().any(|policy| policy.allows(a)) {
            true => Opinion::Allow(String::new()),
            false => Opinion::none("No policy matched."),
        }
    }

    /// The rules of a user in a namespace: of resources, and of paths.
    pub(super) fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let (mut resource, mut other) = (Vec::new(), Vec::new());
        let here = |policy: &&Policy| {
            policy.is_for(user) && (policy.namespace == "*" || policy.namespace == namespace)
        };
        for policy in self.0.iter().filter(here) {
            let verbs = if policy.readonly { &READS[..] } else { &["*"] };
            if !policy.resource.is_empty() {
                resource.push(json!({"verbs": verbs, "apiGroups": [policy.api_group],
                    "resources": [policy.resource]}));
            }
            if !policy.non_resource_path.is_empty() {
                other.push(json!({"verbs": verbs, "nonResourceURLs": [policy.non_resource_path]}));
            }
        }
        (resource, other)
    }
}

impl Policy {
    fn parse(line: &str) -> serde_json::Result<Self> {
        let fields: Map<String, Value> = serde_json::from_str(line)?;
        let is = |field: &str, value: &str| fields.get(field).is_some_and(|v| v == value);
        let versioned = is("apiVersion", VERSION) && is("kind", "Policy");
        // A slip in these would make a policy without a version of it, which is for all.
        let names_itself = ["apiVersion", "kind", "spec"].iter().any(|it| fields.contains_key(*it));
        if !versioned && names_itself {
            let why =
                format!("a policy with apiVersion, kind or spec must be a Policy of {VERSION}");
            return Err(serde::de::Error::custom(why));
        }
        if !versioned {
            tracing::warn!(line, "a policy without apiVersion and kind");
        }
        let mut policy: Self = match versioned {
            true => serde_json::from_value(fields.get("spec").cloned().unwrap_or(json!({})))?,
            false => serde_json::from_value(Value::Object(fields))?,
        };
        let anybody = policy.user == "*" || policy.group == "*";
        // Without a version, what is left out is meant for all.
        if anybody || (!versioned && policy.user.is_empty() && policy.group.is_empty()) {
            policy.user.clear();
            AUTHENTICATED.clone_into(&mut policy.group);
        }
        if !versioned {
            let all = policy.namespace.is_empty() && policy.resource.is_empty();
            policy.non_resource_path = if all { "*" } else { "" }.to_owned();
            for field in [&mut policy.namespace, &mut policy.resource] {
                if field.is_empty() {
                    "*".clone_into(field);
                }
            }
            "*".clone_into(&mut policy.api_group);
        }
        Ok(policy)
    }

    fn is_for(&self, user: &User) -> bool {
        let by_user = self.user.is_empty() || self.user == user.name;
        let by_group = self.group.is_empty() || user.in_group(&self.group);
        by_user && by_group && !(self.user.is_empty() && self.group.is_empty())
    }

    fn allows(&self, a: &Attributes<'_>) -> bool {
        let is = |own: &str, asked: &str| own == "*" || own == asked;
        let concerned = match a.is_resource {
            true => {
                is(&self.namespace, a.namespace)
                    && is(&self.resource, a.resource)
                    && is(&self.api_group, a.group)
            }
            false => {
                let path = &self.non_resource_path;
                let below = path.strip_suffix('*').map(|path| path.trim_end_matches('*'));
                path == a.path || below.is_some_and(|path| a.path.starts_with(path))
            }
        };
        concerned && self.is_for(a.user) && (!self.readonly || READS.contains(&a.verb))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_gives_nobody_everything() {
        for line in [
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta2","kind":"Policy","spec":{"user":"ann"}}"#,
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"policy","spec":{"user":"ann"}}"#,
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","spec":{"user":"ann"}}"#,
            r#"{"spec":{"user":"ann"}}"#,
        ] {
            assert!(Policy::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn policies_allow_what_upstreams_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policies.jsonl");
        let policy = |spec: &str| {
            format!("{{\"apiVersion\":\"{VERSION}\",\"kind\":\"Policy\",\"spec\":{spec}}}\n")
        };
        let text = [
            "# a comment\n\n".to_owned(),
            policy(r#"{"user":"ann","namespace":"*","resource":"*","apiGroup":"*"}"#),
            policy(r#"{"group":"readers","namespace":"n","resource":"pods","readonly":true}"#),
            policy(r#"{"user":"*","nonResourcePath":"/api/*","readonly":true}"#),
            policy(r#"{"namespace":"*","resource":"*","apiGroup":"*"}"#),
            "{\"user\":\"old\"}\n".to_owned(),
        ];
        std::fs::write(&path, text.concat()).unwrap();
        let policies = Policies::read(&path).unwrap();
        let (ann, reader) = (User::new("ann", &[]), User::new("r", &["readers"]));
        let (old, nobody) = (User::new("old", &[]), User::anonymous());
        let on = |user, verb, group, resource, namespace| {
            let asked = Attributes::on_resource(user, verb, group, resource);
            policies.decide(&Attributes { namespace, ..asked })
        };
        let path_of = |user, verb, path| policies.decide(&Attributes::on_path(user, verb, path));
        let allowed = |opinion| matches!(opinion, Opinion::Allow(_));
        assert!(allowed(on(&ann, "delete", "apps", "deployments", "x")));
        assert!(!allowed(path_of(&ann, "get", "/metrics")));
        assert!(allowed(on(&reader, "list", "", "pods", "n")));
        assert!(!allowed(on(&reader, "create", "", "pods", "n")));
        assert!(!allowed(on(&reader, "list", "", "pods", "m")));
        assert!(!allowed(on(&reader, "list", "apps", "pods", "n")));
        assert!(allowed(path_of(&reader, "get", "/api/v1")));
        assert!(!allowed(path_of(&reader, "post", "/api/v1")));
        assert!(allowed(path_of(&old, "post", "/anything")));
        assert!(!allowed(path_of(&nobody, "get", "/api/v1")));
        assert_eq!(on(&nobody, "get", "", "pods", "n"), Opinion::none("No policy matched."));
        let (resource, other) = policies.rules_for(&reader, "n");
        assert_eq!(
            resource,
            [json!({"verbs": ["get", "list", "watch"], "apiGroups": [""], "resources": ["pods"]})]
        );
        assert!(other.is_empty());

        std::fs::write(&path, "\n{\n").unwrap();
        let why = Policies::read(&path).unwrap_err().to_string();
        assert!(why.contains("policies.jsonl, line 2: {: "), "{why}");
    }
}

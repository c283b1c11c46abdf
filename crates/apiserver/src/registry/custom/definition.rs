//! From a CustomResourceDefinition to its kinds.

use std::cmp::Ordering;
use std::sync::Arc;

use apimachinery::{Object, ObjectExt};
use serde_json::Value;

use super::{Custom, words};
use crate::registry::kind::{Kind, Rechecks, Selectable, Sub};

/// A definition whose names have been accepted, and the kinds that it makes.
pub(crate) struct Definition {
    pub(crate) group: &'static str,
    pub(crate) resource: &'static str,
    /// The kind of the version that objects are stored in, which need not be served.
    pub(crate) storage: Arc<Kind>,
    /// The fields that any version selects by.
    pub(crate) selectable: &'static [Selectable],
    /// The served versions.
    pub(crate) kinds: Vec<Arc<Kind>>,
    /// The definition that the kinds were made of: they are made again when it changes.
    source: Source,
}

#[derive(PartialEq)]
struct Source {
    uid: String,
    spec: Value,
    names: Value,
    terminating: bool,
}

/// Returns true if a resource is one of the table's, in whatever version.
pub(crate) fn is_built_in(group: &str, resource: &str) -> bool {
    crate::registry::kinds().any(|kind| kind.group == group && kind.resource == resource)
}

fn is_true(definition: &Object, condition: &str) -> bool {
    let conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.into_iter().any(|is| is["type"] == condition && is["status"] == "True")
}

impl Definition {
    /// The kinds of a definition; `None` where none is served. `known` is what it was before.
    pub(crate) fn read(object: &Object, known: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        if !is_true(object, "NamesAccepted") && !is_true(object, "Established") {
            return None;
        }
        let spec = &object["spec"];
        let names = &object["status"]["acceptedNames"];
        for name in ["plural", "singular", "kind", "listKind"] {
            names[name].as_str().filter(|name| !name.is_empty())?;
        }
        // Objects are stored by group and resource: those of the table are its own.
        let plural = names["plural"].as_str().unwrap_or_default();
        let group = spec["group"].as_str().unwrap_or_default();
        // A status can be written to, a name cannot.
        if is_built_in(group, plural) || object.name() != format!("{plural}.{group}") {
            return None;
        }
        let source = Source {
            uid: object.uid().to_owned(),
            spec: spec.clone(),
            names: names.clone(),
            terminating: is_true(object, "Terminating"),
        };
        if let Some(known) = known.filter(|known| known.source == source) {
            return Some(known.clone());
        }
        let versions = spec["versions"].as_array()?;
        let served = versions.iter().filter(|version| version["served"] == true);
        let kinds: Vec<_> = served.map(|version| Arc::new(kind(&source, version))).collect();
        let storage = versions.iter().find(|version| version["storage"] == true)?;
        let text = |value: &Value| words::word(value.as_str().unwrap_or_default());
        let paths = versions
            .iter()
            .flat_map(|version| version["selectableFields"].as_array().into_iter().flatten());
        let mut paths: Vec<&str> = paths.filter_map(|field| field["jsonPath"].as_str()).collect();
        paths.sort_unstable();
        paths.dedup();
        Some(Arc::new(Self {
            group: text(&spec["group"]),
            resource: text(&names["plural"]),
            selectable: words::fields(paths.into_iter()),
            storage: match kinds.iter().find(|kind| storage["name"] == kind.version) {
                Some(served) => served.clone(),
                None => Arc::new(kind(&source, storage)),
            },
            kinds,
            source,
        }))
    }
}

fn kind(source: &Source, version: &Value) -> Kind {
    let Source { uid, spec, names, terminating } = source;
    let text = |value: &Value| words::word(value.as_str().unwrap_or_default());
    let list = |value: &Value| {
        let all = value.as_array().into_iter().flatten();
        words::list(all.filter_map(Value::as_str))
    };
    let custom = Custom::new(spec, version, names, uid, *terminating);
    let subs: &[Sub] = match (custom.has_status, custom.scale.is_some()) {
        (true, true) => &[Sub::Status, Sub::Scale],
        (true, false) => &[Sub::Status],
        (false, true) => &[Sub::Scale],
        (false, false) => &[],
    };
    let group = text(&spec["group"]);
    let plural = text(&names["plural"]);
    let fields = version["selectableFields"].as_array().into_iter().flatten();
    let deprecated =
        (version["deprecated"] == true).then(|| match version["deprecationWarning"].as_str() {
            Some(own) => words::word(own),
            None => words::word(&deprecation(spec, version, names)),
        });
    Kind {
        namespaced: spec["scope"] == "Namespaced",
        short: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        subs,
        selectable: words::fields(fields.filter_map(|field| field["jsonPath"].as_str())),
        deprecated,
        rechecks: Rechecks { finalizers: false, ..Rechecks::ONCE },
        generation: true,
        custom: Some(Arc::new(custom)),
        ..Kind::new(
            group,
            text(&version["name"]),
            text(&names["kind"]),
            plural,
            text(&names["singular"]),
        )
        .stored_at(words::word(&format!("{group}/{plural}")))
    }
}

/// The warning about a deprecated version that declares none: the best of the versions that are
/// better and not deprecated is named.
fn deprecation(spec: &Value, version: &Value, names: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, kind, own) = (text(&spec["group"]), text(&names["kind"]), text(&version["name"]));
    let message = format!("{group}/{own} {kind} is deprecated");
    let better = spec["versions"].as_array().into_iter().flatten();
    let better = better
        .filter(|other| other["served"] == true && other["deprecated"] != true)
        .filter_map(|other| other["name"].as_str())
        .filter(|other| by_priority(other, &own) == Ordering::Less);
    match better.min_by(|a, b| by_priority(a, b)) {
        Some(other) => format!("{message}; use {group}/{other} {kind}"),
        None => message,
    }
}

/// Orders versions as clients prefer them: GA before beta before alpha, newer before older, others
/// last by name (`version.CompareKubeAwareVersionStrings`, reversed).
pub(crate) fn by_priority(a: &str, b: &str) -> Ordering {
    match (stability(a), stability(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Stability, major and minor of `v1`, `v1beta2`, `v2alpha1`.
fn stability(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let major = rest[..digits].parse().ok()?;
    let number = |text: &str| {
        let valid = !text.is_empty() && !text.starts_with('0');
        valid
            .then(|| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()))
            .flatten()?
    };
    match &rest[digits..] {
        "" => Some((2, major, 0)),
        minor => match (minor.strip_prefix("beta"), minor.strip_prefix("alpha")) {
            (Some(minor), _) => Some((1, major, number(minor)?)),
            (_, Some(minor)) => Some((0, major, number(minor)?)),
            _ => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_clients_prefer_them() {
        let mut all = vec!["foo1", "v3beta1", "v12alpha1", "v10", "v1", "v11beta2", "foo10", "v2"];
        all.sort_by(|a, b| by_priority(a, b));
        let want = ["v10", "v2", "v1", "v11beta2", "v3beta1", "v12alpha1", "foo1", "foo10"];
        assert_eq!(all, want);
    }
}

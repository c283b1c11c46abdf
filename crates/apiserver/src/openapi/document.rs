//! Building blocks of operations, in both dialects.

use std::sync::LazyLock;

use apimachinery::openapi::Dialect;
use apimachinery::schema::Registry;
use serde_json::{Map, Value, json};

/// Query parameters as upstream describes them, one a line.
const PARAMETERS: &str = include_str!("parameters.facts");

/// A query parameter of `parameters.facts`.
#[derive(Clone, Copy)]
pub(super) struct Described {
    sets: &'static str,
    name: &'static str,
    of: &'static str,
    text: &'static str,
}

impl Described {
    pub(super) fn is(self, name: &str) -> bool {
        self.name == name
    }

    /// Its name among the shared parameters: one name may have two descriptions.
    fn shared(self) -> String {
        format!("{}-{}", self.name, self.sets.replace(',', "."))
    }
}

static DESCRIBED: LazyLock<Vec<Described>> = LazyLock::new(|| {
    let lines = PARAMETERS.lines().filter(|line| !line.starts_with('#'));
    let read = lines.filter_map(|line| {
        let mut parts = line.splitn(4, ' ');
        Some(Described {
            sets: parts.next()?,
            name: parts.next()?,
            of: parts.next()?,
            text: parts.next()?,
        })
    });
    read.collect()
});

/// The query parameters of a set.
pub(super) fn taken(set: &str) -> impl Iterator<Item = Described> {
    DESCRIBED
        .iter()
        .copied()
        .filter(move |parameter| parameter.sets.split(',').any(|own| own == set))
}

fn written(dialect: Dialect, place: &str, name: &str, of: &str, text: &str) -> Value {
    let mut parameter =
        json!({"description": text.replace("\\n", "\n"), "in": place, "name": name});
    if place == "path" {
        parameter["required"] = true.into();
    }
    if dialect == Dialect::V2 {
        parameter["type"] = of.into();
        parameter["uniqueItems"] = true.into();
    } else {
        parameter["schema"] = json!({"type": of, "uniqueItems": true});
    }
    parameter
}

/// A reference to the parameter, or the parameter itself.
pub(super) fn parameter(dialect: Dialect, described: Described) -> Value {
    match dialect {
        Dialect::V2 => json!({"$ref": format!("#/parameters/{}", described.shared())}),
        Dialect::V3 => written(dialect, "query", described.name, described.of, described.text),
    }
}

/// The parameters that operations of the v2 document refer to.
pub(super) fn shared_parameters() -> Map<String, Value> {
    let all = DESCRIBED.iter();
    all.map(|d| (d.shared(), written(Dialect::V2, "query", d.name, d.of, d.text))).collect()
}

/// The parameters that a path has; objects are called `of`.
pub(super) fn path_parameters(dialect: Dialect, of: &str, path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|p| p.split('}').next());
    names
        .map(|name| {
            let text = match name {
                "namespace" => "object name and auth scope, such as for teams and projects".into(),
                "path" => "path to the resource".into(),
                _ => format!("name of the {of}"),
            };
            written(dialect, "path", name, "string", &text)
        })
        .collect()
}

/// A reference to a type by its name.
pub(super) fn named(dialect: Dialect, name: &str) -> Value {
    let root = if dialect == Dialect::V2 { "#/definitions" } else { "#/components/schemas" };
    json!({"$ref": format!("{root}/{name}")})
}

pub(super) fn reference(dialect: Dialect, group: &str, version: &str, kind: &str) -> Value {
    Registry::builtin()
        .lookup(group, version, kind)
        .map_or_else(|| json!({"type": "object"}), |ty| named(dialect, &ty.name))
}

/// A reference to a type of meta.k8s.io.
pub(super) fn meta(dialect: Dialect, kind: &str) -> Value {
    named(dialect, &format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"))
}

/// A name as a part of an operation's id: letters and digits, where words begin with a capital
/// (`ToValidOperationID`).
pub(super) fn id_part(name: &str, capital: bool) -> String {
    let mut capital = capital;
    let mut part = String::with_capacity(name.len());
    for (at, c) in name.char_indices() {
        if !(c.is_alphabetic() || c == '_' || (at != 0 && c.is_ascii_digit())) {
            capital = true;
        } else if std::mem::take(&mut capital) {
            part.extend(c.to_uppercase());
        } else {
            part.push(c);
        }
    }
    part
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

/// The root of a version's paths.
pub(super) fn roots(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

/// An operation with only its responses.
pub(super) fn answers(
    dialect: Dialect,
    answer: &Value,
    codes: &[&str],
    produces: &[&str],
) -> Value {
    let mut responses = Map::new();
    for &code in codes {
        let said = match code {
            "200" => "OK",
            "201" => "Created",
            _ => "Accepted",
        };
        let mut response = json!({"description": said});
        if dialect == Dialect::V2 {
            response["schema"] = answer.clone();
        } else {
            let content: Map<String, Value> =
                produces.iter().map(|t| ((*t).to_owned(), json!({"schema": answer}))).collect();
            response["content"] = content.into();
        }
        responses.insert(code.to_owned(), response);
    }
    responses.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    let mut operation = json!({"responses": responses});
    if dialect == Dialect::V2 {
        operation["produces"] = produces.into();
        operation["schemes"] = json!(["https"]);
    }
    operation
}

/// A read-only path.
pub(super) fn found(
    dialect: Dialect,
    id: &str,
    tag: &str,
    description: &str,
    answer: Value,
) -> Value {
    const PLAIN: &[&str] = &["application/json"];
    const ALL: &[&str] =
        &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
    let types = match id {
        "getCodeVersion" | "getServiceAccountIssuerOpenIDConfiguration" => PLAIN,
        "getServiceAccountIssuerOpenIDKeyset" => &["application/jwk-set+json"],
        _ => ALL,
    };
    let mut operation = answers(dialect, &answer, &["200"], types);
    operation["description"] = description.into();
    operation["operationId"] = id.into();
    operation["tags"] = json!([tag]);
    if dialect == Dialect::V2 && (types == ALL || id == "getCodeVersion") {
        operation["consumes"] = types.into();
    }
    json!({ "get": operation })
}

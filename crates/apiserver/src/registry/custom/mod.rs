//! Kinds of custom resources: what a CustomResourceDefinition makes of each of its versions.

mod columns;
mod definition;
mod policy;
pub(in crate::registry) mod rules;
mod words;

use std::sync::Arc;

use apimachinery::schema::{Gvk, Type};
use apimachinery::structural::Schema;
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use crate::conversion::Converter;
use columns::Columns;
pub(crate) use definition::{Definition, by_priority};
use rules::Rules;

/// Paths of the scale subresource within an object.
#[derive(Debug)]
pub(crate) struct ScalePaths {
    pub(crate) replicas: Vec<String>,
    pub(crate) status: Vec<String>,
    pub(crate) selector: Option<Vec<String>>,
}

/// The part of a kind that only custom ones have.
pub(crate) struct Custom {
    ty: Arc<Type>,
    schema: Schema,
    rules: Rules,
    has_status: bool,
    pub(crate) scale: Option<ScalePaths>,
    columns: Columns,
    pub(crate) list_kind: &'static str,
    api_version: String,
    /// The `apiVersion` that objects are stored in.
    stored_api_version: String,
    /// The webhook that converts between versions, if there is one.
    pub(crate) converter: Option<Converter>,
    costly: bool,
    /// The identity of the definition.
    pub(crate) uid: String,
    /// The definition is being deleted: nothing may be created.
    pub(crate) terminating: bool,
    /// The schema as it was declared, for OpenAPI.
    pub(crate) declared: Arc<Value>,
    /// The beginning of an object that is stored as it is shown.
    head: String,
    /// The beginning of an object in the version that is stored now.
    stored_head: String,
}

impl Custom {
    /// Returns true if its schema has patterns or rules.
    pub(crate) fn is_costly(&self) -> bool {
        self.costly
    }

    /// The type, by which fields are owned, merged and pruned.
    pub(crate) fn ty(&self) -> &Arc<Type> {
        &self.ty
    }

    /// The structural schema.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Returns true if an object is stored in this version.
    pub(crate) fn is_of_version(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(self.head.as_bytes())
    }

    /// Returns true if stored bytes are shown as they are: they have this version, and no default
    /// can be missing.
    pub(crate) fn shows(&self, bytes: &[u8]) -> bool {
        !self.schema.has_defaults() && self.is_of_version(bytes)
    }

    /// Returns true if `bytes` are how `object`, of this version, would be stored now: not in another
    /// version, and with every default.
    pub(crate) fn is_stored(&self, bytes: &[u8], object: &Object) -> bool {
        let defaults = || self.api_version == self.stored_api_version && self.schema.has_defaults();
        bytes.starts_with(self.stored_head.as_bytes())
            && (!defaults() || serde_json::from_slice::<Object>(bytes).is_ok_and(|s| s == *object))
    }

    pub(crate) fn api_version(&self) -> &str {
        &self.api_version
    }

    pub(crate) fn stored_api_version(&self) -> &str {
        &self.stored_api_version
    }

    /// Converts an object from its stored form.
    pub(crate) fn read(&self, object: &mut Object) {
        if object.api_version() != self.api_version {
            object["apiVersion"] = self.api_version.as_str().into();
            self.schema.prune(object);
        }
        self.schema.default(object);
    }

    /// The object as it is stored, if that differs.
    pub(crate) fn to_stored(&self, object: &Object) -> Option<Object> {
        (object.api_version() != self.stored_api_version).then(|| {
            let mut object = object.clone();
            object["apiVersion"] = self.stored_api_version.as_str().into();
            object
        })
    }

    /// Column definitions of a table.
    pub(crate) fn column_definitions(&self) -> Vec<Value> {
        self.columns.definitions()
    }

    /// The cells of an object's row.
    pub(crate) fn cells(&self, object: &Object) -> Vec<Value> {
        self.columns.cells(object)
    }
}

/// OpenAPI's name of a custom kind: the group reversed, the version, the kind.
pub(crate) fn openapi_name(group: &str, version: &str, kind: &str) -> String {
    let reversed: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{version}.{kind}", reversed.join("."))
}

/// The beginning of a stored object.
fn head(kind: &str, api_version: &str) -> String {
    format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","#)
}

/// A path such as `.spec.replicas` as its steps.
fn steps(path: &str) -> Vec<String> {
    path.trim_start_matches('.').split('.').map(str::to_owned).collect()
}

impl Custom {
    /// Reads one version of a definition's `spec`.
    fn new(spec: &Value, version: &Value, names: &Value, uid: &str, terminating: bool) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (group, name, kind) =
            (text(&spec["group"]), text(&version["name"]), text(&names["kind"]));
        let declared =
            version.get_path(&["schema", "openAPIV3Schema"]).cloned().unwrap_or_else(|| json!({}));
        let gvk = Gvk { group: group.clone(), version: name.clone(), kind: kind.clone() };
        let api_version = super::kind::api_version(&group, &name);
        let mut versions = spec["versions"].as_array().into_iter().flatten();
        let stored = versions.find(|version| version["storage"] == true);
        let stored_name = stored.and_then(|version| version["name"].as_str()).unwrap_or(&name);
        let stored_api_version = super::kind::api_version(&group, stored_name);
        let subresources = &version["subresources"];
        let scale = subresources.get("scale").filter(|scale| scale.is_object()).map(|scale| {
            let path = |field: &str| steps(scale[field].as_str().unwrap_or_default());
            ScalePaths {
                replicas: path("specReplicasPath"),
                status: path("statusReplicasPath"),
                selector: scale["labelSelectorPath"].as_str().filter(|p| !p.is_empty()).map(steps),
            }
        });
        Self {
            ty: Type::custom(gvk, &openapi_name(&group, &name, &kind), &declared),
            schema: Schema::parse(&declared),
            rules: Rules::compile(&declared),
            has_status: subresources.get("status").is_some_and(Value::is_object),
            scale,
            uid: uid.to_owned(),
            costly: has_any(&declared, &["pattern", "x-kubernetes-validations"]),
            columns: Columns::new(&version["additionalPrinterColumns"]),
            list_kind: words::word(names["listKind"].as_str().unwrap_or_default()),
            head: head(&kind, &api_version),
            stored_head: head(&kind, &stored_api_version),
            stored_api_version,
            converter: Converter::read(&spec["conversion"]),
            api_version,
            terminating,
            declared: Arc::new(declared),
        }
    }
}

/// Returns true if a schema or one below it has one of these fields.
fn has_any(schema: &Value, fields: &[&str]) -> bool {
    match schema {
        Value::Object(map) => {
            fields.iter().any(|field| map.contains_key(*field))
                || map.values().any(|value| has_any(value, fields))
        }
        Value::Array(items) => items.iter().any(|item| has_any(item, fields)),
        _ => false,
    }
}

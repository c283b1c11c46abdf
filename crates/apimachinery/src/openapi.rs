//! OpenAPI schemas of types, without descriptions.

use crate::schema::{Field, ListKind, Patch, Shape, Type};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// Group versions for which upstream registers delete options and watch events.
const REGISTERED: &str = "
    core:v1 admission.k8s.io:v1,v1beta1 admissionregistration.k8s.io:v1,v1alpha1,v1beta1
    apiextensions.k8s.io:v1,v1beta1 apiregistration.k8s.io:v1,v1beta1
    apps:v1,v1beta1,v1beta2 authentication.k8s.io:v1,v1alpha1,v1beta1
    authorization.k8s.io:v1,v1beta1 autoscaling:v1,v2 batch:v1,v1beta1
    certificates.k8s.io:v1,v1alpha1,v1beta1 coordination.k8s.io:v1,v1alpha2,v1beta1
    discovery.k8s.io:v1,v1beta1 events.k8s.io:v1,v1beta1 extensions:v1beta1
    flowcontrol.apiserver.k8s.io:v1,v1beta1,v1beta2,v1beta3 imagepolicy.k8s.io:v1alpha1
    internal.apiserver.k8s.io:v1alpha1 lifecycle.k8s.io:v1alpha1 networking.k8s.io:v1,v1beta1
    node.k8s.io:v1,v1alpha1,v1beta1 policy:v1,v1beta1
    rbac.authorization.k8s.io:v1,v1alpha1,v1beta1
    resource.k8s.io:v1,v1alpha3,v1beta1,v1beta2 scheduling.k8s.io:v1,v1alpha3,v1beta1
    storage.k8s.io:v1,v1alpha1,v1beta1 storagemigration.k8s.io:v1,v1beta1
";

/// Version of OpenAPI that a schema is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/openapi/v2`: definitions, no defaults, no alternatives.
    V2,
    /// `/openapi/v3/...`: components.
    V3,
}

/// The schemas of `roots` and of every type they refer to, by name.
#[must_use]
pub fn schemas<'a>(
    dialect: Dialect,
    roots: impl IntoIterator<Item = &'a Arc<Type>>,
) -> BTreeMap<String, Value> {
    let mut writer = Writer { dialect, found: BTreeMap::new(), open: Vec::new() };
    for root in roots {
        writer.enqueue(root);
    }
    while let Some(ty) = writer.open.pop() {
        let schema = writer.object(&ty);
        writer.found.insert(ty.name.clone(), schema);
    }
    writer.found
}

/// The schema of one type, without the types it refers to.
#[must_use]
pub fn schema(dialect: Dialect, ty: &Type) -> Value {
    Writer { dialect, found: BTreeMap::new(), open: Vec::new() }.object(ty)
}

struct Writer {
    dialect: Dialect,
    found: BTreeMap<String, Value>,
    open: Vec<Arc<Type>>,
}

impl Writer {
    fn enqueue(&mut self, ty: &Arc<Type>) {
        if !self.found.contains_key(&ty.name) {
            self.found.insert(ty.name.clone(), Value::Null);
            self.open.push(ty.clone());
        }
    }

    fn object(&mut self, ty: &Type) -> Value {
        let mut schema = Map::from_iter([("type".to_owned(), "object".into())]);
        let properties: Map<String, Value> =
            ty.fields.iter().map(|f| (f.name.clone(), self.field(f))).collect();
        if !properties.is_empty() {
            schema.insert("properties".into(), properties.into());
        }
        let mut required: Vec<&Field> = ty.fields.iter().filter(|f| f.required).collect();
        // In Go's order, which mostly follows the protobuf numbers.
        required.sort_by_key(|f| (&f.via, f.tag));
        let required: Vec<&str> = match ty.required.as_slice() {
            [] => required.into_iter().map(|f| f.name.as_str()).collect(),
            declared => declared.iter().map(String::as_str).collect(),
        };
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        if let Some(kinds) = kinds_of(ty) {
            schema.insert("x-kubernetes-group-version-kind".into(), kinds);
        }
        if ty.atomic {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        if let Some(by) = &ty.union {
            schema.insert("x-kubernetes-unions".into(), union(ty, by));
        }
        if ty.open {
            schema.insert("x-kubernetes-preserve-unknown-fields".into(), true.into());
        }
        schema.into()
    }

    fn field(&mut self, field: &Field) -> Value {
        let default = match &field.default {
            Some(default) => Some(default.clone()),
            None if field.pointer => None,
            None => default_of(&field.shape).filter(|d| d.is_object() || !field.omit_empty),
        };
        let mut schema = self.value(&field.shape, default);
        if !field.values.is_empty() {
            let inner =
                ["items", "additionalProperties"].into_iter().find(|n| schema.contains_key(*n));
            let of =
                match inner.and_then(|name| schema.get_mut(name)).and_then(Value::as_object_mut) {
                    Some(inner) => inner,
                    None => &mut schema,
                };
            of.insert("enum".into(), field.values.clone().into());
        }
        if field.listed {
            schema.insert("x-kubernetes-list-type".into(), "atomic".into());
        }
        let Patch { merge, retain_keys, replace, merge_key } = &field.patch;
        let strategies: Vec<&str> =
            [(*merge, "merge"), (*replace, "replace"), (*retain_keys, "retainKeys")]
                .into_iter()
                .filter_map(|(on, name)| on.then_some(name))
                .collect();
        if !strategies.is_empty() {
            schema.insert("x-kubernetes-patch-strategy".into(), strategies.join(",").into());
        }
        if !merge_key.is_empty() {
            schema.insert("x-kubernetes-patch-merge-key".into(), merge_key.as_str().into());
        }
        schema.into()
    }

    fn value(&mut self, shape: &Shape, default: Option<Value>) -> Map<String, Value> {
        let mut schema = match shape {
            Shape::String => json!({"type": "string"}),
            Shape::Bool => json!({"type": "boolean"}),
            Shape::Int32 => json!({"type": "integer", "format": "int32"}),
            Shape::Int64 => json!({"type": "integer", "format": "int64"}),
            Shape::Double => json!({"type": "number", "format": "double"}),
            Shape::Bytes => json!({"type": "string", "format": "byte"}),
            Shape::List(list) => {
                let item = self.value(&list.item, None);
                let mut schema = json!({"type": "array", "items": item});
                if list.declared {
                    let kind = match list.kind {
                        ListKind::Atomic => "atomic",
                        ListKind::Set => "set",
                        ListKind::Map => "map",
                    };
                    schema["x-kubernetes-list-type"] = kind.into();
                }
                if !list.keys.is_empty() {
                    schema["x-kubernetes-list-map-keys"] = list.keys.clone().into();
                }
                schema
            }
            Shape::Map(map) => {
                let value = self.value(&map.value, None);
                let mut schema = json!({"type": "object", "additionalProperties": value});
                if map.atomic {
                    schema["x-kubernetes-map-type"] = "atomic".into();
                } else if map.granular {
                    schema["x-kubernetes-map-type"] = "granular".into();
                }
                schema
            }
            Shape::Object(ty) => {
                self.enqueue(ty.get());
                let mut schema = self.reference(&ty.name, default.is_some());
                if let Some(atomic) = ty.atomic_here {
                    let kind = if atomic { "atomic" } else { "granular" };
                    schema["x-kubernetes-map-type"] = kind.into();
                }
                schema
            }
            Shape::SchemaOr(alternative, ty) => {
                self.enqueue(ty.get());
                self.found.insert(format!("{EXTENSIONS}.{}", alternative.type_name()), json!({}));
                self.reference(&format!("{EXTENSIONS}.{}", alternative.type_name()), false)
            }
            handmade => {
                let (name, schema) = handmade_schema(self.dialect, handmade);
                self.found.insert(name.clone(), schema);
                self.reference(&name, default.is_some())
            }
        };
        match (&mut schema, default) {
            (Value::Object(map), Some(default)) if self.dialect == Dialect::V3 => {
                map.insert("default".into(), default);
            }
            _ => {}
        }
        match schema {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    /// In v3 a bare `$ref` may not have siblings.
    fn reference(&self, name: &str, has_company: bool) -> Value {
        match self.dialect {
            Dialect::V2 => json!({"$ref": format!("#/definitions/{name}")}),
            Dialect::V3 => {
                let reference = json!({"$ref": format!("#/components/schemas/{name}")});
                if has_company { json!({"allOf": [reference]}) } else { reference }
            }
        }
    }
}

/// Maps the discriminator's values to fields: the values are the Go names of the fields.
fn union(ty: &Type, by: &str) -> Value {
    let fields: Map<String, Value> = ty
        .fields
        .iter()
        .filter(|field| field.name != by)
        .map(|field| {
            let mut name = field.name.clone();
            if let Some(first) = name.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            (field.name.clone(), name.into())
        })
        .collect();
    match by {
        "" => json!([{"fields-to-discriminateBy": fields}]),
        by => json!([{"discriminator": by, "fields-to-discriminateBy": fields}]),
    }
}

/// The kinds that a type is, as `x-kubernetes-group-version-kind`.
fn kinds_of(ty: &Type) -> Option<Value> {
    let gvk = ty.gvk.as_ref()?;
    // A type that only names another object has no kind itself: its `kind` is an ordinary field.
    if ty.field("kind").is_some_and(|kind| kind.tag != 0) {
        return None;
    }
    let one =
        |group: &str, version: &str| json!({"group": group, "version": version, "kind": gvk.kind});
    Some(match gvk.kind.as_str() {
        "DeleteOptions" | "WatchEvent" => REGISTERED
            .split_whitespace()
            .filter_map(|entry| entry.split_once(':'))
            .flat_map(|(group, versions)| versions.split(',').map(move |version| (group, version)))
            .map(|(group, version)| one(if group == "core" { "" } else { group }, version))
            .collect(),
        _ if gvk.group == "meta.k8s.io" => json!([one("", "v1")]),
        _ => json!([one(&gvk.group, &gvk.version)]),
    })
}

/// The value that Go shows for a field that was never set.
fn default_of(shape: &Shape) -> Option<Value> {
    Some(match shape {
        Shape::String => "".into(),
        Shape::Bool => false.into(),
        Shape::Int32 | Shape::Int64 | Shape::Double => 0.into(),
        Shape::Object(_) => json!({}),
        _ => return None,
    })
}

fn handmade_schema(dialect: Dialect, shape: &Shape) -> (String, Value) {
    let v3 = dialect == Dialect::V3;
    match shape {
        Shape::Time => (format!("{META}.Time"), json!({"type": "string", "format": "date-time"})),
        Shape::MicroTime => {
            (format!("{META}.MicroTime"), json!({"type": "string", "format": "date-time"}))
        }
        Shape::Duration => (format!("{META}.Duration"), json!({"type": "string"})),
        Shape::FieldsV1 => (format!("{META}.FieldsV1"), json!({"type": "object"})),
        Shape::Quantity if v3 => {
            (QUANTITY.to_owned(), json!({"oneOf": [{"type": "string"}, {"type": "number"}]}))
        }
        Shape::Quantity => (QUANTITY.to_owned(), json!({"type": "string"})),
        Shape::IntOrString if v3 => (
            INT_OR_STRING.to_owned(),
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        ),
        Shape::IntOrString => {
            (INT_OR_STRING.to_owned(), json!({"type": "string", "format": "int-or-string"}))
        }
        Shape::RawExtension => (RAW_EXTENSION.to_owned(), json!({"type": "object"})),
        _ => (format!("{EXTENSIONS}.JSON"), json!({})),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Registry;

    #[test]
    fn a_schema_says_what_kubectl_needs() {
        let ty = |name: &str| Registry::builtin().type_by_name(name).unwrap();
        let spec = schema(Dialect::V3, ty("io.k8s.api.core.v1.PodSpec"));
        assert_eq!(
            spec["properties"]["containers"],
            json!({
                "type": "array",
                "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "name",
            })
        );
        assert_eq!(spec["required"], json!(["containers"]));
        let port = schema(Dialect::V3, ty("io.k8s.api.core.v1.ContainerPort"));
        assert_eq!(
            port["properties"]["protocol"],
            json!({"type": "string", "default": "TCP", "enum": ["SCTP", "TCP", "UDP"]})
        );
        let claim = schema(Dialect::V3, ty("io.k8s.api.core.v1.PersistentVolumeClaimStatus"));
        let resizes = &claim["properties"]["allocatedResourceStatuses"];
        assert!(resizes["enum"].is_null() && resizes["additionalProperties"]["enum"].is_array());
        assert_eq!(resizes["x-kubernetes-map-type"], "granular");
        let profile = schema(Dialect::V3, ty("io.k8s.api.core.v1.SeccompProfile"));
        assert_eq!(
            profile["x-kubernetes-unions"],
            json!([{
                "discriminator": "type",
                "fields-to-discriminateBy": {"localhostProfile": "LocalhostProfile"},
            }])
        );
        let service = schema(
            Dialect::V3,
            ty("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec"),
        );
        assert_eq!(service["properties"]["caBundle"]["x-kubernetes-list-type"], "atomic");
        let pod = schema(Dialect::V2, ty("io.k8s.api.core.v1.Pod"));
        assert_eq!(
            pod["x-kubernetes-group-version-kind"],
            json!([{"group": "", "kind": "Pod", "version": "v1"}])
        );
        let reference = json!({"$ref": "#/definitions/io.k8s.api.core.v1.PodSpec"});
        assert_eq!(pod["properties"]["spec"], reference);
    }

    #[test]
    fn every_reference_is_answered() {
        for dialect in [Dialect::V2, Dialect::V3] {
            let schemas = schemas(dialect, Registry::builtin().types());
            let text = serde_json::to_string(&schemas).unwrap();
            for part in text.split("\"$ref\":\"").skip(1) {
                let target = part.split('"').next().unwrap().rsplit('/').next().unwrap();
                assert!(schemas.get(target).is_some_and(|s| !s.is_null()), "{target}");
            }
        }
    }
}

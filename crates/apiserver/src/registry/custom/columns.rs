//! Printer columns of a definition (`additionalPrinterColumns`).

use apimachinery::jsonpath::{self, JsonPath};
use apimachinery::{Object, ObjectExt};
use serde_json::{Value, json};

use crate::registry::column::since;

/// Description of the name column, as upstream's ObjectMeta documents the field.
const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const CREATED: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The columns after the name.
pub(super) struct Columns(Vec<Column>);

struct Column {
    definition: Value,
    of: String,
    path: JsonPath,
}

impl Columns {
    /// Reads a version's columns; without any, the age is shown. If one cannot be read, upstream
    /// shows the name alone.
    pub(super) fn new(declared: &Value) -> Self {
        let age = [json!({
            "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
            "description": CREATED,
        })];
        let declared = declared.as_array().filter(|all| !all.is_empty());
        let columns = declared.map_or(&age[..], Vec::as_slice).iter().map(Column::read);
        Self(columns.collect::<Option<Vec<_>>>().unwrap_or_default())
    }

    pub(super) fn definitions(&self) -> Vec<Value> {
        let name = json!({
            "name": "Name", "type": "string", "format": "name", "description": NAME, "priority": 0,
        });
        let own = self.0.iter().map(|column| column.definition.clone());
        std::iter::once(name).chain(own).collect()
    }

    pub(super) fn cells(&self, object: &Object) -> Vec<Value> {
        let name = Value::from(object.name());
        std::iter::once(name).chain(self.0.iter().map(|column| column.cell(object))).collect()
    }
}

impl Column {
    fn read(declared: &Value) -> Option<Self> {
        let text = |field: &str| declared[field].as_str().unwrap_or_default();
        let path = text("jsonPath");
        let description = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            own => own.to_owned(),
        };
        Some(Self {
            definition: json!({
                "name": text("name"), "type": text("type"), "format": text("format"),
                "description": description,
                "priority": declared["priority"].as_i64().unwrap_or(0),
            }),
            of: text("type").to_owned(),
            path: JsonPath::parse(path).ok()?,
        })
    }

    /// The first value that is found, if it fits the column.
    fn cell(&self, object: &Object) -> Value {
        let found = self.path.find(object);
        let Some(value) = found.first().filter(|value| !value.is_null()) else {
            return Value::Null;
        };
        match (self.of.as_str(), value) {
            ("string", value) => jsonpath::text(value).into(),
            ("integer", Value::Number(number)) => {
                number.as_i64().or_else(|| number.as_f64().map(|n| n as i64)).into()
            }
            ("number", Value::Number(number)) => number.as_f64().into(),
            ("boolean", Value::Bool(_)) => (*value).clone(),
            ("date", Value::String(time)) => match apimachinery::time::parse(time) {
                Some(_) => since(Some(value)).into(),
                None => "<invalid>".into(),
            },
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_of_their_columns_type() {
        let columns = Columns::new(&json!([
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Text", "type": "string", "jsonPath": ".spec.size"},
            {"name": "Flag", "type": "boolean", "jsonPath": ".spec.size"},
            {"name": "None", "type": "string", "jsonPath": ".spec.none", "priority": 1},
        ]));
        let object = json!({"metadata": {"name": "a"}, "spec": {"size": 3}});
        assert_eq!(
            columns.cells(&object),
            [json!("a"), 3.into(), "3".into(), Value::Null, Value::Null]
        );
        let definitions = columns.definitions();
        assert_eq!(definitions.len(), 5);
        assert_eq!(definitions[4]["priority"], 1);
        assert_eq!(
            definitions[1]["description"],
            "Custom resource definition column (in JSONPath format): .spec.size"
        );
    }
}

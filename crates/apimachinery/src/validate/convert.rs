//! Messages of upstream's converter from trees of values to typed objects, which is used for
//! patched and applied objects instead of the JSON decoder.

use super::Misfit;
use crate::schema::Shape;
use serde_json::Value;

/// Go's name of the kind of a value in a tree.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_i64() || n.is_u64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
    }
}

/// The error for a value that is not a struct.
pub(super) fn of_struct(value: &Value) -> Misfit {
    Misfit::Struct(kind(value))
}

/// The error for a value that does not fit; `go_type` is Go's name of the expected type, if the
/// shape does not determine it.
pub(super) fn misfit(shape: &Shape, value: &Value, go_type: Option<&str>) -> Misfit {
    let found = kind(value);
    let plain = |wanted: &'static str, converts: bool| match converts {
        true => Misfit::Convert { found, wanted: go_type.unwrap_or(wanted).to_owned() },
        false => Misfit::Unrecognized(wanted),
    };
    let number = value.is_number();
    match shape {
        Shape::Object(_) | Shape::SchemaOr(..) => of_struct(value),
        Shape::Map(_) => Misfit::Restore { wanted: "map", found },
        Shape::List(_) | Shape::Bytes => Misfit::Restore { wanted: "slice", found },
        // Go can convert an integer to a character.
        Shape::String => plain("string", found == "int64"),
        Shape::Bool => plain("bool", false),
        Shape::Int32 => plain("int32", number),
        Shape::Int64 => plain("int64", number),
        Shape::Double => plain("float64", number),
        // These types read JSON themselves.
        Shape::IntOrString => {
            Misfit::Value { found: super::scalar::describe(value), wanted: "int32".to_owned() }
        }
        _ => Misfit::Value {
            found: crate::text::json_type(value).to_owned(),
            wanted: "string".to_owned(),
        },
    }
}

/// Truncates numbers to the bits of the type, and drops a zero fraction.
pub(super) fn wrap(shape: &Shape, value: &mut Value) {
    let Value::Number(n) = &*value else { return };
    let whole = match n.as_i64() {
        Some(whole) => whole,
        // Below this limit a float represents every integer exactly.
        None => match n.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9e15) {
            Some(whole) => whole as i64,
            None => return,
        },
    };
    match shape {
        Shape::Int32 => *value = (whole as i32).into(),
        Shape::Int64 => *value = whole.into(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::unknown_fields_converted;
    use crate::schema::Registry;

    #[test]
    fn misfits_are_told_in_the_words_of_the_converter() {
        let ty = Registry::builtin().lookup("apps", "v1", "Deployment").unwrap();
        let pod = |spec| json!({"spec": {"template": {"spec": spec}}});
        for (mut object, want) in [
            (json!({"spec": {"replicas": "x"}}), "unrecognized type: int32"),
            (json!({"spec": {"replicas": 1.5}}), "cannot convert float64 to int32"),
            (json!({"spec": {"replicas": true}}), "unrecognized type: int32"),
            (json!({"spec": []}), "cannot restore struct from: slice"),
            (json!({"metadata": {"labels": "x"}}), "cannot restore map from string"),
            (json!({"metadata": {"labels": {"a": 5}}}), "cannot convert int64 to string"),
            (json!({"metadata": {"labels": {"a": false}}}), "unrecognized type: string"),
            (pod(json!({"containers": {"name": "c"}})), "cannot restore slice from map"),
            (pod(json!({"containers": ["c"]})), "cannot restore struct from: string"),
            (pod(json!({"restartPolicy": 1})), "cannot convert int64 to v1.RestartPolicy"),
            (pod(json!({"hostNetwork": "x"})), "unrecognized type: bool"),
            (
                json!({"metadata": {"creationTimestamp": 5}}),
                "json: cannot unmarshal number into Go value of type string",
            ),
        ] {
            let misfit = unknown_fields_converted(ty, &mut object).unwrap_err();
            assert_eq!(misfit.to_string(), want, "{object}");
        }
        let mut object = json!({"spec": {"replicas": 4_294_967_298_u64, "minReadySeconds": 3.0}});
        unknown_fields_converted(ty, &mut object).unwrap();
        assert_eq!(object, json!({"spec": {"replicas": 2, "minReadySeconds": 3}}));
    }
}

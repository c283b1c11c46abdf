//! RFC 6902.

use crate::object::{MAX_DEPTH, is_deeper_than};
use crate::status::Status;
use serde::Deserialize;
use serde_json::Value;

const MAX_OPERATIONS: usize = 10_000;
/// Maximum total size of the copies of one patch (upstream's `JSONPatchMaxCopyBytes`).
const MAX_COPIED: usize = 3 << 20;

#[derive(Deserialize)]
struct Operation {
    /// An operation without a name is refused when it is carried out.
    #[serde(default)]
    op: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    from: Option<String>,
    /// Absent and null are distinct here.
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

/// Maximum total size of the moves of one patch: a moved value is traversed.
const MAX_MOVED: usize = 32 << 20;

/// An operation of a patch that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// A `test` that does not hold.
    #[error("testing value {0} failed: test failed")]
    Test(String),
    /// Any other operation.
    #[error("{op} operation does not apply: doc is missing path: {path}: missing value")]
    Operation {
        /// Its name.
        op: String,
        /// The JSON pointer that it names.
        path: String,
    },
    /// A patch that is malformed or too large.
    #[error("{}", .0.message)]
    Patch(Box<Status>),
}

/// Applies a JSON patch (an array of operations). On failure `target` is left half patched.
///
/// # Errors
/// 413 beyond 10 000 operations or 3 MiB of copies, 400 for a malformed patch, 422 if an operation
/// fails or nests deeper than any decoder reads ([`MAX_DEPTH`]).
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Status> {
    carry_out(target, patch).map_err(|undone| match undone {
        Undone::Patch(status) => *status,
        // Upstream does not say what went wrong.
        Undone::Test(_) | Undone::Operation { .. } => {
            let message = "the server rejected our request due to an error in our request";
            Status { details: Some(Box::default()), ..Status::unprocessable(message) }
        }
    })
}

/// The same, for those who tell a test that does not hold from other failures.
///
/// # Errors
/// The operation that failed, or the patch is malformed or too large.
pub fn carry_out(target: &mut Value, patch: &Value) -> Result<(), Undone> {
    let too_large = |why: String| Undone::Patch(Status::request_entity_too_large(why).into());
    let (mut copied, mut moved) = (0, 0);
    for operation in operations(patch).map_err(|status| Undone::Patch(status.into()))? {
        if operation.op == "move" {
            moved += copied_bytes(target, &operation).unwrap_or(0);
            if moved > MAX_MOVED {
                return Err(too_large(format!(
                    "the moves of a JSON patch may add up to {MAX_MOVED} bytes"
                )));
            }
        }
        if operation.op == "copy" {
            copied += copied_bytes(target, &operation).unwrap_or(0);
            if copied > MAX_COPIED {
                return Err(too_large(format!(
                    "Unable to complete the copy, the accumulated size increase of copy is \
                     {copied}, exceeding the limit {MAX_COPIED}"
                )));
            }
        }
        let (op, path) = (operation.op.clone(), operation.path.clone());
        apply(target, operation).ok_or(match op.as_str() {
            "test" => Undone::Test(path),
            _ => Undone::Operation { op, path },
        })?;
    }
    Ok(())
}

fn operations(patch: &Value) -> Result<Vec<Operation>, Status> {
    let count = patch.as_array().map_or(0, Vec::len);
    if count > MAX_OPERATIONS {
        return Err(Status::request_entity_too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {count}"
        )));
    }
    let undecoded = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
    match patch {
        Value::Null => Ok(Vec::new()),
        Value::Array(_) => Vec::deserialize(patch).map_err(|e| undecoded(e.to_string())),
        other => {
            let given = crate::text::json_type(other);
            let wanted = "Go value of type []handlers.jsonPatchOp";
            Err(undecoded(format!("json: cannot unmarshal {given} into {wanted}")))
        }
    }
}

/// Size of the value of a copy or a move, as JSON.
fn copied_bytes(target: &mut Value, operation: &Operation) -> Option<usize> {
    let from = parse(operation.from.as_deref()?)?;
    Some(json_len(lookup(target, &from)?))
}

/// Approximate size of a value as JSON; escapes are not counted.
fn json_len(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|i| json_len(i) + 1).sum::<usize>(),
        Value::Object(map) => {
            2 + map.iter().map(|(key, v)| key.len() + 4 + json_len(v)).sum::<usize>()
        }
    }
}

/// Returns true if a value may be placed at a path: no decoder reads deeper.
fn fits(path: &[String], value: &Value) -> bool {
    path.len() <= MAX_DEPTH && !is_deeper_than(value, MAX_DEPTH - path.len())
}

fn insert(target: &mut Value, path: &[String], value: Value) -> Option<()> {
    if fits(path, &value) { add(target, path, value) } else { None }
}

fn apply(target: &mut Value, operation: Operation) -> Option<()> {
    let path = parse(&operation.path)?;
    match operation.op.as_str() {
        // A missing value is null.
        "add" => insert(target, &path, operation.value.unwrap_or_default()),
        "remove" => remove(target, &path).map(drop),
        "replace" => {
            let value = operation.value.unwrap_or_default();
            *lookup(target, &path)? = fits(&path, &value).then_some(value)?;
            Some(())
        }
        "move" => {
            let from = parse(operation.from.as_deref()?)?;
            // A value cannot be moved into itself.
            if path.len() > from.len() && path.starts_with(&from) {
                return None;
            }
            let value = remove(target, &from)?;
            insert(target, &path, value)
        }
        "copy" => {
            let from = parse(operation.from.as_deref()?)?;
            // A missing field is null.
            let value = match lookup(target, &from).cloned() {
                Some(value) => value,
                None => {
                    let (_, parent) = from.split_last()?;
                    lookup(target, parent)?.is_object().then_some(Value::Null)?
                }
            };
            insert(target, &path, value)
        }
        "test" => {
            let expected = operation.value.unwrap_or_default();
            match lookup(target, &path) {
                Some(value) => (*value == expected).then_some(()),
                None => expected.is_null().then_some(()),
            }
        }
        _ => None,
    }
}

/// Splits a JSON pointer.
fn parse(pointer: &str) -> Option<Vec<String>> {
    if pointer.is_empty() {
        return Some(Vec::new());
    }
    let segments = pointer.strip_prefix('/')?.split('/');
    Some(segments.map(|s| s.replace("~1", "/").replace("~0", "~")).collect())
}

/// The position that `segment` names in a list of `len` items; negative ones count from the end.
fn index(segment: &str, len: usize) -> Option<usize> {
    let n: i64 = segment.parse().ok()?;
    let n = if n < 0 { n.checked_add(i64::try_from(len).ok()?)? } else { n };
    usize::try_from(n).ok()
}

fn lookup<'a>(target: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(target, |value, segment| match value {
        Value::Object(map) => map.get_mut(segment),
        Value::Array(items) => {
            let at = index(segment, items.len())?;
            items.get_mut(at)
        }
        _ => None,
    })
}

fn add(target: &mut Value, path: &[String], new: Value) -> Option<()> {
    let Some((last, parent)) = path.split_last() else {
        *target = new;
        return Some(());
    };
    match lookup(target, parent)? {
        Value::Object(map) => {
            map.insert(last.clone(), new);
        }
        Value::Array(items) => {
            let at = if last == "-" { items.len() } else { index(last, items.len() + 1)? };
            if at > items.len() {
                return None;
            }
            items.insert(at, new);
        }
        _ => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parent) = path.split_last()?;
    match lookup(target, parent)? {
        Value::Object(map) => map.remove(last),
        Value::Array(items) => {
            let at = index(last, items.len())?;
            (at < items.len()).then(|| items.remove(at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patched(target: Value, patch: Value) -> Result<Value, u16> {
        let mut target = target;
        json_patch(&mut target, &patch).map_err(|s| s.code)?;
        Ok(target)
    }

    #[test]
    fn copies_are_bounded_before_they_are_made() {
        let target = json!({"a": {"x": "y".repeat(1024)}});
        // 30 doublings would be a terabyte.
        let doubling: Vec<Value> = (0..30)
            .flat_map(|i| {
                let (from, path) = (json!("/a"), json!(format!("/a/c{i}")));
                [json!({"op": "copy", "from": from, "path": path})]
            })
            .collect();
        assert_eq!(patched(target, json!(doubling)), Err(413));
    }

    #[test]
    fn nothing_is_nested_deeper_than_it_could_be_read() {
        // Each copy of the whole into itself doubles the depth.
        let deeper = json!([{"op": "copy", "from": "/a", "path": "/a/b"}]);
        let mut target = json!({"a": {}});
        let mut rounds = 0;
        while let Ok(next) = patched(target.clone(), deeper.clone()) {
            target = next;
            rounds += 1;
            assert!(rounds < MAX_DEPTH, "it must end");
        }
        assert!(serde_json::from_str::<Value>(&target.to_string()).is_ok());
        // One level at a time, too.
        let steps: Vec<Value> = (1..2 * MAX_DEPTH)
            .map(|n| json!({"op": "add", "path": "/a".repeat(n), "value": {}}))
            .collect();
        assert_eq!(patched(json!({}), json!(steps)), Err(422));
    }

    #[test]
    fn operations_follow_the_rfc() {
        let op =
            |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
        let table = [
            (json!({"a": [1, 2]}), op("add", "/a/1", json!(9)), Ok(json!({"a": [1, 9, 2]}))),
            (json!({"a": [1]}), op("add", "/a/-", json!(null)), Ok(json!({"a": [1, null]}))),
            (json!({"a": [1]}), op("add", "/a/2", json!(1)), Err(422)),
            (json!({}), op("add", "/a/b", json!(1)), Err(422)),
            (json!({"a/b~c": 1}), op("replace", "/a~1b~0c", json!(2)), Ok(json!({"a/b~c": 2}))),
            (json!({}), op("replace", "/a", json!(2)), Err(422)),
            (
                json!({"a": [1, 2]}),
                json!([{"op": "remove", "path": "/a/-1"}]),
                Ok(json!({"a": [1]})),
            ),
            (json!({}), json!([{"op": "remove", "path": "/a"}]), Err(422)),
            (
                json!({"a": {"b": 1}}),
                json!([{"op": "move", "from": "/a/b", "path": "/c"}]),
                Ok(json!({"a": {}, "c": 1})),
            ),
            (json!({"a": {}}), json!([{"op": "move", "from": "/a", "path": "/a/b"}]), Err(422)),
            (
                json!({"a": 1}),
                json!([{"op": "copy", "from": "/a", "path": "/b"}]),
                Ok(json!({"a": 1, "b": 1})),
            ),
            (json!({"a": 1}), op("test", "/a", json!(1)), Ok(json!({"a": 1}))),
            (json!({"a": 1}), op("test", "/a", json!("1")), Err(422)),
            (json!({}), op("test", "/a", json!(null)), Ok(json!({}))),
            (json!({}), op("frob", "/a", json!(null)), Err(422)),
            (json!({}), json!({"op": "add"}), Err(400)),
            (json!({"a": 1}), json!([{"op": "add", "path": "/b"}]), Ok(json!({"a": 1, "b": null}))),
            (json!({"a": 1}), json!([{"path": "/b", "value": 1}]), Err(422)),
            (json!({"a": 1}), json!(null), Ok(json!({"a": 1}))),
            (
                json!({"a": {}}),
                json!([{"op": "copy", "from": "/a/b", "path": "/c"}]),
                Ok(json!({"a": {}, "c": null})),
            ),
            (json!({"a": {}}), json!([{"op": "copy", "from": "/b/c", "path": "/c"}]), Err(422)),
            (json!({}), json!(vec![json!({"op": "test", "path": "/a"}); 10_001]), Err(413)),
        ];
        for (target, patch, expected) in table {
            let shown = format!("{target} {patch:.80}");
            assert_eq!(patched(target, patch), expected, "{shown}");
        }
    }
}

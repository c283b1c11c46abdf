//! Values as upstream's messages print them: its internal types, in Go's field order.

use std::collections::HashMap;
use std::sync::LazyLock;

use apimachinery::schema::Registry;
use apimachinery::text::go_json as json;
use serde_json::Value;

use super::show_selector;

/// Types by name, with their fields.
static TYPES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = include_str!("internal.facts").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect()
});

/// Prints `value` as one of upstream's internal types.
pub(crate) fn internal(value: &Value, of: &str) -> String {
    show(value, of, &Value::Null)
}

/// Metadata, for which upstream has no internal type.
pub(crate) fn show_metadata(meta: &Value) -> String {
    const TYPE: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    match Registry::builtin().type_by_name(TYPE) {
        Some(ty) if meta.is_object() => apimachinery::patch::shown(ty, meta),
        _ => "{}".to_owned(),
    }
}

fn show(value: &Value, of: &str, parent: &Value) -> String {
    let fields = TYPES.get(of).copied().unwrap_or_default();
    let mut shown: Vec<String> = Vec::new();
    for field in fields.split_whitespace() {
        if field == "@metadata" {
            let meta = show_metadata(&value["metadata"]);
            let fields = meta.trim_start_matches('{').strip_suffix('}').unwrap_or_default();
            if !fields.is_empty() {
                shown.push(fields.to_owned());
            }
        } else if let Some((name, rest)) = field.split_once('=') {
            shown.push(format!("\"{name}\":{}", show_field(value, parent, name, rest)));
        }
    }
    format!("{{{}}}", shown.join(","))
}

fn show_field(value: &Value, parent: &Value, name: &str, rest: &str) -> String {
    let shapes = ['$', '#', '!', '~', '?', '%', '*', '.', '['];
    let split = rest.find(shapes).unwrap_or(rest.len());
    let (json_name, shape) = rest.split_at(split);
    let small = small(name);
    let own = match json_name.strip_prefix('^') {
        Some(outer) => &parent[outer],
        None if json_name.is_empty() => &value[small.as_str()],
        None => &value[json_name],
    };
    let zero = |zero: &str| if own.is_null() { zero.to_owned() } else { json(own) };
    match shape.split_at(1.min(shape.len())) {
        ("$", _) => zero("\"\""),
        ("#", _) => zero("0"),
        ("!", _) => zero("false"),
        ("~", _) => zero("\"0\""),
        ("%", _) => show_selector(own),
        ("*", _) if own.is_null() => "null".to_owned(),
        ("*" | ".", of) => show(own, of, value),
        ("[", of) => match own.as_array() {
            None => "null".to_owned(),
            Some(items) => {
                let of = of.trim_start_matches(']');
                let items: Vec<String> = items.iter().map(|item| show(item, of, own)).collect();
                format!("[{}]", items.join(","))
            }
        },
        _ => zero("null"),
    }
}

fn small(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// The lines of compact JSON, indented by one space.
pub(super) fn indented(compact: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut chars = compact.chars().peekable();
    while let Some(c) = chars.next() {
        let last = match lines.last_mut() {
            Some(line) if quoted => {
                line.push(c);
                quoted = escaped || c != '"';
                escaped = !escaped && c == '\\';
                continue;
            }
            Some(line) => line,
            None => continue,
        };
        match c {
            '{' | '[' => {
                last.push(c);
                if matches!(chars.peek(), Some('}' | ']')) {
                    last.extend(chars.next());
                } else {
                    depth += 1;
                    lines.push(" ".repeat(depth));
                }
            }
            '}' | ']' => {
                depth -= 1;
                lines.push(format!("{}{c}", " ".repeat(depth)));
            }
            ',' => {
                last.push(c);
                lines.push(" ".repeat(depth));
            }
            ':' => last.push_str(": "),
            c => {
                quoted = c == '"';
                last.push(c);
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn renders_in_go_order_with_zeros() {
        let port = json!({"port": 80, "protocol": "TCP", "name": "a<b"});
        assert_eq!(
            internal(&port, "ServicePort"),
            r#"{"Name":"a\u003cb","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#
        );
        let quota = json!({"resource": "limits.cpu"});
        assert_eq!(
            internal(&quota, "ResourceFieldSelector"),
            r#"{"ContainerName":"","Resource":"limits.cpu","Divisor":"0"}"#
        );
    }

    #[test]
    fn every_type_that_is_named_is_there() {
        for fields in TYPES.values() {
            for field in fields.split_whitespace().filter_map(|f| f.split_once('=')) {
                let of = field.1.rsplit(['*', '.', ']']).next().unwrap_or_default();
                if field.1.contains(['*', '.', ']']) {
                    assert!(TYPES.contains_key(of), "{of}");
                }
            }
        }
    }

    #[test]
    fn indents_as_go_does() {
        let lines = indented(r#"{"a":[],"b":{"c":"x,{\"y"},"d":[1,2]}"#);
        let want = [
            "{",
            " \"a\": [],",
            " \"b\": {",
            "  \"c\": \"x,{\\\"y\"",
            " },",
            " \"d\": [",
            "  1,",
            "  2",
            " ]",
            "}",
        ];
        assert_eq!(lines, want);
    }
}

//! Structs as upstream's messages show them: its internal types, in Go's field order.

use serde_json::Value;

/// Renders `value` as Go prints the internal struct with these fields.
///
/// `layout` lists Go names in order; each ends in a mark for its zero value: `?` for pointers,
/// lists and maps (`null`), `#` for numbers, `!` for booleans, none for text. The JSON name is the
/// Go name with a small first letter, or what follows `=`.
pub(crate) fn internal(value: &Value, layout: &str) -> String {
    let fields: Vec<String> = layout
        .split_whitespace()
        .map(|field| {
            let (field, json) = field.split_once('=').unwrap_or((field, ""));
            let go = field.trim_end_matches(['?', '#', '!']);
            let zero = match field.chars().last() {
                Some('?') => Value::Null,
                Some('#') => 0.into(),
                Some('!') => false.into(),
                _ => "".into(),
            };
            let json = if json.is_empty() { small(go) } else { json.to_owned() };
            let own = value.get(&json).filter(|v| !v.is_null()).unwrap_or(&zero);
            format!("\"{go}\":{own}")
        })
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn small(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn renders_in_go_order_with_zeros() {
        let port = json!({"port": 80, "protocol": "TCP"});
        assert_eq!(
            internal(&port, "Name Protocol AppProtocol? Port# On! ID=id"),
            r#"{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"On":false,"ID":""}"#
        );
    }
}

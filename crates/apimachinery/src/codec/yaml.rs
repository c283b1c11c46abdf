//! YAML, guarded against documents that grow when they are read.

use super::Duplicate;
use super::tree::Context;
use crate::status::Status;
use serde::de::DeserializeSeed;
use serde_json::Value;

/// Without aliases every value and every string byte takes a byte of the document, so honest
/// documents stay well below this factor.
const MAX_EXPANSION: usize = 10;
const FREE_EXPANSION: usize = 100_000;

/// Decodes one YAML document; of duplicate fields the last wins and the path is reported.
///
/// # Errors
/// 400 when the bytes are not one well-formed document, nest too deeply, or expand too much.
pub fn decode(bytes: &[u8]) -> Result<(Value, Vec<Duplicate>), Status> {
    let budget = bytes.len().saturating_mul(MAX_EXPANSION).saturating_add(FREE_EXPANSION);
    let context = Context::new(budget, true);
    let deserializer = serde_yaml_ng::Deserializer::from_slice(bytes);
    let value = context
        .seed()
        .deserialize(deserializer)
        .map_err(|e| Status::bad_request(format!("error converting YAML to JSON: yaml: {e}")))?;
    Ok((value, context.into_duplicates()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_aliases_and_merge_keys_become_json() {
        let text = "a: 1\nb: [1.5, true, ~, '1', 2001-01-01, 0x10]\n8080: port\n\
                    base: &base {x: 1, y: 2}\nderived: {<<: *base, y: 3}\ntext: |\n  l1\n  l2\n";
        let (value, duplicates) = decode(text.as_bytes()).unwrap();
        assert_eq!(
            value,
            json!({
                "a": 1, "b": [1.5, true, null, "1", "2001-01-01", 16], "8080": "port",
                "base": {"x": 1, "y": 2}, "derived": {"x": 1, "y": 3}, "text": "l1\nl2\n",
            })
        );
        assert!(duplicates.is_empty());
    }

    #[test]
    fn duplicates_are_reported() {
        assert_eq!(decode(b"spec:\n  a: 1\n  a: 2\n").unwrap().1, ["spec.a"]);
    }

    #[test]
    fn alias_bombs_and_broken_documents_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(",");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        let deep = "[".repeat(10_000);
        for text in [bomb.as_str(), &deep, "a: [", "a: &a [*a]", "a: 1\n---\nb: 2\n", "\u{0}"] {
            assert_eq!(decode(text.as_bytes()).unwrap_err().code, 400, "{text:.40}");
        }
    }
}

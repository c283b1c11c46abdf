//! Encodings of objects: JSON, YAML and protobuf.

pub mod json;
pub mod protobuf;
mod tree;
pub mod yaml;

use crate::text::quote;
use std::fmt;

/// A field that occurred more than once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Duplicate {
    /// Its path, for example `spec.replicas`.
    Field(String),
    /// The line on which a YAML key is repeated, and the key.
    Line(usize, String),
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(path) => write!(f, "duplicate field {}", quote(path)),
            Self::Line(line, key) => {
                write!(f, "line {line}: key {} already set in map", quote(key))
            }
        }
    }
}

impl Duplicate {
    fn len(&self) -> usize {
        match self {
            Self::Field(text) | Self::Line(_, text) => text.len(),
        }
    }

    /// Formats duplicates for an error: those found by the YAML reader form a single complaint.
    #[must_use]
    pub fn complaints(list: &[Self]) -> Vec<String> {
        let (lines, fields): (Vec<&Self>, Vec<&Self>) =
            list.iter().partition(|duplicate| matches!(duplicate, Self::Line(..)));
        let lines: Vec<String> = lines.iter().map(|line| format!("\n  {line}")).collect();
        let yaml =
            (!lines.is_empty()).then(|| format!("yaml: unmarshal errors:{}", lines.concat()));
        yaml.into_iter().chain(fields.iter().map(ToString::to_string)).collect()
    }
}

/// Deeper documents are refused. The limit is far above real objects and far below the stack limit.
const MAX_DEPTH: usize = 500;

/// Limits on the duplicates reported for one document, in number and in bytes of their paths: a
/// document may have millions, each below keys of a megabyte.
const MAX_DUPLICATES: usize = 100;
const MAX_DUPLICATE_BYTES: usize = 64 << 10;

/// The duplicates of a document, each once, in document order.
#[derive(Default)]
struct Duplicates {
    list: Vec<Duplicate>,
    seen: std::collections::HashSet<Duplicate>,
    bytes: usize,
}

impl Duplicates {
    /// Records a duplicate; its path is only built while there is room for more.
    fn report(&mut self, path: impl FnOnce() -> Duplicate) {
        if self.list.len() >= MAX_DUPLICATES || self.bytes >= MAX_DUPLICATE_BYTES {
            return;
        }
        let path = path();
        // A repeated report counts too, or it would be built again and again.
        self.bytes += path.len();
        if self.seen.insert(path.clone()) {
            self.list.push(path);
        }
    }

    fn into_list(self) -> Vec<Duplicate> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_duplicates_are_bounded() {
        let fields: String = (0..50_000).map(|i| format!("\"a{i}\":1,\"a{i}\":1,")).collect();
        let long = "k".repeat(1 << 20);
        let document = format!("{{\"{long}\":{{{fields}\"z\":1}}}}");
        for decode in [json::decode, yaml::decode] {
            let (_, duplicates) = decode(document.as_bytes()).unwrap();
            let bytes: usize = duplicates.iter().map(Duplicate::len).sum();
            assert!(!duplicates.is_empty() && bytes < 2 << 20, "{}", duplicates.len());
        }
    }

    #[test]
    fn directives_are_counted_after_every_line_break() {
        for end in ["\n", "\r", "\u{85}", "\u{2028}", "\u{2029}"] {
            let directives: String = (0..100_000).map(|i| format!("%TAG !a{i}! a{end}")).collect();
            let text = format!("{directives}---{end}a: 1{end}");
            let utf16: Vec<u8> = [0xfeff]
                .into_iter()
                .chain(text.encode_utf16())
                .flat_map(u16::to_le_bytes)
                .collect();
            for bytes in [text.as_bytes(), &utf16] {
                let refused = yaml::decode(bytes).unwrap_err();
                assert!(refused.message.contains("directives"), "{}", refused.message);
            }
        }
        let utf16: Vec<u8> =
            "\u{feff}a: [1, 2]".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(yaml::decode(&utf16).unwrap().0, serde_json::json!({"a": [1, 2]}));
    }
}

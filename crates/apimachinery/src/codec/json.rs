//! JSON, with duplicate fields noticed.

use super::Duplicate;
use super::tree::Context;
use crate::status::Status;
use crate::text::quote;
use serde::de::DeserializeSeed;
use serde_json::Value;

/// Decodes one JSON document; of duplicate fields the last wins and the path is reported.
///
/// # Errors
/// 400 when the bytes are not one well-formed document, or nest too deeply.
pub fn decode(bytes: &[u8]) -> Result<(Value, Vec<Duplicate>), Status> {
    let context = Context::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The seed has a limit of its own; serde_json's would refuse deep JSON schemas.
    deserializer.disable_recursion_limit();
    let refuse = |error| refuse(bytes, &error);
    let value = context.seed().deserialize(&mut deserializer).map_err(refuse)?;
    deserializer.end().map_err(refuse)?;
    Ok((value, context.into_duplicates()))
}

/// The words of Go's decoder, by those of ours.
const WORDS: &[(&str, &str)] = &[
    ("expected value", "looking for beginning of value"),
    ("trailing characters", "after top-level value"),
    ("key must be a string", "looking for beginning of object key string"),
    ("expected `,` or `}`", "after object key:value pair"),
    ("expected `,` or `]`", "after array element"),
    ("expected `:`", "after object key"),
];

fn refuse(bytes: &[u8], error: &serde_json::Error) -> Status {
    if error.is_eof() {
        return Status::bad_request("unexpected end of JSON input");
    }
    let text = error.to_string();
    let line = bytes.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1));
    let byte = line.and_then(|line| line.get(error.column().saturating_sub(1)));
    let words = WORDS.iter().find(|(ours, _)| text.starts_with(ours));
    match (byte, words) {
        (Some(byte), Some((_, words))) => {
            let shown = match byte {
                b'\'' => "\\'".to_owned(),
                b'"' => "\"".to_owned(),
                byte => quote(&char::from(*byte).to_string()).trim_matches('"').to_owned(),
            };
            Status::bad_request(format!("invalid character '{shown}' {words}"))
        }
        _ => Status::bad_request(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn duplicates_are_reported_and_the_last_wins() {
        let (value, duplicates) =
            decode(br#"{"a":[{"b":1,"b":2}],"c":{"d":{},"d":3,"d":4},"a.b":1}"#).unwrap();
        assert_eq!(value, json!({"a": [{"b": 2}], "c": {"d": 4}, "a.b": 1}));
        let paths = ["a[0].b", "c.d"].map(|path| Duplicate::Field(path.to_owned()));
        assert_eq!(duplicates, paths);
    }

    #[test]
    fn numbers_keep_their_precision() {
        let text = r#"[9223372036854775807,-9223372036854775808,18446744073709551615,1.5]"#;
        assert_eq!(decode(text.as_bytes()).unwrap().0.to_string(), text);
    }

    #[test]
    fn broken_documents_are_refused() {
        for bytes in [&b"{"[..], b"", b"{\"a\":\"\xff\"}", b"{} {}", b"{\"a\":1e999}", b"[1,]"] {
            assert_eq!(decode(bytes).unwrap_err().code, 400, "{bytes:?}");
        }
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(decode(&deep(400)).is_ok());
        assert_eq!(decode(&deep(100_000)).unwrap_err().code, 400);
        assert_eq!(decode(&[b'['; 100_000]).unwrap_err().code, 400);
    }
}

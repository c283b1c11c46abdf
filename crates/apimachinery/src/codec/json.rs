//! JSON as Go reads it, with duplicate fields reported.

use super::Duplicate;
use super::tree::Context;
use crate::status::Status;
use crate::text::quote;
use serde::de::DeserializeSeed;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;

/// Decodes one JSON document; the last of duplicate fields wins, and its path is reported.
///
/// # Errors
/// 400 when the bytes are not one well-formed document, or nest too deeply.
pub fn decode(bytes: &[u8]) -> Result<(Value, Vec<Duplicate>), Status> {
    decode_unicode(&replaced(bytes), false)
}

/// Like [`decode`], for documents that Go reads into structs: a repeated object is merged into the
/// first. (Go does so by type: not in raw values, nor in the values of maps of structs.)
///
/// # Errors
/// As [`decode`].
pub fn decode_object(bytes: &[u8]) -> Result<(Value, Vec<Duplicate>), Status> {
    decode_unicode(&replaced(bytes), true)
}

/// Decodes a document whose strings are valid Unicode.
pub(super) fn decode_unicode(bytes: &[u8], joins: bool) -> Result<(Value, Vec<Duplicate>), Status> {
    let context = Context::joining(joins);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    // The seed has a limit of its own; serde_json's would refuse deep JSON schemas.
    deserializer.disable_recursion_limit();
    let refuse = |error| refuse(bytes, &error);
    let value = context.seed().deserialize(&mut deserializer).map_err(refuse)?;
    deserializer.end().map_err(refuse)?;
    Ok((value, context.into_duplicates()))
}

/// Replaces parts of strings that are not Unicode by U+FFFD: half of a surrogate pair, or bytes
/// that are not UTF-8.
fn replaced(bytes: &[u8]) -> Cow<'_, [u8]> {
    const REPLACEMENT: &str = "\u{fffd}";
    let has_surrogates = |bytes: &[u8]| {
        bytes.windows(3).any(|w| w[0] == b'\\' && w[1] == b'u' && w[2].eq_ignore_ascii_case(&b'd'))
    };
    let is_utf8 = std::str::from_utf8(bytes).is_ok();
    if is_utf8 && !has_surrogates(bytes) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len() + 16);
    let (mut rest, mut in_text) = (bytes, false);
    while let Some(first) = rest.first() {
        let length = match (in_text, first) {
            (true, b'\\') => match surrogate(rest) {
                Some(Surrogate::Pair) => 12,
                Some(Surrogate::Half) => {
                    out.extend_from_slice(REPLACEMENT.as_bytes());
                    rest = &rest[6..];
                    continue;
                }
                None => 2,
            },
            (_, b'"') => {
                in_text = !in_text;
                1
            }
            (true, 0x80..) => match character(rest) {
                0 => {
                    out.extend_from_slice(REPLACEMENT.as_bytes());
                    rest = &rest[1..];
                    continue;
                }
                length => length,
            },
            _ => 1,
        };
        let (this, next) = rest.split_at(length.min(rest.len()));
        out.extend_from_slice(this);
        rest = next;
    }
    Cow::Owned(out)
}

/// Length of the character that begins here; 0 if none does.
fn character(bytes: &[u8]) -> usize {
    let longest = &bytes[..bytes.len().min(4)];
    (1..=longest.len()).find(|n| std::str::from_utf8(&longest[..*n]).is_ok()).unwrap_or(0)
}

enum Surrogate {
    Pair,
    Half,
}

/// The surrogate that is escaped at this position.
fn surrogate(bytes: &[u8]) -> Option<Surrogate> {
    let unit = |bytes: &[u8]| {
        let digits = bytes.strip_prefix(b"\\u")?.get(..4)?;
        let digits = std::str::from_utf8(digits).ok()?;
        let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
        hexadecimal.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
    };
    match (unit(bytes)?, bytes.get(6..).and_then(unit)) {
        (0xd800..=0xdbff, Some(0xdc00..=0xdfff)) => Some(Surrogate::Pair),
        (0xd800..=0xdfff, _) => Some(Surrogate::Half),
        _ => None,
    }
}

/// Sorts paths of fields by their place in the document; paths that it does not contain go last.
/// `again` selects the second occurrence of a repeated field.
pub fn sort_by_place<T>(bytes: &[u8], items: &mut [T], path: impl Fn(&T) -> (&str, bool)) {
    if items.len() < 2 {
        return;
    }
    let wanted: HashSet<String> = items.iter().map(|item| path(item).0.to_owned()).collect();
    let places = super::tree::places(&replaced(bytes), wanted);
    items.sort_by_cached_key(|item| {
        let (path, again) = path(item);
        let at = places.get(path).map(|(first, second)| if again { *second } else { *first });
        at.unwrap_or(usize::MAX)
    });
}

/// Phrases of Go's decoder, keyed by serde_json's.
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
        let (value, _) =
            decode_object(br#"{"a":{"b":1,"c":{"d":1},"e":[1]},"a":{"b":2,"c":{"f":2},"e":[]}}"#)
                .unwrap();
        assert_eq!(value, json!({"a": {"b": 2, "c": {"d": 1, "f": 2}, "e": []}}));
        let paths = ["a[0].b", "c.d"].map(|path| Duplicate::Field(path.to_owned()));
        assert_eq!(duplicates, paths);
    }

    #[test]
    fn what_comes_again_joins_an_object_and_replaces_in_a_patch() {
        let text = br#"{"metadata":{"labels":{"a":"1"}},"metadata":{"labels":{"b":"2"}}}"#;
        let labels = |value: Value| value["metadata"]["labels"].clone();
        assert_eq!(labels(decode(text).unwrap().0), json!({"b": "2"}));
        assert_eq!(labels(decode_object(text).unwrap().0), json!({"a": "1", "b": "2"}));
    }

    #[test]
    fn numbers_keep_their_precision() {
        let text = r#"[9223372036854775807,-9223372036854775808,18446744073709551615,1.5]"#;
        assert_eq!(decode(text.as_bytes()).unwrap().0.to_string(), text);
    }

    #[test]
    fn what_is_no_unicode_is_replaced_in_texts() {
        for (text, want) in [
            (&br#"{"a":"\ud800"}"#[..], "\u{fffd}"),
            (br#"{"a":"x\uDFFFy"}"#, "x\u{fffd}y"),
            (br#"{"a":"\ud83d\ude00"}"#, "\u{1f600}"),
            (br#"{"a":"\ud83d\ud83d\ude00"}"#, "\u{fffd}\u{1f600}"),
            (br#"{"a":"\ud800A"}"#, "\u{fffd}A"),
            // An escaped backslash does not begin another escape.
            (br#"{"a":"\\ud800"}"#, "\\ud800"),
            (br#"{"a":"\"\ud800"}"#, "\"\u{fffd}"),
            (b"{\"a\":\"\xff\xe2\x82z\"}", "\u{fffd}\u{fffd}\u{fffd}z"),
            ("{\"a\":\"\u{e9}\\ud800\"}".as_bytes(), "\u{e9}\u{fffd}"),
        ] {
            let shown = String::from_utf8_lossy(text).into_owned();
            assert_eq!(decode(text).expect(&shown).0["a"], want, "{shown}");
        }
    }

    #[test]
    fn paths_are_sorted_as_the_document_has_them() {
        let text = br#"{"z":1,"m":{"q":[{"b":1},{"b":2}],"a":3,"a":4},"k":5,"z":6}"#;
        let mut paths = [
            ("nowhere", false),
            ("k", false),
            ("m.a", true),
            ("m.q[1].b", false),
            ("z", false),
            ("z", true),
        ];
        sort_by_place(text, &mut paths, |(path, again)| (path, *again));
        let sorted = paths.map(|(path, _)| path);
        assert_eq!(sorted, ["z", "m.q[1].b", "m.a", "k", "z", "nowhere"]);
    }

    #[test]
    fn no_more_places_are_looked_up_than_are_worth_it() {
        let (open, close) = ("{\"a\":".repeat(400), "}".repeat(400));
        let fields = vec!["\"a\":1"; 20_000].join(",");
        let deep = format!("{{\"z\":1,\"a\":{open}{{{fields}}}{close},\"y\":{{\"a\":1}}}}");
        let mut paths = [("y.a", false), ("a", false), ("z", false)];
        sort_by_place(deep.as_bytes(), &mut paths, |(path, again)| (path, *again));
        assert_eq!(paths.map(|(path, _)| path), ["z", "a", "y.a"]);
        let wanted = paths.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert!(!super::super::tree::places(deep.as_bytes(), wanted).contains_key("y.a"));
    }

    #[test]
    fn broken_documents_are_refused() {
        for bytes in [
            &b"{"[..],
            b"",
            b"\xff",
            b"{\xff:1}",
            b"{\"a\":\"\\ud8",
            b"{} {}",
            b"{\"a\":1e999}",
            b"[1,]",
        ] {
            assert_eq!(decode(bytes).unwrap_err().code, 400, "{bytes:?}");
        }
        let deep = |n: usize| [vec![b'['; n], vec![b']'; n]].concat();
        assert!(decode(&deep(400)).is_ok());
        assert_eq!(decode(&deep(100_000)).unwrap_err().code, 400);
        assert_eq!(decode(&[b'['; 100_000]).unwrap_err().code, 400);
    }
}

//! Documents in each of the three encodings.

use serde_json::Value;

use super::objects;
use crate::codec::{json, protobuf, yaml};
use crate::object::ObjectExt;
use crate::schema::Registry;
use crate::validate::{FieldValidation, check};

#[test]
fn json_is_read_and_read_again() {
    let texts: Vec<String> = objects().iter().map(Value::to_string).collect();
    let mut seeds: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    seeds.extend([&b"{\"a\":1,\"a\":{\"b\":[1,2]}}"[..], b"[\"\\ud83d\\ude00\\u0000\"]", b"1"]);
    let words: &[&[u8]] = &[b"{", b"}", b"[", b"]", b"\"a\":", b",", b"\\u12", b"\\ud800", b"null"];
    fuzz::bytes(&seeds, words, |bytes| {
        let Ok((value, duplicates)) = json::decode(bytes) else { return false };
        let again = json::decode(value.to_string().as_bytes()).unwrap();
        assert_eq!(again, (value, Vec::new()));
        let mut paths: Vec<String> = duplicates.iter().map(ToString::to_string).collect();
        json::sort_by_place(bytes, &mut paths, |path| (path, true));
        true
    });
}

#[test]
fn yaml_is_read_and_read_again() {
    let texts: Vec<String> = objects().iter().map(|o| yaml::encode(o).unwrap()).collect();
    let mut seeds: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    seeds.extend([
        &b"a: &x {b: [1, 2.5, yes, ~]}\nc:\n  <<: *x\n  d: |+\n    text\n\n  e: >-\n    folded\n"[..],
        b"%YAML 1.1\n%TAG ! tag:x,2000:\n---\n- !!binary aGk=\n- !!int '1'\n- 'it''s'\n...\n",
        b"? [complex]\n: \"\\x41\\u00e9\\\n  x\"\n# comment\n",
        b"a: 0x1f\nb: 1_000\nc: 2001-12-14\nd: 1:20\ne: .inf\n",
    ]);
    let words: &[&[u8]] = &[
        b"- ",
        b": ",
        b"? ",
        b"&a ",
        b"*a",
        b"<<: ",
        b"|\n",
        b">\n",
        b"'",
        b"\"",
        b"!!",
        b"\t",
        b"#",
        b"---\n",
        b"...\n",
        b"%",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\xc2\x85",
        b"\xff\xfe",
        b"  ",
        b"\r",
    ];
    fuzz::bytes(&seeds, words, |bytes| {
        let Ok((value, _)) = yaml::decode(bytes) else { return false };
        let text = yaml::encode(&value).unwrap();
        let (again, duplicates) = yaml::decode(text.as_bytes()).unwrap();
        assert_eq!(again, value, "{text}");
        assert!(duplicates.is_empty());
        true
    });
}

#[test]
fn protobuf_is_read_and_read_again() {
    let encoded: Vec<Vec<u8>> = objects().iter().map(|o| protobuf::encode(o).unwrap()).collect();
    let seeds: Vec<&[u8]> = encoded.iter().map(Vec::as_slice).collect();
    fuzz::bytes(&seeds, &[b"k8s\0", b"\x0a\x00", b"\x12\x02\x0a\x00", b"\x1a\x04"], |bytes| {
        let Ok(value) = protobuf::decode(bytes) else { return false };
        if let Ok(encoded) = protobuf::encode(&value) {
            assert_eq!(protobuf::decode(&encoded).unwrap(), value);
        }
        true
    });
}

#[test]
fn checked_objects_stay_as_they_are_in_every_encoding() {
    fuzz::values(&objects(), |value| {
        let mut object = value.clone();
        let (group, version) =
            object.api_version().split_once('/').unwrap_or(("", object.api_version()));
        let Some(ty) = Registry::builtin().lookup(group, version, object.kind()) else {
            return false;
        };
        if check(ty, &mut object, FieldValidation::Warn, &[], None).is_err() {
            return false;
        }
        let mut again = object.clone();
        assert!(check(ty, &mut again, FieldValidation::Strict, &[], None).unwrap().is_empty());
        assert_eq!(again, object);
        let decoded = protobuf::decode(&protobuf::encode(&object).unwrap()).unwrap();
        let by_yaml = yaml::decode(yaml::encode(&decoded).unwrap().as_bytes()).unwrap().0;
        assert_eq!(by_yaml, decoded);
        let twice = protobuf::decode(&protobuf::encode(&decoded).unwrap()).unwrap();
        assert_eq!(twice, decoded);
        true
    });
}

//! YAML compared with the output of upstream's library.

use std::time::{Duration, Instant};

use super::*;
use proptest::prelude::*;
use serde_json::json;

#[track_caller]
fn read(text: &str) -> Value {
    decode(text.as_bytes()).unwrap().0
}

#[test]
fn scalars_are_those_of_yaml_1_1() {
    for (text, want) in [
        ("0440", json!(288)),
        ("0o17", json!(15)),
        ("0x1F", json!(31)),
        ("-0b11", json!(-3)),
        ("08", json!(8)),
        ("1_000", json!(1000)),
        ("12:30:45", json!("12:30:45")),
        ("on", json!(true)),
        ("Off", json!(false)),
        ("yes", json!(true)),
        ("n", json!(false)),
        ("~", json!(null)),
        ("", json!(null)),
        ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("1e3", json!(1000)),
        ("1.5", json!(1.5)),
        ("1.", json!(1)),
        (".5", json!(0.5)),
        ("1.2.3", json!("1.2.3")),
        ("2001-01-01", json!("2001-01-01")),
        ("0x", json!("0x")),
        ("+12", json!(12)),
        ("1__0", json!(10)),
        ("'on'", json!("on")),
        ("\"0440\"", json!("0440")),
        ("!!str 123", json!("123")),
        ("!!int '7'", json!(7)),
        ("!!float 2", json!(2)),
        ("!!binary aGVsbG8=", json!("hello")),
        ("!foo bar", json!("bar")),
    ] {
        assert_eq!(read(&format!("a: {text}")), json!({"a": want}), "{text}");
    }
    for text in ["!!int x", "!!bool 1", "!!binary '?'", ".nan", "-.inf"] {
        assert_eq!(decode(format!("a: {text}").as_bytes()).unwrap_err().code, 400, "{text}");
    }
}

#[test]
fn the_first_document_counts_and_a_byte_order_mark_does_not() {
    assert_eq!(read("\u{feff}a: 1\n"), json!({"a": 1}));
    assert_eq!(read("---\na: 1\n---\nb: 2\n"), json!({"a": 1}));
    assert_eq!(read("a: 1\n...\n]]] not yaml"), json!({"a": 1}));
    assert_eq!(read("# nothing\n"), Value::Null);
    assert_eq!(read("%YAML 1.1\n---\na: 1\n"), json!({"a": 1}));
}

#[test]
fn keys_aliases_and_merge_keys_become_json() {
    assert_eq!(
        read("8080: a\ntrue: b\n1.5: c\nd: *x\n".replace("*x", "~").as_str()),
        json!({"8080": "a", "true": "b", "1.5": "c", "d": null})
    );
    assert_eq!(
        read("base: &b {x: 1, z: 2}\nderived: {<<: *b, z: 3}\nlate: {z: 3, <<: *b}\nl: [*b]\n"),
        json!({
            "base": {"x": 1, "z": 2}, "derived": {"x": 1, "z": 3}, "late": {"x": 1, "z": 2},
            "l": [{"x": 1, "z": 2}],
        })
    );
    assert_eq!(read("a: &s v\n? *s\n: 1\n"), json!({"a": "v", "v": 1}));
    for text in ["a: *x", "a: &a [*a]", "{[1]: 2}", "~: 1", "<<: 3"] {
        assert_eq!(decode(text.as_bytes()).unwrap_err().code, 400, "{text}");
    }
}

#[test]
fn duplicates_are_reported_with_their_line() {
    let (value, duplicates) = decode(b"a:\n- b: 1\n  b: 2\nc: 1\nc: 3\n").unwrap();
    assert_eq!(value, json!({"a": [{"b": 2}], "c": 3}));
    let line = |line, key: &str| Duplicate::Line(line, key.to_owned());
    assert_eq!(duplicates, [line(3, "b"), line(5, "c")]);
    assert_eq!(
        Duplicate::complaints(&duplicates),
        [
            "yaml: unmarshal errors:\n  line 3: key \"b\" already set in map\n  line 5: key \"c\" already set in map"
        ]
    );
    // The JSON decoder is used only while there is nothing to report.
    let (_, duplicates) = decode(b"{\"a\":1,\"a\":2}").unwrap();
    assert_eq!(duplicates, [line(1, "a")]);
}

#[test]
fn complaints_name_the_line() {
    let message = decode(b"a: 1\nb: [\nc: }\n").unwrap_err().message;
    assert!(message.starts_with("error converting YAML to JSON: yaml: line "), "{message}");
}

#[test]
fn bombs_are_refused_before_they_cost_anything() {
    let mut aliases = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..12 {
        let refs = vec![format!("*a{}", i - 1); 10].join(",");
        aliases.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
    }
    let anchored = (0..400).map(|i| format!("&a{i} [")).collect::<String>();
    let anchored = anchored + &"x,".repeat(500_000) + &"]".repeat(400);
    let wide = "[".repeat(400) + &"a,".repeat(1_000_000) + &"]".repeat(400);
    let directives: String = (0..200_000).map(|i| format!("%TAG !t{i}! x\n")).collect();
    for text in [
        aliases,
        anchored,
        wide,
        directives + "---\na: 1\n",
        "[".repeat(3 << 20),
        "{a: ".repeat(500_000),
        "- ".repeat(1 << 20),
        "? ".repeat(1 << 20),
        (0..1500).map(|i| " ".repeat(i) + "a:\n").collect(),
    ] {
        let begun = Instant::now();
        let refused = decode(text.as_bytes()).unwrap_err();
        let took = begun.elapsed();
        assert_eq!(refused.code, 400, "{text:.40}");
        // Without a limit some of these take hours.
        assert!(took < Duration::from_secs(30), "{text:.40} took {took:?}: {refused}");
    }
}

#[test]
fn large_documents_are_read_in_linear_time() {
    let of = |items: usize| -> String {
        (0..items)
            .map(|i| format!("- name: item-{i}\n  labels: {{a: b, c: [1, 2, {{d: e}}]}}\n"))
            .collect()
    };
    let (small, large) = (of(2_000), of(16_000));
    let time = |text: &str| {
        let begun = Instant::now();
        decode(text.as_bytes()).unwrap();
        begun.elapsed()
    };
    time(&small);
    let (few, many) = (time(&small), time(&large));
    assert!(many < few * 40, "{few:?} for 2,000 items, {many:?} for 16,000");
}

#[test]
fn what_would_be_another_type_is_quoted() {
    let value = json!({
        "a10": "yes", "a2": "0440", "time": "2024-05-06T07:08:09Z", "n": "12:30", "text": "a\nb\n",
        "plain": "x y", "colon": "a: b", "empty": "", "list": [{"b": 1, "a": [1.0, 2.5]}, []],
        "map": {}, "null": null, "float": "1e3", "y": "<<",
    });
    let text = encode(&value).unwrap();
    assert_eq!(
        text,
        "a2: \"0440\"\na10: \"yes\"\ncolon: 'a: b'\nempty: \"\"\nfloat: \"1e3\"\nlist:\n- a:\n  - 1\n  \
         - 2.5\n  b: 1\n- []\nmap: {}\n\"n\": \"12:30\"\n\"null\": null\nplain: x y\ntext: |\n  a\n  b\n\
         time: \"2024-05-06T07:08:09Z\"\n\"y\": \"<<\"\n"
    );
    assert_eq!(read(&text)["time"], value["time"]);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(key in ".{0,12}", texts in proptest::collection::vec("\\PC{0,20}", 0..6)) {
        let value = json!({ key: texts });
        prop_assert_eq!(read(&encode(&value).unwrap()), value);
    }

    #[test]
    fn any_bytes_are_read_or_refused(text in "[\\[\\]{}:,&*!|>'\"%@`#?a\\-0 \n\t~<.]{0,60}") {
        let _ = decode(text.as_bytes());
    }
}

/// YAML cannot contain half of a surrogate pair, although JSON can.
#[test]
fn json_that_is_no_yaml_is_refused() {
    let refused = decode(br#"{"a":"\ud800"}"#).unwrap_err();
    assert!(
        refused.message.ends_with("found invalid Unicode character escape code"),
        "{refused:?}"
    );
    assert_eq!(decode(br#"{"a":"\u00e9"}"#).unwrap().0, json!({"a": "\u{e9}"}));
}

#[test]
fn blocks_at_the_end_need_no_line_break() {
    for (text, wanted) in [
        ("a: |\n b\n c", "b\nc"),
        ("a: |\n b\n c\n", "b\nc\n"),
        ("a: |+\n b\n c", "b\nc"),
        ("a: |-\n b\n c", "b\nc"),
        ("a: >\n b\n c", "b c"),
        ("a: |\n éé\n c", "éé\nc"),
        ("a: |\n  b\n ", "b\n"),
        ("a: |\r\n b\r\n c\r\n", "b\nc\n"),
        ("a: |\n é\n c\r", "é\nc\n"),
        ("a: b", "b"),
        ("a: 'b'", "b"),
    ] {
        assert_eq!(decode(text.as_bytes()).unwrap().0["a"], wanted, "{text:?}");
    }
}

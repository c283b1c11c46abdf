use super::*;
use proptest::prelude::*;
use serde_json::json;

fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
    let find = |key: &str| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v);
    LabelSelector::parse(selector).unwrap().matches(find)
}

#[test]
fn label_selectors_select_like_upstream() {
    let labels = [("a", "b"), ("n", "5"), ("e", ""), ("in", "in")];
    for selector in [
        "",
        "a=b",
        "a==b",
        "a",
        "x!=y",
        "a!=c",
        "a in (b,c)",
        "a notin (c)",
        "x notin (y)",
        "!x",
        "n>4",
        "n<6",
        " a = b , n ",
        "e=",
        "e in ()",
        "e in (,x)",
        "a in (b,)",
        "in in (in)",
        "a in (x,,b)",
    ] {
        assert!(selects(selector, &labels), "{selector}");
    }
    for selector in
        ["a=c", "x", "a!=b", "a in (c)", "a notin (b)", "!a", "n>5", "a>1", "x=", "x in (b)"]
    {
        assert!(!selects(selector, &labels), "{selector}");
    }
}

#[test]
fn label_selector_errors_are_upstreams() {
    let table = [
        ("a=b,", "found '', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' \
             operators, the value must be an integer",
        ),
    ];
    for (selector, message) in table {
        assert_eq!(LabelSelector::parse(selector).unwrap_err().message, message, "{selector}");
    }
    let error = LabelSelector::parse("a=-").unwrap_err().message;
    assert!(
        error.starts_with(
            "unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must"
        ),
        "{error}"
    );
}

#[test]
fn label_selector_objects_are_read() {
    let selector = LabelSelector::from_value(&json!({
        "matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["x", "y"]}],
    }))
    .unwrap();
    assert_eq!(selector.to_string(), "a=b,c notin (x,y)");
    assert!(selector.matches_object(&json!({"metadata": {"labels": {"a": "b"}}})));
    assert!(!selector.matches_object(&json!({"metadata": {"labels": {"a": "b", "c": "x"}}})));
    assert!(LabelSelector::from_value(&json!({})).unwrap().is_empty());
    assert!(!LabelSelector::from_value(&json!(null)).unwrap().matches(|_| Some("")));
    let bad = json!({"matchExpressions": [{"key": "c", "operator": "Like"}]});
    let error = LabelSelector::from_value(&bad).unwrap_err();
    assert_eq!(error.message, "\"Like\" is not a valid label selector operator");
}

#[test]
fn field_selectors_parse_and_match() {
    let selector = FieldSelector::parse(r"metadata.name==x,status.phase!=Running,a=b\,c").unwrap();
    let fields = |f: &str| match f {
        "metadata.name" => "x",
        "a" => "b,c",
        _ => "",
    };
    assert!(selector.matches(fields));
    assert!(!selector.matches(|_| "Running"));
    assert_eq!(selector.requires_exact("metadata.name"), Some("x"));
    assert_eq!(selector.requires_exact("status.phase"), None);
    assert_eq!(FieldSelector::parse(&selector.to_string()).unwrap(), selector);
    for (text, message) in [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ] {
        assert_eq!(FieldSelector::parse(text).unwrap_err().message, message);
    }
}

proptest! {
    #[test]
    fn parsing_never_panics_and_text_reads_back(text in "[ab!=<>(), \tin\0é]{0,20}") {
        let _ = FieldSelector::parse(&text);
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()).unwrap(), selector);
        }
    }
}

use super::*;

type Rule = fn(&str) -> Vec<String>;

#[test]
fn good_names_pass_and_bad_ones_do_not() {
    let long = "a".repeat(64);
    let table: [(Rule, &[&str], &[&str]); 13] = [
        (dns1123_label, &["a", "1", "a-b", "0a0"], &["", "-a", "a-", "A", "a.b", "a_b", &long]),
        (dns1123_subdomain, &["a.b-c.d", "1.2"], &["", ".", "a..b", ".a", "a.", "A.b", "a b"]),
        (dns1035_label, &["a", "a1-b"], &["", "1a", "a-", "a.b"]),
        (wildcard_dns1123_subdomain, &["*.a.b"], &["*", "a.b", "*.", "*.*.a", "**.a"]),
        (
            qualified_name,
            &["a", "A_b.c-1", "x.y/Z", "1"],
            &["", "/a", "a/", "a/b/c", "A/b", "-a", "a-", &long],
        ),
        (label_value, &["", "a", "A.b_c-1"], &["-", "a b", "a-", &long]),
        (port_name, &["http", "a-1"], &["", "1", "a--b", "-a", "A", "abcdefghijklmnop"]),
        (env_var_name, &["A", "a.b-c_d", "_"], &["", "1a", "a b", "..", "..a"]),
        (config_map_key, &["a", "1.txt", ".a", "A_b"], &["", ".", "..", "..a", "a/b", "a b"]),
        (percent, &["1%", "100%"], &["", "%", "1", "-1%", "1.5%"]),
        (path_segment_name, &["a:b", "system:x", "..."], &[".", "..", "a/b", "a%b"]),
        (ip, &["1.2.3.4", "::1"], &["", "1.2.3", "01.2.3.4", "::ffff:1.2.3.4", "a"]),
        (
            cidr,
            &["10.0.0.0/8", "::/0", "0.0.0.0/0", "1.2.3.4/32"],
            &["10.0.0.1/8", "10.0.0.0", "10.0.0.0/33", "010.0.0.0/8", "10.0.0.0/08", "::1/64"],
        ),
    ];
    for (rule, good, bad) in table {
        for value in good {
            assert_eq!(rule(value), Vec::<String>::new(), "{value}");
        }
        for value in bad {
            assert_ne!(rule(value), Vec::<String>::new(), "{value}");
        }
    }
}

#[test]
fn complaints_are_upstreams() {
    assert_eq!(
        dns1123_subdomain("A"),
        ["a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' \
          or '.', and must start and end with an alphanumeric character (e.g. 'example.com', \
          regex used for validation is \
          '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"]
    );
    assert_eq!(
        qualified_name("a!"),
        ["name part must consist of alphanumeric characters, '-', '_' or '.', and must start and \
          end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
          used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"]
    );
    assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
    assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
    assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
    assert_eq!(path_segment_name(".."), ["may not be '..'"]);
    assert_eq!(port_number(0), ["must be between 1 and 65535, inclusive"]);
}

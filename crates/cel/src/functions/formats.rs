//! Named formats.

use std::sync::OnceLock;

use regex::Regex;

use super::convert::text_of;
use super::strings::text;
use super::url::Url;
use super::{Outcome, Row, regex as patterns};
use crate::budget::Budget;
use crate::error::EvalError;
use crate::value::{Opaque, Value};

pub(super) const ROWS: &[Row] = &[
    ("validate", "format-validate", ".(NamedFormat, string) -> optional(list(string))", validate),
    ("format.named", "format-named", "(string) -> optional(NamedFormat)", named),
    ("format.dns1123Label", "format.dns1123Label", "() -> NamedFormat", |_, _| value(0)),
    ("format.dns1123Subdomain", "format.dns1123Subdomain", "() -> NamedFormat", |_, _| value(1)),
    ("format.dns1035Label", "format.dns1035Label", "() -> NamedFormat", |_, _| value(2)),
    ("format.qualifiedName", "format.qualifiedName", "() -> NamedFormat", |_, _| value(3)),
    ("format.dns1123LabelPrefix", "format.dns1123LabelPrefix", "() -> NamedFormat", |_, _| {
        value(4)
    }),
    (
        "format.dns1123SubdomainPrefix",
        "format.dns1123SubdomainPrefix",
        "() -> NamedFormat",
        |_, _| value(5),
    ),
    ("format.dns1035LabelPrefix", "format.dns1035LabelPrefix", "() -> NamedFormat", |_, _| {
        value(6)
    }),
    ("format.labelValue", "format.labelValue", "() -> NamedFormat", |_, _| value(7)),
    ("format.uri", "format.uri", "() -> NamedFormat", |_, _| value(8)),
    ("format.uuid", "format.uuid", "() -> NamedFormat", |_, _| value(9)),
    ("format.byte", "format.byte", "() -> NamedFormat", |_, _| value(10)),
    ("format.date", "format.date", "() -> NamedFormat", |_, _| value(11)),
    ("format.datetime", "format.datetime", "() -> NamedFormat", |_, _| value(12)),
];

/// A named format.
#[derive(Debug)]
pub struct Format {
    pub(crate) name: &'static str,
    key: &'static str,
    /// The length of the pattern that costs are counted by.
    pub(crate) pattern_size: u64,
    check: fn(&str) -> Vec<String>,
}

const FORMATS: [Format; 13] = [
    Format { name: "DNS1123Label", key: "dns1123Label", pattern_size: 30, check: label },
    Format {
        name: "DNS1123Subdomain",
        key: "dns1123Subdomain",
        pattern_size: 60,
        check: subdomain,
    },
    Format { name: "DNS1035Label", key: "dns1035Label", pattern_size: 30, check: label_1035 },
    Format { name: "QualifiedName", key: "qualifiedName", pattern_size: 60, check: qualified },
    Format {
        name: "DNS1123LabelPrefix",
        key: "dns1123LabelPrefix",
        pattern_size: 30,
        check: |s| label(&masked(s)),
    },
    Format {
        name: "DNS1123SubdomainPrefix",
        key: "dns1123SubdomainPrefix",
        pattern_size: 60,
        check: |s| subdomain(&masked(s)),
    },
    Format {
        name: "DNS1035LabelPrefix",
        key: "dns1035LabelPrefix",
        pattern_size: 30,
        check: |s| label_1035(&masked(s)),
    },
    Format { name: "LabelValue", key: "labelValue", pattern_size: 40, check: label_value },
    Format {
        name: "URI",
        key: "uri",
        pattern_size: 1103,
        check: |s| Url::parse(s).err().iter().map(EvalError::to_string).collect(),
    },
    Format {
        name: "uuid",
        key: "uuid",
        pattern_size: 70,
        check: |s| unless(UUID, s, "does not match the UUID format"),
    },
    Format {
        name: "byte",
        key: "byte",
        pattern_size: 84,
        check: |s| unless(BASE64, s, "invalid base64"),
    },
    Format { name: "date", key: "date", pattern_size: 71, check: date },
    Format { name: "datetime", key: "datetime", pattern_size: 71, check: datetime },
];

static ALL: [Format; 13] = FORMATS;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const UUID: &str = "(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}";
const BASE64: &str =
    "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})";
const PATTERNS: [&str; 7] = [LABEL, SUBDOMAIN, LABEL_1035, NAME, LABEL_VALUE, UUID, BASE64];

/// True if one of the patterns matches all of a text.
fn matches(pattern: &str, text: &str) -> bool {
    static COMPILED: OnceLock<Vec<Option<Regex>>> = OnceLock::new();
    let compiled = COMPILED.get_or_init(|| {
        PATTERNS.iter().map(|pattern| patterns::compile(&format!("^(?:{pattern})$")).ok()).collect()
    });
    let place = PATTERNS.iter().position(|known| *known == pattern);
    let regex = place.and_then(|place| compiled.get(place)?.as_ref());
    regex.is_some_and(|regex| regex.is_match(text))
}

fn unless(pattern: &str, text: &str, message: &str) -> Vec<String> {
    if matches(pattern, text) { Vec::new() } else { vec![message.to_owned()] }
}

fn too_long(text: &str, most: usize, unit: &str) -> Option<String> {
    (text.len() > most).then(|| format!("must be no more than {most} {unit}"))
}

fn mismatch(pattern: &str, text: &str, message: &str, examples: &str) -> Option<String> {
    (!matches(pattern, text))
        .then(|| format!("{message} (e.g. {examples}, regex used for validation is '{pattern}')"))
}

/// With a trailing dash taken for a part of a name that is not complete.
fn masked(text: &str) -> String {
    match text.len() {
        length if length > 1 && text.ends_with('-') => {
            let kept = text.get(..length - 2).unwrap_or_default();
            format!("{kept}a")
        }
        _ => text.to_owned(),
    }
}

fn label(text: &str) -> Vec<String> {
    const MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                           characters or '-', and must start and end with an alphanumeric character";
    let mut wrong: Vec<String> = too_long(text, 63, "characters").into_iter().collect();
    if !matches(LABEL, text) && matches(SUBDOMAIN, text) {
        wrong.push("must not contain dots".to_owned());
    } else {
        wrong.extend(mismatch(LABEL, text, MESSAGE, "'my-name',  or '123-abc'"));
    }
    wrong
}

fn subdomain(text: &str) -> Vec<String> {
    const MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
                           characters, '-' or '.', and must start and end with an alphanumeric \
                           character";
    let wrong = too_long(text, 253, "characters").into_iter();
    wrong.chain(mismatch(SUBDOMAIN, text, MESSAGE, "'example.com'")).collect()
}

fn label_1035(text: &str) -> Vec<String> {
    const MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or \
                           '-', start with an alphabetic character, and end with an alphanumeric \
                           character";
    let wrong = too_long(text, 63, "characters").into_iter();
    wrong.chain(mismatch(LABEL_1035, text, MESSAGE, "'my-name',  or 'abc-123'")).collect()
}

const NAME_MESSAGE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must \
                            start and end with an alphanumeric character";

fn qualified(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".to_owned());
            } else {
                wrong.extend(subdomain(prefix).into_iter().map(|w| format!("prefix part {w}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {NAME_MESSAGE} (e.g. 'MyName',  or 'my.name',  or '123-abc', \
                 regex used for validation is '{NAME}') with an optional DNS subdomain prefix and \
                 '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if let Some(long) = too_long(name, 63, "bytes") {
        wrong.push(format!("name part {long}"));
    }
    let examples = "'MyName',  or 'my.name',  or '123-abc'";
    wrong.extend(mismatch(NAME, name, &format!("name part {NAME_MESSAGE}"), examples));
    wrong
}

fn label_value(text: &str) -> Vec<String> {
    let message = "a valid label must be an empty string or consist of alphanumeric \
                           characters, '-', '_' or '.', and must start and end with an \
                           alphanumeric character"
        .to_string();
    let wrong = too_long(text, 63, "bytes").into_iter();
    wrong
        .chain(mismatch(LABEL_VALUE, text, &message, "'MyValue',  or 'my_value',  or '12345'"))
        .collect()
}

fn date(text: &str) -> Vec<String> {
    match crate::value::parse_date(text) {
        Some(_) => Vec::new(),
        None => vec!["invalid date".to_owned()],
    }
}

fn datetime(text: &str) -> Vec<String> {
    match crate::value::parse_date_time(text) {
        Some(_) => Vec::new(),
        None => vec!["invalid datetime".to_owned()],
    }
}

/// True if it is a name of DNS with dots.
pub(super) fn is_subdomain(text: &str) -> bool {
    subdomain(text).is_empty()
}

/// True if it is a name of DNS without dots.
pub(super) fn is_label(text: &str) -> bool {
    label(text).is_empty()
}

fn value<'a>(index: usize) -> Outcome<'a> {
    Ok(Value::Opaque(Opaque::Format(&ALL[index])))
}

fn named<'a>(args: &[Value<'a>], _: &mut Budget) -> Outcome<'a> {
    let name = text(args, 0)?;
    let found = ALL.iter().find(|format| format.key == name);
    Ok(found
        .map_or(Value::Optional(None), |format| Value::some(Value::Opaque(Opaque::Format(format)))))
}

fn validate<'a>(args: &[Value<'a>], budget: &mut Budget) -> Outcome<'a> {
    let Value::Opaque(Opaque::Format(format)) = &args[0] else {
        return Err(EvalError::no_such_overload());
    };
    let wrong = (format.check)(&text_of(&args[1], budget)?);
    Ok(match wrong.is_empty() {
        true => Value::Optional(None),
        false => Value::some(Value::list(wrong.into_iter().map(Value::text).collect())),
    })
}

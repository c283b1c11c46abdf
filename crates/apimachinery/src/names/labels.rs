//! Label keys and values.

use super::dns::{MAX_SUBDOMAIN, is_subdomain, subdomain_pattern_error};
use super::{max_len_error, regex_error, shaped};

const NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const NAME_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
                         and end with an alphanumeric character";
const NAME_EXAMPLES: &[&str] = &["MyName", "my.name", "123-abc"];
const MAX: usize = 63;

fn is_name(value: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_alphanumeric();
    shaped(value, alnum, |b| alnum(b) || b"-_.".contains(&b), alnum)
}

/// A label key: a name of up to 63 bytes, with an optional DNS subdomain and `/` before it.
#[must_use]
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let name = match value.split('/').collect::<Vec<_>>()[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > MAX_SUBDOMAIN {
                    errors.push(format!("prefix part must be no more than {MAX_SUBDOMAIN} bytes"));
                }
                if !is_subdomain(prefix) {
                    errors.push(format!("prefix part {}", subdomain_pattern_error()));
                }
            }
            name
        }
        _ => {
            let rule = regex_error(NAME_RULE, NAME, NAME_EXAMPLES);
            return vec![format!(
                "a valid label key {rule} with an optional DNS subdomain prefix and '/' (e.g. \
                 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX {
        errors.push(format!("name part must be no more than {MAX} bytes"));
    }
    if !is_name(name) {
        errors.push(format!("name part {}", regex_error(NAME_RULE, NAME, NAME_EXAMPLES)));
    }
    errors
}

/// A label value: empty, or up to 63 bytes of the form of a label key's name.
#[must_use]
pub fn label_value(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > MAX {
        errors.push(max_len_error(MAX).replace("characters", "bytes"));
    }
    if !value.is_empty() && !is_name(value) {
        errors.push(regex_error(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', \
             '_' or '.', and must start and end with an alphanumeric character",
            &format!("({NAME})?"),
            &["MyValue", "my_value", "12345"],
        ));
    }
    errors
}

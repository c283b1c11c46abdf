//! Syntax of names, labels and keys, with upstream's error messages.
//!
//! Every function returns the error messages, which are empty for a valid value.

mod dns;
mod generate;
mod labels;
mod network;
mod other;

pub use dns::{
    dns1035_label, dns1123_label, dns1123_subdomain, dns1123_subdomain_with_underscore, long_name,
    long_name_caseless, short_name, wildcard_dns1123_subdomain,
};
pub use generate::generate_name;
pub use labels::{label_value, qualified_name};
pub use network::{cidr, in_range, ip, port_name, port_number};
pub use other::{
    c_identifier, config_map_key, env_var_name, http_header_name, path_segment, path_segment_name,
    path_segment_prefix, percent, relaxed_env_var_name,
};

/// `must be no more than N characters`.
#[must_use]
pub fn max_len_error(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// An error message that shows the pattern and examples that match it.
#[must_use]
pub fn regex_error(message: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{pattern}')");
    }
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    let examples = examples.join(" or ");
    format!("{message} (e.g. {examples}regex used for validation is '{pattern}')")
}

/// Returns true if `value` starts with `first`, ends with `last` and has only `inner` between.
fn shaped(
    value: &str,
    first: impl Fn(u8) -> bool,
    inner: impl Fn(u8) -> bool,
    last: impl Fn(u8) -> bool,
) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => first(*only) && last(*only),
        [head, middle @ .., tail] => {
            first(*head) && middle.iter().all(|b| inner(*b)) && last(*tail)
        }
    }
}

fn lower_alnum(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

#[cfg(test)]
mod tests;

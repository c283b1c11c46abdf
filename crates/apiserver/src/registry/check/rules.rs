//! Rules shared by many kinds. Each takes the name of a child.

use std::net::IpAddr;

use apimachinery::names;
use serde_json::Value;

use super::Field;

const NEGATIVE: &str = "must be greater than or equal to 0";
const IMMUTABLE: &str = "field is immutable";

/// A rule that returns error messages about a text.
pub(crate) type Names = fn(&str) -> Vec<String>;

impl Field<'_> {
    /// Returns true if a child is present and not empty.
    pub(crate) fn filled(&self, name: &str) -> bool {
        match self.get(name) {
            Value::Null => false,
            Value::String(s) => !s.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(map) => !map.is_empty(),
            _ => true,
        }
    }

    /// Requires a text or list that is not empty.
    pub(crate) fn needs(&self, name: &str) -> bool {
        let there = self.filled(name);
        if !there {
            self.at(name).required("");
        }
        there
    }

    /// Applies the rule to several children.
    pub(crate) fn needs_all(&self, names: &[&str]) {
        for name in names {
            self.needs(name);
        }
    }

    /// Requires a number that is not negative, if given.
    pub(crate) fn non_negative(&self, name: &str) {
        if self.int(name).is_some_and(|n| n < 0) {
            self.at(name).invalid(NEGATIVE);
        }
    }

    /// Applies the rule to several children.
    pub(crate) fn non_negative_all(&self, names: &[&str]) {
        for name in names {
            self.non_negative(name);
        }
    }

    /// Requires a number above zero; absent reads as zero.
    pub(crate) fn positive(&self, name: &str) {
        let number = self.int(name).unwrap_or(0);
        if number <= 0 {
            self.at(name).invalid_value(number, "must be greater than zero");
        }
    }

    /// Requires a number between two bounds, if given.
    pub(crate) fn within(&self, name: &str, min: i64, max: i64) {
        if let Some(number) = self.int(name) {
            self.at_messages(name, || names::in_range(number, min, max));
        }
    }

    /// Requires one of an enumeration.
    pub(crate) fn one_of(&self, name: &str, supported: &[&str]) {
        if !supported.contains(&self.str(name)) {
            self.at(name).not_supported(supported);
        }
    }

    /// Requires one of an enumeration, if given.
    pub(crate) fn maybe_one_of(&self, name: &str, supported: &[&str]) {
        if self.has(name) {
            self.one_of(name, supported);
        }
    }

    /// Requires one of an enumeration; an empty text counts as missing.
    pub(crate) fn needs_one_of(&self, name: &str, supported: &[&str]) {
        if self.needs(name) {
            self.one_of(name, supported);
        }
    }

    /// Requires a text that passes `rule`.
    pub(crate) fn valid(&self, name: &str, rule: Names) {
        self.at_messages(name, || rule(self.str(name)));
    }

    /// The same, if the text is given.
    pub(crate) fn maybe_valid(&self, name: &str, rule: Names) {
        if !self.str(name).is_empty() {
            self.valid(name, rule);
        }
    }

    /// The same, and the text is required.
    pub(crate) fn needs_valid(&self, name: &str, rule: Names) {
        if self.needs(name) {
            self.valid(name, rule);
        }
    }

    fn at_messages(&self, name: &str, messages: impl FnOnce() -> Vec<String>) {
        let messages = messages();
        if !messages.is_empty() {
            self.at(name).invalid_all(messages);
        }
    }

    /// Requires a port number, or the name of a port.
    pub(crate) fn port_or_name(&self, name: &str) {
        match self.get(name) {
            Value::String(_) => self.valid(name, names::port_name),
            number => {
                let number = number.as_i64().unwrap_or(0);
                for message in names::port_number(number) {
                    self.at(name).invalid_value(number, message);
                }
            }
        }
    }

    /// Requires an unchanged field. `old` is the previous value of this field.
    pub(crate) fn immutable(&self, name: &str, old: &Value) {
        if self.get(name) != &old[name] {
            self.at(name).invalid_value(self.get(name).clone(), IMMUTABLE);
        }
    }

    /// The same for a struct, which upstream prints as its internal type.
    pub(crate) fn immutable_as(&self, name: &str, old: &Value, of: &str) {
        if self.get(name) != &old[name] {
            self.at(name).invalid_as(of, IMMUTABLE);
        }
    }

    /// Requires an unchanged text; a removed one is shown as empty.
    pub(crate) fn immutable_text(&self, name: &str, old: &Value) {
        if self.get(name) != &old[name] {
            self.at(name).invalid(IMMUTABLE);
        }
    }

    /// Applies the rule to several children.
    pub(crate) fn immutable_all(&self, names: &[&str], old: &Value) {
        for name in names {
            self.immutable(name, old);
        }
    }

    /// Requires a relative path without `..`.
    pub(crate) fn relative_path(&self) {
        if self.text().starts_with('/') {
            self.invalid("must be a relative path");
        }
        self.no_backsteps();
    }

    /// Requires a path without `..`.
    pub(crate) fn no_backsteps(&self) {
        if !no_backsteps(self.text()) {
            self.invalid("must not contain '..'");
        }
    }

    /// Requires a relative path whose names do not begin with `..`, which the kubelet reserves.
    pub(crate) fn local_path(&self) {
        self.relative_path();
        if !is_local_path(self.text()) {
            self.invalid("must not start with '..'");
        }
    }

    /// Requires an IP address.
    pub(crate) fn ip(&self) {
        self.invalid_all(sloppy_ip(self.text()));
    }

    /// Requires an IP address in its canonical form.
    pub(crate) fn canonical_ip(&self) {
        let messages = names::ip(self.text());
        if !messages.is_empty() {
            return self.invalid_all(messages);
        }
        if let Ok(ip) = self.text().parse::<IpAddr>()
            && ip.to_string() != self.text()
        {
            let canonical = apimachinery::text::quote(&ip.to_string());
            self.invalid(format!("must be in canonical form ({canonical})"));
        }
    }

    /// Requires a domain name of at least two labels.
    pub(crate) fn domain_name(&self) {
        if self.text().is_empty() {
            return self.required("");
        }
        let name = self.text().strip_suffix('.').unwrap_or(self.text());
        let messages = names::dns1123_subdomain(name);
        if !messages.is_empty() {
            return self.invalid_value(name, messages.join(","));
        }
        if !name.contains('.') {
            return self.invalid_value(
                name,
                "should be a domain with at least two segments separated by dots",
            );
        }
        let wrong = |label: &&str| !names::dns1123_label(label).is_empty();
        if let Some(label) = name.split('.').find(wrong) {
            self.invalid_value(label, names::dns1123_label(label).join(","));
        }
    }

    /// Requires an address that is valid for an endpoint.
    pub(crate) fn endpoint_ip(&self) {
        self.invalid_all(not_an_endpoint(self.text()));
    }

    /// Requires an interface address with its prefix, both in canonical form.
    pub(crate) fn interface_address(&self) {
        let text = self.text();
        let Ok(net) = text.parse::<ipnet::IpNet>() else {
            return self.invalid(
                "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)",
            );
        };
        let canonical = format!("{}/{}", net.addr(), net.prefix_len());
        if canonical != text {
            let canonical = apimachinery::text::quote(&canonical);
            self.invalid(format!("must be in canonical form ({canonical})"));
        }
    }

    /// Requires an IP prefix in its canonical form.
    pub(crate) fn canonical_cidr(&self) {
        self.invalid_all(names::cidr(self.text()));
    }

    /// Requires an IP prefix.
    pub(crate) fn cidr(&self) {
        self.invalid_all(sloppy_cidr(self.text()));
    }
}

/// Fields older than strict parsing accept leading zeros, IPv4-mapped addresses and bits beyond the
/// prefix (upstream's `StrictIPCIDRValidation` is off).
fn sloppy_ip(text: &str) -> Vec<String> {
    names::ip(text).into_iter().filter(|m| m.contains("must be a valid")).collect()
}

fn sloppy_cidr(text: &str) -> Vec<String> {
    names::cidr(text).into_iter().filter(|m| m.contains("must be a valid")).collect()
}

/// Returns true if no part of the path is `..`.
pub(crate) fn no_backsteps(path: &str) -> bool {
    path.split('/').all(|part| part != "..")
}

/// Returns true if the first name of the path does not begin with `..`.
fn is_local_path(path: &str) -> bool {
    !path.starts_with("..") || path.starts_with("../")
}

/// Returns true if a number is between two bounds, both included.
pub(crate) fn in_range(number: i64, min: i64, max: i64) -> bool {
    (min..=max).contains(&number)
}

/// The reason why an address is not valid for an endpoint.
fn not_an_endpoint(text: &str) -> Vec<String> {
    let Ok(ip) = text.parse::<IpAddr>() else {
        return vec!["must be a valid IP address".to_owned()];
    };
    let (link_local, link_local_multicast) = match ip {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => {
            (ip.segments()[0] & 0xffc0 == 0xfe80, ip.segments()[0] & 0xff0f == 0xff02)
        }
    };
    let mut messages = Vec::new();
    for (wrong, message) in [
        (ip.is_unspecified(), format!("may not be unspecified ({text})")),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (
            link_local_multicast,
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned(),
        ),
    ] {
        if wrong {
            messages.push(message);
        }
    }
    messages
}

//! Host names, addresses and namespaces of a pod.

use apimachinery::names;

use super::all_containers;
use crate::registry::check::Field;

const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_LENGTH: usize = 2048;

pub(super) fn check_dns(spec: &Field<'_>) {
    let config = spec.at("dnsConfig");
    if spec.str("dnsPolicy") == "None" {
        if !spec.has("dnsConfig") {
            return config.required("must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if config.len("nameservers") == 0 {
            return config
                .at("nameservers")
                .required("must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if config.len("nameservers") > MAX_NAMESERVERS {
        config
            .at("nameservers")
            .invalid(format!("must not have more than {MAX_NAMESERVERS} nameservers"));
    }
    for server in config.items("nameservers") {
        server.ip();
    }
    let searches: Vec<&str> = config.strings("searches").collect();
    if searches.len() > MAX_SEARCHES {
        config
            .at("searches")
            .invalid(format!("must not have more than {MAX_SEARCHES} search paths"));
    }
    if searches.join(" ").len() > MAX_SEARCH_LENGTH {
        config.at("searches").invalid(format!(
            "must not have more than {MAX_SEARCH_LENGTH} characters (including spaces) in the \
             search list"
        ));
    }
    for search in config.items("searches").filter(|s| s.text() != ".") {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        for message in names::dns1123_subdomain_with_underscore(name) {
            search.invalid_value(name, message);
        }
    }
    for option in config.items("options") {
        if option.str("name").is_empty() {
            option.required("must not be empty");
        }
    }
}

pub(super) fn check_aliases(spec: &Field<'_>) {
    for alias in spec.items("hostAliases") {
        alias.at("ip").ip();
        for hostname in alias.items("hostnames") {
            hostname.invalid_all(names::dns1123_subdomain(hostname.text()));
        }
    }
}

/// User namespaces exclude the host's other namespaces (KEP-127).
pub(super) fn check_users(spec: &Field<'_>) {
    if spec.get("hostUsers") != false {
        return;
    }
    for (field, shown) in
        [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")]
    {
        if spec.flag(field) {
            spec.at_as(field, shown).forbidden("when `hostUsers` is false");
        }
    }
    for container in all_containers(spec) {
        if container.len("volumeDevices") > 0 {
            container.at("volumeDevices").forbidden("when `hostUsers` is false");
        }
    }
}

pub(super) fn check_hostname_override(spec: &Field<'_>) {
    let Some(name) = spec.opt("hostnameOverride") else { return };
    if spec.flag("setHostnameAsFQDN") {
        name.forbidden("may not be specified when setHostnameAsFQDN is true");
    }
    if spec.flag("hostNetwork") {
        name.forbidden("may not be specified when hostNetwork is true");
    }
    if name.text().len() > 64 {
        name.too_long(64);
    }
    name.invalid_all(names::dns1123_subdomain(name.text()));
}

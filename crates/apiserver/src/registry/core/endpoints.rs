//! Endpoints.

use apimachinery::field::ErrorList;
use apimachinery::{Object, names};

use super::pod::PROTOCOLS;
use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{Strategy, items_mut, set_default};

pub(super) struct Endpoints;

impl Strategy for Endpoints {
    fn create_on_update(&self) -> bool {
        true
    }

    fn default(&self, object: &mut Object) {
        for port in items_mut(object, "subsets").flat_map(|s| items_mut(s, "ports")) {
            set_default(port, "protocol", "TCP");
        }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| object.items("subsets").for_each(|s| check_subset(&s)))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        // Subsets that were accepted before are kept.
        if object["subsets"] == old["subsets"] { ErrorList::new() } else { self.validate(object) }
    }
}

fn check_subset(subset: &Field<'_>) {
    if subset.len("addresses") + subset.len("notReadyAddresses") == 0 {
        subset.required("must specify `addresses` or `notReadyAddresses`");
    }
    for address in ["addresses", "notReadyAddresses"].iter().flat_map(|l| subset.items(l)) {
        let ip = address.at("ip");
        ip.ip();
        address.maybe_valid("hostname", names::dns1123_label);
        if address.has("nodeName") {
            address.valid("nodeName", names::dns1123_subdomain);
        }
        ip.endpoint_ip();
    }
    for port in subset.items("ports") {
        if !port.str("name").is_empty() {
            port.valid("name", names::dns1123_label);
        } else if subset.len("ports") > 1 {
            port.at("name").required("");
        }
        let number = port.int("port").unwrap_or(0);
        for message in names::port_number(number) {
            port.at("port").invalid_value(number, message);
        }
        port.needs_one_of("protocol", PROTOCOLS);
        if port.has("appProtocol") {
            port.valid("appProtocol", names::qualified_name);
        }
    }
}

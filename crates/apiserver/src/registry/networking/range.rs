//! ServiceCIDR: a range from which service addresses are allocated.

use apimachinery::Object;
use apimachinery::field::ErrorList;
use serde_json::Value;

use crate::registry::Sub;
use crate::registry::check::{Field, check};
use crate::registry::strategy::{ALL_METADATA, Context, Strategy, clear_status};

pub(super) struct ServiceRange;

const IMMUTABLE: &str = "field is immutable";

impl Strategy for ServiceRange {
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        clear_status(object);
        ErrorList::new()
    }

    fn status_keeps(&self) -> &'static [&'static str] {
        ALL_METADATA
    }

    fn reset_fields(&self, sub: Option<Sub>, _has_status: bool) -> &'static [&'static str] {
        if sub.is_none() { &["status"] } else { &["metadata", "spec"] }
    }

    fn validate(&self, object: &Object) -> ErrorList {
        check(object, |object| check_spec(&object.at("spec")))
    }

    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        check(object, |object| {
            let spec = object.at("spec");
            let was = old["spec"]["cidrs"].as_array().map_or(&[][..], Vec::as_slice);
            let changed = |range: &Field<'_>, was: &Value| {
                if range.value() != was {
                    range.invalid(IMMUTABLE);
                }
            };
            if spec.len("cidrs") == was.len() {
                spec.items("cidrs").zip(was).for_each(|(range, was)| changed(&range, was));
            } else if let ([first], 2) = (was, spec.len("cidrs")) {
                spec.items("cidrs").take(1).for_each(|range| changed(&range, first));
                check_spec(&spec);
            } else {
                spec.at("cidrs").invalid_value(spec.get("cidrs").clone(), IMMUTABLE);
            }
        })
    }
}

fn check_spec(spec: &Field<'_>) {
    let ranges = spec.at("cidrs");
    match spec.len("cidrs") {
        0 => return ranges.required("at least one CIDR required"),
        1 | 2 => {}
        _ => {
            return ranges
                .instead(spec.value())
                .invalid_as("ServiceCIDRSpec", "may only hold up to 2 values");
        }
    }
    spec.items("cidrs").for_each(|range| range.canonical_cidr());
    let families: Vec<Option<bool>> = spec
        .strings("cidrs")
        .map(|text| text.parse::<ipnet::IpNet>().ok().map(|net| net.addr().is_ipv4()))
        .collect();
    if let [Some(one), Some(other)] = families[..]
        && one == other
    {
        ranges.invalid(
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and \
             2001:db8::/64",
        );
    }
}

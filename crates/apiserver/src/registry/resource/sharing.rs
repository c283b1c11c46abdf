//! Capacity of a device that several claims share: the amounts that may be asked for.

use std::collections::BTreeSet;

use apimachinery::quantity::{Format, Quantity};

use super::rules::each;
use crate::registry::check::Field;

const MAX_VALUES: usize = 10;

/// Checks the policy of a capacity of `most`.
pub(super) fn check_request_policy(policy: &Field<'_>, most: &Quantity) {
    let (values, range) = (policy.len("validValues") > 0, policy.opt("validRange"));
    if values && range.is_some() {
        return policy.forbidden(
            "exactly one policy can be specified, cannot specify \"validValues\" and \
             \"validRange\" at the same time",
        );
    }
    let default = policy.at("default");
    let of = if values { "validValues" } else { "validRange" };
    match (values, range) {
        (false, None) => {}
        _ if !policy.has("default") => default.required(format!("required when {of} is defined")),
        (_, Some(range)) => check_range(&range, &default.quantity(), most),
        (_, None) => check_values(policy, &default.quantity(), most),
    }
}

fn invalid(field: &Field<'_>, value: &Quantity, why: impl Into<String>) {
    field.invalid_value(value.to_string(), why);
}

fn check_values(policy: &Field<'_>, default: &Quantity, most: &Quantity) {
    let values = policy.at("validValues");
    let all: Vec<Quantity> = policy.items("validValues").map(|v| v.quantity()).collect();
    for (i, pair) in all.windows(2).enumerate() {
        if pair[0] > pair[1] {
            let why = "values must be sorted in ascending order";
            invalid(&values.index(i + 1), &pair[1], why);
        }
    }
    let few = each(policy, "validValues", MAX_VALUES, |option| {
        let amount = option.quantity();
        if amount > *most {
            invalid(option, &amount, format!("option is larger than capacity value: {most}"));
        }
    });
    if few {
        let mut seen = BTreeSet::new();
        for option in policy.items("validValues") {
            let amount = option.quantity();
            if !seen.insert(amount) {
                option.duplicate_of(plain(&amount));
            }
        }
    }
    // Upstream looks for the default where it looks at each value.
    if !few || !all.contains(default) {
        invalid(&values, default, "default value is not valid according to the requestPolicy");
    }
}

/// An amount without a unit.
fn plain(amount: &Quantity) -> String {
    match is_fraction(amount) {
        true => format!("{}", amount.as_f64()),
        false => amount.value().to_string(),
    }
}

fn check_range(range: &Field<'_>, default: &Quantity, most: &Quantity) {
    let given = |name| range.has(name).then(|| range.at(name).quantity());
    let (max, step) = (given("max"), given("step"));
    let Some(min) = given("min") else {
        return range.at("min").required("required when validRange is defined");
    };
    if min > *most {
        invalid(&range.at("min"), &min, format!("min is larger than capacity value: {most}"));
    }
    if *default < min {
        invalid(&range.at("default"), default, format!("default is less than min: {min}"));
    }
    if let Some(max) = &max {
        let at = range.at("max");
        if min > *max {
            invalid(&at, &min, format!("min is larger than max: {max}"));
        }
        if max > most {
            invalid(&at, max, format!("max is larger than capacity value: {most}"));
        }
        if default > max {
            invalid(&range.at("default"), default, format!("default is more than max: {max}"));
        }
    }
    let all = [("default", Some(default)), ("min", Some(&min)), ("max", max.as_ref())];
    let all = all.into_iter().chain([("step", step.as_ref())]);
    let all: Vec<(&str, &Quantity)> = all.filter_map(|(n, q)| Some((n, q?))).collect();
    let in_millis = all.iter().any(|(_, amount)| is_fraction(amount));
    if in_millis {
        let found = range.count();
        for (name, amount) in &all {
            if **amount != Quantity::from_millis(amount.milli_value()) {
                let why = "value cannot be represented as a milli value";
                invalid(&range.at(name), amount, why);
            }
        }
        if range.count() > found {
            return;
        }
    }
    if let Some(step) = &step {
        check_step(range, step, &all, most, in_millis);
    }
}

fn is_fraction(amount: &Quantity) -> bool {
    *amount != Quantity::from_units(amount.value(), amount.format())
}

fn check_step(
    range: &Field<'_>,
    step: &Quantity,
    all: &[(&str, &Quantity)],
    most: &Quantity,
    in_millis: bool,
) {
    let at = range.at("step");
    if step.sign() <= 0 {
        return invalid(&at, step, "must be greater than zero");
    }
    let Some(min) = all.iter().find(|(name, _)| *name == "min").map(|(_, min)| *min) else {
        return;
    };
    let mut one = *min;
    one += *step;
    if one > *most {
        invalid(&at, step, format!("one step {one} is larger than capacity value: {most}"));
    }
    if !in_millis {
        let found = range.count();
        for (name, amount) in all {
            let at = range.at(name);
            if amount.sign() < 0 {
                invalid(&at, amount, "must be greater than or equal to 0");
            } else if **amount > Quantity::from_units(i64::MAX, Format::DecimalSi) {
                invalid(&at, amount, format!("must not be larger than {}", i64::MAX));
            }
        }
        if range.count() > found {
            return;
        }
    }
    let number = |amount: &Quantity| {
        i128::from(if in_millis { amount.milli_value() } else { amount.value() })
    };
    for (_, amount) in all.iter().filter(|(name, _)| matches!(*name, "default" | "max")) {
        let steps = (number(amount) - number(min)).checked_rem(number(step));
        if steps != Some(0) {
            let why = format!("value is not a multiple of a given step ({step}) from ({min})");
            invalid(&at, amount, why);
        }
    }
}

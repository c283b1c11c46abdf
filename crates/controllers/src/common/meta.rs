//! Reading metadata.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use std::time::Duration;

/// Namespace of an object, empty for cluster-scoped ones.
pub(crate) fn namespace(object: &impl Resource) -> &str {
    object.meta().namespace.as_deref().unwrap_or_default()
}

/// Name of an object.
pub(crate) fn name(object: &impl Resource) -> &str {
    object.meta().name.as_deref().unwrap_or_default()
}

/// Uid of an object.
pub(crate) fn uid(object: &impl Resource) -> &str {
    object.meta().uid.as_deref().unwrap_or_default()
}

/// Returns true if an object is being deleted.
pub(crate) fn deleting(object: &impl Resource) -> bool {
    object.meta().deletion_timestamp.is_some()
}

/// One annotation.
pub(crate) fn annotation<'a>(object: &'a impl Resource, key: &str) -> Option<&'a str> {
    object.meta().annotations.as_ref()?.get(key).map(String::as_str)
}

/// One label.
pub(crate) fn label<'a>(object: &'a impl Resource, key: &str) -> Option<&'a str> {
    object.meta().labels.as_ref()?.get(key).map(String::as_str)
}

/// When an object was created.
pub(crate) fn created(object: &impl Resource) -> Timestamp {
    object.meta().creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

/// Returns true if both are the same object by uid, and not only of the same name.
pub(crate) fn same(a: &impl Resource, b: &impl Resource) -> bool {
    a.meta().uid == b.meta().uid
}

/// How long from now until `delay` after `time`; `None` when that has passed.
pub(crate) fn remaining(time: &Time, delay: Duration, now: Timestamp) -> Option<Duration> {
    let passed = Duration::try_from(now.duration_since(time.0)).unwrap_or_default();
    delay.checked_sub(passed).filter(|left| !left.is_zero())
}

/// A number, or a percentage of `total` rounded up or down.
pub(crate) fn scaled(value: &IntOrString, total: i32, round_up: bool) -> i32 {
    match value {
        IntOrString::Int(n) => *n,
        IntOrString::String(text) => {
            let percent: i64 =
                text.strip_suffix('%').and_then(|number| number.parse().ok()).unwrap_or(0);
            let product = percent * i64::from(total);
            let whole = if round_up { (product + 99).div_euclid(100) } else { product / 100 };
            i32::try_from(whole).unwrap_or(i32::MAX)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        let text = |s: &str| IntOrString::String(s.into());
        for (value, total, up, expected) in [
            (IntOrString::Int(3), 10, true, 3),
            (text("25%"), 10, true, 3),
            (text("25%"), 10, false, 2),
            (text("100%"), 7, false, 7),
            (text("0%"), 7, true, 0),
            (text("1%"), 3, true, 1),
        ] {
            assert_eq!(scaled(&value, total, up), expected, "{value:?} of {total}");
        }
    }
}

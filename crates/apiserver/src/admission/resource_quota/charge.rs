//! The cost of an object for a quota, and the check that the quota can cover it.

use apimachinery::{Object, ObjectExt};
use jiff::Timestamp;
use rules::quota::{self, Counted};
use rules::resources::Amounts;

/// The reason why an object cannot be charged to a quota, in upstream's words.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("failed quota: {quota}: {missing}")]
    Unstated { quota: String, missing: String },
    #[error("status unknown for quota: {quota}, resources: {}", resources.join(","))]
    UnknownUse { quota: String, resources: Vec<String> },
    #[error("quota usage is negative for resource(s): {}", .0.join(","))]
    Negative(Vec<String>),
    #[error("exceeded quota: {quota}, requested: {requested}, used: {used}, limited: {limited}")]
    Exceeded { quota: String, requested: Amounts, used: Amounts, limited: Amounts },
}

/// An object to be charged to quotas.
pub(super) struct Bill<'a> {
    pub(super) counted: &'a Counted,
    pub(super) object: &'a Object,
    /// The object as it was charged before.
    pub(super) old: Option<&'a Object>,
    /// True if the charge must stay within the limits.
    pub(super) limited: bool,
    pub(super) now: Timestamp,
}

impl Bill<'_> {
    /// The resources that the quota limits for the object; nothing if it is not about it.
    pub(super) fn limits(&self, quota: &Object) -> Result<Vec<String>, Refusal> {
        let counted = self.counted;
        let name = || quota.name().to_owned();
        let (hard, used) = (quota::hard(quota, "status"), quota::used(quota));
        let tracked: Vec<&str> = hard.names().filter(|name| counted.tracks(name)).collect();
        if tracked.is_empty() || !counted.covers(quota, self.object) {
            return Ok(Vec::new());
        }
        if counted.counts_pods()
            && let Some(missing) = quota::missing_of_pod(self.object, tracked.iter().copied())
        {
            return Err(Refusal::Unstated { quota: name(), missing });
        }
        let resources: Vec<String> = tracked.iter().map(|name| (*name).to_owned()).collect();
        if tracked.iter().any(|name| used.get(name).is_none()) {
            return Err(Refusal::UnknownUse { quota: name(), resources });
        }
        Ok(resources)
    }

    /// The usage of the quota after the charge; `None` if the object costs it nothing.
    pub(super) fn check(&self, quota: &Object) -> Result<Option<Amounts>, Refusal> {
        let name = || quota.name().to_owned();
        let (hard, mut used) = (quota::hard(quota, "status"), quota::used(quota));
        if self.limits(quota)?.is_empty() {
            return Ok(None);
        }
        let requested = self.requested(quota, &hard)?;
        if requested.is_empty() {
            return Ok(None);
        }
        let before = used.clone();
        used.add(&requested);
        let mut exceeded = requested;
        exceeded.retain(|name| used.get(name) > hard.get(name));
        if exceeded.is_empty() || !self.limited {
            return Ok(Some(used));
        }
        let of_those = |mut amounts: Amounts| {
            amounts.retain(|name| exceeded.get(name).is_some());
            amounts
        };
        let (used, limited) = (of_those(before), of_those(hard));
        Err(Refusal::Exceeded { quota: name(), requested: exceeded, used, limited })
    }

    /// The increase of the object's usage.
    pub(super) fn growth(&self) -> Amounts {
        let before = self.old.map(|old| self.counted.usage(old, self.now)).unwrap_or_default();
        self.counted.usage(self.object, self.now).beyond(&before)
    }

    /// The increase of the object's usage of resources that the quota limits.
    fn requested(&self, quota: &Object, hard: &Amounts) -> Result<Amounts, Refusal> {
        let usage = self.counted.usage(self.object, self.now);
        let negative = usage.iter().filter(|(_, amount)| amount.sign() < 0);
        let negative: Vec<String> = negative.map(|(name, _)| name.to_owned()).collect();
        if !negative.is_empty() {
            return Err(Refusal::Negative(negative));
        }
        let old = self.old.filter(|old| self.counted.covers(quota, old));
        let before = old.map(|old| self.counted.usage(old, self.now)).unwrap_or_default();
        let mut requested = usage.beyond(&before);
        requested.retain(|name| hard.get(name).is_some());
        Ok(requested)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(cpu: &str) -> Value {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
    }

    /// Checks a pod that is new, or was `old`, against a quota named `q`.
    fn check(
        spec: Value,
        hard: Value,
        used: Value,
        pod: &Value,
        old: Option<&Value>,
    ) -> Result<Option<String>, Refusal> {
        let quota = json!({"metadata": {"name": "q"}, "spec": spec,
            "status": {"hard": hard, "used": used}});
        let counted = Counted::of("", "pods").unwrap();
        let now = Timestamp::now();
        let bill = Bill { counted: &counted, object: pod, old, limited: true, now };
        bill.check(&quota).map(|used| used.map(|used| used.to_string()))
    }

    #[test]
    fn charges_are_what_upstream_would_charge() {
        let one = || json!({"pods": "1", "cpu": "2"});
        let best_effort = || json!({"scopes": ["BestEffort"]});
        for (spec, hard, used, want) in [
            (json!({}), one(), json!({"pods": "0", "cpu": "1"}), Ok(Some("cpu=2,pods=1"))),
            (json!({}), json!({"services": "0"}), json!({"services": "0"}), Ok(None)),
            (best_effort(), one(), json!({}), Ok(None)),
            (
                json!({}),
                one(),
                json!({"pods": "1", "cpu": "1"}),
                Err("exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"),
            ),
            (
                json!({}),
                one(),
                json!({"pods": "1", "cpu": "1500m"}),
                Err(
                    "exceeded quota: q, requested: cpu=1,pods=1, used: cpu=1500m,pods=1, limited: cpu=2,pods=1",
                ),
            ),
            (
                json!({}),
                one(),
                json!({"pods": "1"}),
                Err("status unknown for quota: q, resources: cpu,pods"),
            ),
            (
                json!({}),
                json!({"limits.cpu": "1"}),
                json!({"limits.cpu": "0"}),
                Err("failed quota: q: must specify limits.cpu for: c"),
            ),
        ] {
            let got = check(spec, hard.clone(), used.clone(), &pod("1"), None);
            let want = want.map(|w| w.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(got.map_err(|why| why.to_string()), want, "{hard} {used}");
        }
    }

    #[test]
    fn a_change_is_charged_its_growth() {
        let hard = || json!({"cpu": "4", "pods": "1"});
        let used = || json!({"cpu": "2", "pods": "1"});
        let resize = |to: &str| check(json!({}), hard(), used(), &pod(to), Some(&pod("2")));
        assert_eq!(resize("4").unwrap().unwrap(), "cpu=4,pods=1");
        assert_eq!(resize("1"), Ok(None));
        assert_eq!(
            resize("5").unwrap_err().to_string(),
            "exceeded quota: q, requested: cpu=3, used: cpu=2, limited: cpu=4"
        );
        // An object that enters a scope is charged in full.
        let scoped = json!({"scopes": ["Terminating"]});
        let mut short = pod("1");
        short["spec"]["activeDeadlineSeconds"] = 5.into();
        let used = json!({"cpu": "0", "pods": "0"});
        let got = check(scoped, hard(), used, &short, Some(&pod("1")));
        assert_eq!(got.unwrap().unwrap(), "cpu=1,pods=1");
    }
}

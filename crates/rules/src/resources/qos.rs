//! Quality of service class (upstream's `ComputePodQOS`).

use std::fmt;

use super::{Demand, PodResources};

const COMPUTE: &[&str] = &["cpu", "memory"];

/// How sure a pod may be of what it asks for, and so which pods the kernel should spare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QosClass {
    /// It may use what it asks for, of CPU and memory in every container.
    Guaranteed,
    /// It asks for something.
    Burstable,
    /// It asks for nothing.
    BestEffort,
}

impl QosClass {
    /// The class of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Guaranteed, Self::Burstable, Self::BestEffort]
            .into_iter()
            .find(|class| class.as_str() == name)
    }

    /// As `status.qosClass` has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

impl fmt::Display for QosClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PodResources {
    /// The class of the pod by what its spec asks for. Resources of the pod as a whole decide
    /// alone (KEP-2837), if there are any.
    #[must_use]
    pub fn qos_class(&self) -> QosClass {
        let demands: Vec<&Demand> = match &self.whole {
            Some(whole) if is_of_pods(whole) => vec![whole],
            _ => self.each().map(|container| &container.wanted).collect(),
        };
        if demands.iter().all(|demand| asks_for_nothing(demand)) {
            QosClass::BestEffort
        } else if demands.iter().all(|demand| is_guaranteed(demand)) {
            QosClass::Guaranteed
        } else {
            QosClass::Burstable
        }
    }
}

/// Returns true if it has a resource that pods as a whole can have.
fn is_of_pods(demand: &Demand) -> bool {
    let mut names = demand.requests.iter().chain(demand.limits.iter()).map(|(name, _)| name);
    names.any(|name| COMPUTE.contains(&name) || name.starts_with("hugepages-"))
}

fn asks_for_nothing(demand: &Demand) -> bool {
    let mut lists = [&demand.requests, &demand.limits].into_iter();
    lists.all(|list| {
        COMPUTE.iter().all(|name| list.get(name).is_none_or(|amount| amount.sign() <= 0))
    })
}

fn is_guaranteed(demand: &Demand) -> bool {
    COMPUTE.iter().all(|name| {
        let positive = |list: &super::Amounts| list.get(name).filter(|amount| amount.sign() > 0);
        let limit = positive(&demand.limits);
        limit.is_some() && positive(&demand.requests).is_none_or(|request| Some(request) == limit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn class(spec: Value) -> QosClass {
        PodResources::of_tree(&json!({"spec": spec})).qos_class()
    }

    #[test]
    fn classes_follow_requests_and_limits() {
        let both = json!({"cpu": "1", "memory": "1Gi"});
        for (resources, want) in [
            (json!({}), QosClass::BestEffort),
            (json!({"requests": {"cpu": "0"}}), QosClass::BestEffort),
            (json!({"requests": {"cpu": "1"}}), QosClass::Burstable),
            (json!({"requests": {"example.com/x": "1"}}), QosClass::BestEffort),
            (json!({"limits": both}), QosClass::Guaranteed),
            (json!({"requests": both, "limits": both}), QosClass::Guaranteed),
            (json!({"requests": {"cpu": "500m"}, "limits": both}), QosClass::Burstable),
        ] {
            assert_eq!(class(json!({"containers": [{"resources": resources}]})), want);
        }
    }

    #[test]
    fn every_container_has_a_say_unless_the_pod_has() {
        let both = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}});
        let init = |resources: &Value| json!({"containers": [{"resources": both}], "initContainers": [{"resources": resources}]});
        assert_eq!(class(init(&both)), QosClass::Guaranteed);
        assert_eq!(class(init(&json!({}))), QosClass::Burstable);
        let whole = |own: Value| json!({"containers": [{}], "resources": own});
        assert_eq!(class(whole(both.clone())), QosClass::Guaranteed);
        assert_eq!(class(whole(json!({"requests": {"cpu": "1"}}))), QosClass::Burstable);
        assert_eq!(class(whole(json!({}))), QosClass::BestEffort);
    }

    #[test]
    fn names_read_back() {
        for class in [QosClass::Guaranteed, QosClass::Burstable, QosClass::BestEffort] {
            assert_eq!(QosClass::parse(class.as_str()), Some(class));
        }
        assert_eq!(QosClass::parse("Best"), None);
    }
}

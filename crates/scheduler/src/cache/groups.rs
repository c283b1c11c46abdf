//! Pods that are alike: same namespace, same labels, same affinity.
//!
//! To every selector they are one, so a decision matches each group once and then only counts, which
//! keeps affinity and spreading linear in nodes instead of pods.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::pod::PodInfo;

/// A group's number, valid while it has pods.
pub(crate) type GroupId = usize;

/// How many pods of a group a node has.
#[derive(Clone, Debug)]
pub(crate) struct GroupCount {
    pub(crate) group: GroupId,
    pub(crate) pods: i64,
    /// Those that are not being deleted.
    pub(crate) staying: i64,
}

/// Counts `pods` more (or fewer) of a group.
pub(super) fn count(counts: &mut Vec<GroupCount>, group: GroupId, pods: i64, staying: i64) {
    match counts.iter_mut().find(|c| c.group == group) {
        Some(count) => {
            count.pods += pods;
            count.staying += staying;
        }
        None => counts.push(GroupCount { group, pods, staying }),
    }
    counts.retain(|count| count.pods > 0);
}

/// A pod seen as a member of its group.
#[derive(Clone, Debug)]
struct Alike(Arc<PodInfo>);

impl PartialEq for Alike {
    fn eq(&self, other: &Self) -> bool {
        self.0.key.namespace == other.0.key.namespace
            && self.0.labels() == other.0.labels()
            && self.0.terms == other.0.terms
    }
}

impl Eq for Alike {}

impl Hash for Alike {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key.namespace.hash(state);
        self.0.labels().hash(state);
    }
}

#[derive(Debug)]
struct Group {
    sample: Arc<PodInfo>,
    pods: usize,
}

/// All groups.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    ids: HashMap<Alike, GroupId>,
    groups: Vec<Option<Group>>,
    free: Vec<GroupId>,
    /// Groups whose pods have affinity terms.
    choosy: BTreeSet<GroupId>,
}

impl Groups {
    pub(super) fn join(&mut self, pod: &Arc<PodInfo>) -> GroupId {
        let alike = Alike(pod.clone());
        let known = self.ids.remove(&alike);
        let id = known.or_else(|| self.free.pop()).unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() - 1
        });
        let pods = self.groups[id].as_ref().map_or(0, |group| group.pods);
        // The latest form is the sample, so that no outdated pod is kept for its labels.
        self.groups[id] = Some(Group { sample: pod.clone(), pods: pods + 1 });
        self.ids.insert(alike, id);
        if pod.terms.is_some() {
            self.choosy.insert(id);
        }
        id
    }

    pub(super) fn leave(&mut self, id: GroupId) {
        let Some(Some(group)) = self.groups.get_mut(id) else { return };
        group.pods -= 1;
        if group.pods == 0 {
            self.ids.remove(&Alike(group.sample.clone()));
            self.groups[id] = None;
            self.choosy.remove(&id);
            self.free.push(id);
        }
    }

    /// Every group with one of its pods.
    pub(crate) fn all(&self) -> impl Iterator<Item = (GroupId, &PodInfo)> {
        let groups = self.groups.iter().enumerate();
        groups.filter_map(|(id, group)| Some((id, &*group.as_ref()?.sample)))
    }

    /// The groups whose pods have affinity terms of their own.
    pub(crate) fn choosy(&self) -> impl Iterator<Item = (GroupId, &PodInfo)> {
        self.choosy.iter().filter_map(|id| Some((*id, &*self.groups.get(*id)?.as_ref()?.sample)))
    }

    /// A table by group, filled where `value` gives something; nothing if it never does.
    pub(crate) fn table<'a, T>(
        &self,
        groups: impl Iterator<Item = (GroupId, &'a PodInfo)>,
        value: impl Fn(&'a PodInfo) -> Option<T>,
    ) -> Option<Vec<Option<T>>> {
        let mut table: Vec<Option<T>> = Vec::new();
        for (id, pod) in groups {
            if let Some(value) = value(pod) {
                table.resize_with(self.groups.len(), || None);
                table[id] = Some(value);
            }
        }
        (!table.is_empty()).then_some(table)
    }
}

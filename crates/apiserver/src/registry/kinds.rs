//! The kinds that are served now: an immutable snapshot of all groups, versions and kinds.
//!
//! Kinds of the table are in every snapshot; definitions of custom resources add others. Whoever
//! answers a request takes one snapshot and asks nothing else.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use super::custom::{Definition, by_priority};
use super::{GROUPS, Kind};

/// A kind, of the table or of a definition. Cheap to clone.
#[derive(Clone)]
pub(crate) enum KindRef {
    Builtin(&'static Kind),
    Custom(Arc<Kind>),
}

impl Deref for KindRef {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        match self {
            Self::Builtin(kind) => kind,
            Self::Custom(kind) => kind,
        }
    }
}

impl From<&'static Kind> for KindRef {
    fn from(kind: &'static Kind) -> Self {
        Self::Builtin(kind)
    }
}

/// One served group.
pub(crate) struct ServedGroup {
    pub(crate) name: &'static str,
    /// Its versions, preferred first.
    pub(crate) versions: Vec<&'static str>,
    pub(crate) kinds: Vec<KindRef>,
    /// Where the kinds of a resource are, one for each version.
    by_resource: HashMap<&'static str, Vec<usize>>,
}

impl ServedGroup {
    fn new(name: &'static str, versions: &[&'static str]) -> Self {
        let versions = versions.to_vec();
        Self { name, versions, kinds: Vec::new(), by_resource: HashMap::new() }
    }

    fn push(&mut self, kind: KindRef) {
        self.by_resource.entry(kind.resource).or_default().push(self.kinds.len());
        self.kinds.push(kind);
    }

    fn find(&self, version: &str, resource: &str) -> Option<&KindRef> {
        let mut kinds = self.by_resource.get(resource)?.iter().map(|at| &self.kinds[*at]);
        kinds.find(|kind| kind.version == version)
    }
}

/// The snapshot.
pub(crate) struct Kinds {
    /// In the order of discovery: those of the table, then the others by name.
    groups: Vec<ServedGroup>,
    by_group: HashMap<&'static str, usize>,
    /// By the names of their objects.
    definitions: BTreeMap<String, Arc<Definition>>,
}

impl Kinds {
    /// The table and these definitions.
    pub(crate) fn new(definitions: BTreeMap<String, Arc<Definition>>) -> Self {
        let mut groups: Vec<ServedGroup> = GROUPS
            .iter()
            .map(|group| {
                let mut served = ServedGroup::new(group.name, group.versions);
                group.kinds.iter().for_each(|kind| served.push(KindRef::Builtin(kind)));
                served
            })
            .collect();
        let mut custom: BTreeMap<&'static str, Vec<&Arc<Definition>>> = BTreeMap::new();
        for definition in definitions.values() {
            custom.entry(definition.group).or_default().push(definition);
        }
        for (name, definitions) in custom {
            let mut kinds = definitions.iter().flat_map(|definition| &definition.kinds).peekable();
            if kinds.peek().is_none() {
                continue;
            }
            let at = groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
                groups.push(ServedGroup::new(name, &[]));
                groups.len() - 1
            });
            let group = &mut groups[at];
            let known = group.versions.len();
            for kind in kinds {
                if !group.versions.contains(&kind.version) {
                    group.versions.push(kind.version);
                }
                group.push(KindRef::Custom(kind.clone()));
            }
            group.versions[known..].sort_by(|a, b| by_priority(a, b));
        }
        let by_group = groups.iter().enumerate().map(|(at, group)| (group.name, at)).collect();
        Self { groups, by_group, definitions }
    }

    /// All groups, in the order of discovery.
    pub(crate) fn groups(&self) -> &[ServedGroup] {
        &self.groups
    }

    /// A group by name.
    pub(crate) fn group(&self, name: &str) -> Option<&ServedGroup> {
        self.by_group.get(name).map(|at| &self.groups[*at])
    }

    /// The kind that serves a resource.
    pub(crate) fn find(&self, group: &str, version: &str, resource: &str) -> Option<&KindRef> {
        self.group(group)?.find(version, resource)
    }

    /// The kind of that name.
    pub(crate) fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<&KindRef> {
        let mut kinds = self.group(group)?.kinds.iter();
        kinds.find(|known| known.version == version && known.kind == kind)
    }

    /// Every kind.
    pub(crate) fn all(&self) -> impl Iterator<Item = &KindRef> {
        self.groups.iter().flat_map(|group| &group.kinds)
    }

    pub(crate) fn definitions(&self) -> &BTreeMap<String, Arc<Definition>> {
        &self.definitions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_every_snapshot() {
        let kinds = Kinds::new(BTreeMap::new());
        assert_eq!(kinds.find("apps", "v1", "deployments").unwrap().kind, "Deployment");
        assert!(kinds.find("apps", "v2", "deployments").is_none());
        assert_eq!(kinds.find_kind("", "v1", "Pod").unwrap().resource, "pods");
        assert_eq!(kinds.groups().len(), GROUPS.len());
        assert_eq!(kinds.all().count(), super::super::kinds().count());
    }
}

//! Sets of field paths, as a trie.

use super::element;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The reason why a value is not a set in the `FieldsV1` form.
#[derive(Debug, thiserror::Error)]
pub enum FieldsError {
    /// The value, or something in it, is not an object.
    #[error("fields must be an object")]
    NotObject,
    /// A step is malformed.
    #[error(transparent)]
    Step(#[from] BadStep),
}

/// A malformed step of a path.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BadStep(#[from] element::Malformed);

/// A set of field paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet(BTreeMap<String, Node>);

/// One path: it may be in the set itself, and longer paths below it may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    member: bool,
    below: FieldSet,
}

impl Node {
    /// A path that is in the set, with longer ones below it.
    pub(super) fn member(below: FieldSet) -> Self {
        Self { member: true, below }
    }

    fn is_something(&self) -> bool {
        self.member || !self.below.is_empty()
    }

    fn some(self) -> Option<Self> {
        self.is_something().then_some(self)
    }
}

static EMPTY: FieldSet = FieldSet(BTreeMap::new());

impl FieldSet {
    /// Returns true if no path is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The set of these dotted paths of field names.
    #[must_use]
    pub fn of_fields(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let elements: Vec<String> = path.split('.').map(element::field).collect();
            set.insert(&elements);
        }
        set
    }

    pub(super) fn insert<S: AsRef<str>>(&mut self, path: &[S]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut set = self;
        for element in parents {
            set = &mut set.node(element.as_ref()).below;
        }
        set.node(last.as_ref()).member = true;
    }

    /// Sets what is at `path`, where there is nothing yet.
    pub(super) fn graft(&mut self, path: &[String], node: Node) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut set = self;
        for element in parents {
            set = &mut set.node(element).below;
        }
        set.0.insert(last.clone(), node);
    }

    /// Sets what is below one step.
    pub(super) fn put(&mut self, element: String, node: Node) {
        self.0.insert(element, node);
    }

    fn node(&mut self, element: &str) -> &mut Node {
        if !self.0.contains_key(element) {
            self.0.insert(element.to_owned(), Node::default());
        }
        self.0.get_mut(element).expect("just inserted")
    }

    /// Returns true if the one-step path is in the set.
    pub(super) fn has(&self, element: &str) -> bool {
        self.0.get(element).is_some_and(|n| n.member)
    }

    /// The remainders of the paths that begin with `element`.
    pub(super) fn below(&self, element: &str) -> &Self {
        self.0.get(element).map_or(&EMPTY, |n| &n.below)
    }

    /// Applies `f` to each step that has longer paths below; true makes the step a member.
    pub(super) fn promote(&mut self, f: &mut impl FnMut(&str, &mut FieldSet) -> bool) {
        for (element, node) in &mut self.0 {
            if !node.below.is_empty() && f(element, &mut node.below) {
                node.member = true;
            }
        }
    }

    /// Paths in either set.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        for (element, theirs) in &other.0 {
            match self.0.get_mut(element) {
                Some(mine) => {
                    mine.member |= theirs.member;
                    mine.below = std::mem::take(&mut mine.below).union(&theirs.below);
                }
                None => {
                    self.0.insert(element.clone(), theirs.clone());
                }
            }
        }
        self
    }

    /// Adds the paths of another set.
    pub(super) fn absorb(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        for (element, theirs) in other.0 {
            match self.0.entry(element) {
                Entry::Vacant(place) => {
                    place.insert(theirs);
                }
                Entry::Occupied(mut mine) => {
                    let mine = mine.get_mut();
                    mine.member |= theirs.member;
                    mine.below.absorb(theirs.below);
                }
            }
        }
    }

    /// Leaves out the paths of another set and those below them.
    pub(super) fn prune(&mut self, other: &Self) {
        for (element, theirs) in &other.0 {
            let Some(mine) = self.0.get_mut(element) else { continue };
            if !theirs.member {
                mine.below.prune(&theirs.below);
            }
            if theirs.member || !mine.is_something() {
                self.0.remove(element);
            }
        }
    }

    /// Leaves out the paths of another set.
    pub(super) fn subtract(&mut self, other: &Self) {
        for (element, theirs) in &other.0 {
            let Some(mine) = self.0.get_mut(element) else { continue };
            mine.member &= !theirs.member;
            mine.below.subtract(&theirs.below);
            if !mine.is_something() {
                self.0.remove(element);
            }
        }
    }

    fn filter_map(&self, f: impl Fn(&Node, &Node) -> Node, other: &Self) -> Self {
        let none = Node::default();
        Self(
            self.0
                .iter()
                .filter_map(|(element, mine)| {
                    let theirs = other.0.get(element).unwrap_or(&none);
                    Some((element.clone(), f(mine, theirs).some()?))
                })
                .collect(),
        )
    }

    /// Paths in this set alone.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.filter_map(
            |mine, theirs| Node {
                member: mine.member && !theirs.member,
                below: mine.below.difference(&theirs.below),
            },
            other,
        )
    }

    /// Paths in this set that are neither in the other set nor below one of its paths.
    #[must_use]
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.filter_map(
            |mine, theirs| match theirs.member {
                true => Node::default(),
                false => Node {
                    member: mine.member,
                    below: mine.below.recursive_difference(&theirs.below),
                },
            },
            other,
        )
    }

    /// Paths in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.filter_map(
            |mine, theirs| Node {
                member: mine.member && theirs.member,
                below: mine.below.intersection(&theirs.below),
            },
            other,
        )
    }

    /// All paths in human-readable form, each with its own set.
    pub(super) fn paths(&self) -> Vec<(String, FieldSet)> {
        let mut found = Vec::new();
        self.walk(&mut Vec::new(), &mut |path| {
            let mut single = Self::default();
            single.insert(path);
            found.push((element::display(path), single));
        });
        found
    }

    /// Visits shorter paths before longer ones with the same beginning.
    fn walk<'a>(&'a self, path: &mut Vec<&'a str>, f: &mut impl FnMut(&[&str])) {
        for (element, _) in self.0.iter().filter(|(_, node)| node.member) {
            path.push(element);
            f(path);
            path.pop();
        }
        for (element, node) in &self.0 {
            path.push(element);
            node.below.walk(path, f);
            path.pop();
        }
    }

    /// The `FieldsV1` form.
    #[must_use]
    pub fn to_fields_v1(&self) -> Value {
        let mut map = Map::new();
        for (element, node) in &self.0 {
            let mut below = node.below.to_fields_v1();
            if let (true, Value::Object(below)) =
                (node.member && !node.below.is_empty(), &mut below)
            {
                below.insert(".".to_owned(), Value::Object(Map::new()));
            }
            map.insert(element.clone(), below);
        }
        Value::Object(map)
    }

    /// Reads the `FieldsV1` form.
    ///
    /// # Errors
    /// When a step is malformed.
    pub fn from_fields_v1(value: &Value) -> Result<Self, FieldsError> {
        let Value::Object(map) = value else { return Err(FieldsError::NotObject) };
        let mut set = Self::default();
        for (text, below) in map.iter().filter(|(text, _)| *text != ".") {
            let member = below.as_object().is_some_and(|b| b.is_empty() || b.contains_key("."));
            let below = Self::from_fields_v1(below)?;
            if let Some(node) = (Node { member, below }).some() {
                set.0.insert(element::parse(text).map_err(BadStep::from)?, node);
            }
        }
        Ok(set)
    }
}

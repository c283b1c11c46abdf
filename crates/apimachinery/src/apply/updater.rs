//! The two kinds of write, in terms of field sets.

use super::compare::{Comparison, compare};
use super::conflict::Conflict;
use super::extract::{extract, with_parents};
use super::managers::{Id, Managers, Operation, Owned};
use super::merge::{merge, remove};
use super::set::FieldSet;
use super::{UNOWNED, Writer};
use crate::schema::Shape;
use serde_json::{Map, Value};
use std::sync::LazyLock;

static UNOWNED_SET: LazyLock<FieldSet> = LazyLock::new(|| FieldSet::of_fields(UNOWNED));

/// The outcome of an apply.
pub(super) struct Outcome {
    /// The merged object; `None` when nothing changes.
    pub(super) object: Option<Value>,
    pub(super) managers: Managers,
}

/// Gives `writer` all fields that changed between `old` and `new`, and takes them from all others.
pub(super) fn update(
    shape: &Shape,
    old: &Value,
    new: &Value,
    managers: &mut Managers,
    writer: &Writer<'_>,
) {
    let (mut own, lost) = changes(shape, old, new, writer).split();
    if !managers.0.is_empty() {
        let lost = lost.union(&own);
        let ids: Vec<Id> = managers.0.keys().cloned().collect();
        for id in &ids {
            let owned = &managers.0[id].fields;
            if owned.intersection(&lost).is_empty() {
                continue;
            }
            managers.take_away(id, &lost);
        }
    }
    managers.forget_idle();
    own.subtract(&UNOWNED_SET);
    if own.is_empty() {
        return;
    }
    let entry = managers.0.entry(writer.id(Operation::Update)).or_insert_with(|| Owned {
        api_version: writer.api_version.to_owned(),
        fields: FieldSet::default(),
        time: String::new(),
    });
    entry.fields.absorb(own);
    entry.time = writer.now.to_owned();
}

fn changes(shape: &Shape, old: &Value, new: &Value, writer: &Writer<'_>) -> Comparison {
    compare(shape, old, new).without(&FieldSet::of_fields(writer.reset_fields))
}

/// Merges `config` into `live` for `writer`.
///
/// # Errors
/// The conflicts, unless `force` takes the fields away from their owners.
pub(super) fn apply(
    shape: &Shape,
    live: &Value,
    config: &Value,
    mut managers: Managers,
    writer: &Writer<'_>,
    force: bool,
) -> Result<Outcome, Vec<Conflict>> {
    let id = writer.id(Operation::Apply);
    let fields =
        extract(shape, config).recursive_difference(&FieldSet::of_fields(writer.reset_fields));
    let last = managers.0.remove(&id);
    let time = last.as_ref().map(|l| l.time.clone()).unwrap_or_default();
    let owned = Owned { api_version: writer.api_version.to_owned(), fields, time };
    managers.0.insert(id.clone(), owned);

    let mut object = merge(shape, live, config);
    if let Some(last) = last.filter(|l| !l.fields.is_empty()) {
        object = prune(shape, &object, &managers, &last.fields);
    }

    let (changed, removed) = changes(shape, live, &object, writer).split();
    let mut conflicts = Vec::new();
    for (owner, owned) in managers.0.iter().filter(|(other, _)| **other != id) {
        let contested = owned.fields.intersection(&changed);
        conflicts.extend(contested.paths().into_iter().map(|(path, field)| Conflict {
            owner: owner.clone(),
            path,
            field,
        }));
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    let lost = changed.union(&removed);
    let others: Vec<Id> = managers.0.keys().filter(|other| **other != id).cloned().collect();
    for other in others {
        managers.take_away(&other, &lost);
    }
    managers.take_away(&id, &UNOWNED_SET);
    managers.forget_idle();
    let object = (object != *live).then_some(object);
    Ok(Outcome { object, managers })
}

/// Removes fields that the applier set last time but not now, unless another manager owns them.
///
/// A struct is removed when no owned field is left in it; fields without an owner stay as long as
/// their parent stays.
fn prune(shape: &Shape, merged: &Value, managers: &Managers, last: &FieldSet) -> Value {
    let set_of = |value: &Value| with_parents(shape, extract(shape, value));
    let without =
        |set: &FieldSet| remove(shape, merged, set).unwrap_or_else(|| Value::Object(Map::new()));
    let last = with_parents(shape, last.clone());
    let all = set_of(merged);
    let bare = without(&last);
    let owned = managers.0.values().fold(FieldSet::default(), |all, o| all.union(&o.fields));
    let owned = with_parents(shape, owned);
    let kept = without(&all.difference(&set_of(&bare).union(&owned)));
    without(&all.difference(&set_of(&kept)).intersection(&last))
}

//! `metadata.managedFields`: the owners of fields.

use super::set::{FieldSet, FieldsError};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Managers beyond this number that did not apply are folded into one.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// The reason why a value is not a list of managers.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("managed fields must be a list")]
    NotList,
    #[error("operation must be `Apply` or `Update`")]
    Operation,
    #[error("apiVersion must not be empty")]
    NoVersion,
    #[error("missing fieldsType in managed fields entry {0}")]
    NoType(usize),
    #[error("invalid fieldsType {fields_type:?} in managed fields entry {entry}")]
    Type { fields_type: String, entry: usize },
    #[error(transparent)]
    Fields(#[from] FieldsError),
}

/// The kind of a manager's writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

/// The identity of a manager.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) manager: String,
    pub(super) operation: Operation,
    /// Empty for appliers: they are the same manager in every version they apply.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

/// The fields that a manager owns.
#[derive(Clone, Debug)]
pub(super) struct Owned {
    pub(super) api_version: String,
    pub(super) fields: FieldSet,
    /// `metav1.Time` of the last change; empty when unknown.
    pub(super) time: String,
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers(pub(super) BTreeMap<Id, Owned>);

impl Managers {
    /// Reads the list; null is the empty one.
    pub(super) fn decode(list: Option<&Value>) -> Result<Self, Error> {
        let entries = match list {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err(Error::NotList),
        };
        let mut managers = BTreeMap::new();
        for (i, entry) in entries.iter().enumerate() {
            let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err(Error::Operation),
            };
            let api_version = text("apiVersion").to_owned();
            if api_version.is_empty() {
                return Err(Error::NoVersion);
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(Error::NoType(i)),
                other => {
                    return Err(Error::Type { fields_type: other.to_owned(), entry: i });
                }
            }
            let fields = match entry.get("fieldsV1") {
                None | Some(Value::Null) => FieldSet::default(),
                Some(fields) => FieldSet::from_fields_v1(fields)?,
            };
            let id = Id {
                manager: text("manager").to_owned(),
                operation,
                api_version: match operation {
                    Operation::Apply => String::new(),
                    Operation::Update => api_version.clone(),
                },
                subresource: text("subresource").to_owned(),
            };
            managers.insert(id, Owned { api_version, fields, time: text("time").to_owned() });
        }
        Ok(Self(managers))
    }

    /// Writes the list: appliers first, then by time.
    pub(super) fn encode(&self) -> Value {
        let mut entries: Vec<(&Id, &Owned)> = self.0.iter().collect();
        entries.sort_by(|(a, x), (b, y)| {
            (a.operation, &x.time, &a.manager, &x.api_version, &a.subresource).cmp(&(
                b.operation,
                &y.time,
                &b.manager,
                &y.api_version,
                &b.subresource,
            ))
        });
        let entry = |(id, owned): (&Id, &Owned)| {
            let mut entry = Map::new();
            let mut set = |key: &str, text: &str| {
                if !text.is_empty() {
                    entry.insert(key.to_owned(), text.into());
                }
            };
            set("manager", &id.manager);
            set(
                "operation",
                match id.operation {
                    Operation::Apply => "Apply",
                    Operation::Update => "Update",
                },
            );
            set("apiVersion", &owned.api_version);
            set("time", &owned.time);
            set("fieldsType", "FieldsV1");
            set("subresource", &id.subresource);
            entry.insert("fieldsV1".to_owned(), owned.fields.to_fields_v1());
            Value::Object(entry)
        };
        json!(entries.into_iter().map(entry).collect::<Vec<_>>())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes `fields` away from a manager, and removes the manager if nothing is left.
    pub(super) fn take_away(&mut self, id: &Id, fields: &FieldSet) {
        if let Some(owned) = self.0.get_mut(id) {
            owned.fields = owned.fields.difference(fields);
            if owned.fields.is_empty() {
                self.0.remove(id);
            }
        }
    }

    /// Removes managers that own nothing; a client may have sent such entries.
    pub(super) fn forget_idle(&mut self) {
        self.0.retain(|_, owned| !owned.fields.is_empty());
    }

    /// Folds the oldest updaters of each version into one until few enough are left.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Id> =
            self.0.keys().filter(|id| id.operation == Operation::Update).cloned().collect();
        let mut count = updaters.len();
        updaters.sort_by_key(|id| self.0[id].time.clone());
        let mut first_of: BTreeMap<String, Id> = BTreeMap::new();
        for id in updaters {
            if count <= MAX_UPDATERS {
                return;
            }
            let version = self.0[&id].api_version.clone();
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, id);
                continue;
            };
            let bucket = Id {
                manager: ANCIENT.to_owned(),
                operation: Operation::Update,
                api_version: version,
                subresource: String::new(),
            };
            if !self.0.contains_key(&bucket)
                && let Some(owned) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), owned);
            }
            if let Some(owned) = self.0.remove(&id) {
                let target = self
                    .0
                    .entry(bucket)
                    .or_insert_with(|| Owned { fields: FieldSet::default(), ..owned.clone() });
                target.fields = std::mem::take(&mut target.fields).union(&owned.fields);
                target.time = owned.time;
                count -= 1;
            }
        }
    }
}

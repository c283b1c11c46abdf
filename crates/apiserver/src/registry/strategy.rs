//! What a kind does differently: the shared flow is in `verbs`, the policy is here.

use apimachinery::Object;
use apimachinery::field::{ErrorList, Path};
use serde_json::Value;

use super::Sub;

/// What a strategy may look at besides the object.
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a crate::Settings,
    /// Who asks.
    pub(crate) user: &'a crate::user::User,
    /// Whether nothing will come of it.
    pub(crate) dry_run: bool,
}

/// Something that only namespaces with a label may have.
pub(crate) struct NeedsLabel {
    /// Where it is asked for.
    pub(crate) path: Path,
    /// In words.
    pub(crate) what: &'static str,
    /// The label, which must be `true`.
    pub(crate) label: &'static str,
}

/// Policy of one kind. Called in the order of the methods.
///
/// `default` must be idempotent and look at nothing but the object. The `prepare` methods may
/// overwrite what a client must not set, and take nothing when they complain. The `validate`
/// methods change nothing.
pub(crate) trait Strategy: Sync {
    /// Fills in what the client left out.
    fn default(&self, _object: &mut Object) {}

    /// Readies an object that is new or changed, where both are the same.
    fn prepare(&self, _object: &mut Object) {}

    /// Readies a new object: clears what clients may not set, allocates what the server gives.
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        self.prepare(object);
        ErrorList::new()
    }

    /// Checks a new object.
    fn validate(&self, _object: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// Readies a change: keeps what the server owns.
    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        _old: &Object,
    ) -> ErrorList {
        self.prepare(object);
        ErrorList::new()
    }

    /// Checks a change; `validate` has run on the new object.
    fn validate_update(&self, _object: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// Checks a changed object and its change. `sub` is the subresource it came through, never
    /// the status.
    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate(object);
        errors.0.extend(self.validate_update(object, old).0);
        errors
    }

    /// Names the wish of the object, new in it, that only some namespaces may have.
    fn needs_label(
        &self,
        _sub: Option<Sub>,
        _object: &Object,
        _old: Option<&Object>,
    ) -> Option<NeedsLabel> {
        None
    }

    /// Readies a write of the status: keeps what the server owns in it.
    fn prepare_for_status(&self, _object: &mut Object, _old: &Object) {}

    /// Metadata that a write of the status does not change: [`ALL_METADATA`] for some kinds.
    fn status_keeps(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks a write of the status; the rest of the object is as it was.
    fn validate_status(&self, _object: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// The generation of a new object of a kind that has one.
    fn first_generation(&self) -> Value {
        1.into()
    }

    /// Fields that a path does not write, so that nobody comes to own them through it.
    fn reset_fields(&self, sub: Option<Sub>, has_status: bool) -> &'static [&'static str] {
        match sub {
            None if has_status => &["status"],
            Some(Sub::Status) => &["spec"],
            _ => &[],
        }
    }

    /// Whether a change asks for something else than before, which raises the generation of kinds
    /// that have one.
    fn raises_generation(&self, object: &Object, old: &Object) -> bool {
        differs_in_wish(object, old)
    }

    /// Whether that is asked of the change as it was wished, before it is prepared.
    fn raises_generation_early(&self) -> bool {
        false
    }

    /// Warnings for the client, shown by kubectl.
    fn warnings(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// Warnings about a change.
    fn warnings_on_update(&self, object: &Object, _old: &Object) -> Vec<String> {
        self.warnings(object)
    }

    /// Whether PUT may come without the resourceVersion that it is based on.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// Messages for an invalid name.
    fn validate_name(&self, name: &str) -> Vec<String> {
        apimachinery::names::dns1123_subdomain(name)
    }

    /// The same, where it depends on the rest of the object what it may be called.
    fn validate_name_of(&self, _object: &Object, name: &str) -> Vec<String> {
        self.validate_name(name)
    }

    /// A name that begins with `base`.
    fn generate_name(&self, base: &str) -> String {
        apimachinery::names::generate_name(base, rand::random())
    }

    /// True when the stem that names are generated from must be valid itself.
    fn checks_generate_name(&self) -> bool {
        true
    }

    /// What a kind says in words of its own about a field that it does not select by.
    fn unknown_field(&self, _field: &str) -> Option<String> {
        None
    }

    /// Whether there is no policy at all.
    #[cfg(test)]
    fn is_plain(&self) -> bool {
        false
    }

    /// Whether PUT may create.
    fn create_on_update(&self) -> bool {
        false
    }

    /// Seconds of graceful deletion to begin with; `None` if the kind knows no grace. `asked` is
    /// the client's gracePeriodSeconds.
    fn grace_period(&self, _object: &Object, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// Why the object of this name stays, whoever asks.
    fn forbids_deletion(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// Further marks of an object whose deletion begins.
    fn begin_deletion(&self, _object: &mut Object) {}

    /// Gives back what `dropped` has and `kept` has not, of the old and the changed object: when a
    /// change that was prepared is committed, the old one is dropped, otherwise the changed one.
    fn after_update(&self, _ctx: &Context<'_>, _kept: &Object, _dropped: &Object) {}

    /// Gives back what `prepare_for_create` took, once the object is gone.
    fn after_delete(&self, _ctx: &Context<'_>, _object: &Object) {}

    /// Further system-owned fields that an ordinary update must keep, besides `status`.
    fn kept_on_update(&self) -> &'static [&'static [&'static str]] {
        &[]
    }
}

/// Metadata of a client's choice.
pub(crate) const ALL_METADATA: &[&str] =
    &["labels", "annotations", "finalizers", "ownerReferences", "selfLink"];

/// Whether anything but metadata and status differs.
pub(crate) fn differs_in_wish(object: &Object, old: &Object) -> bool {
    let wish = |object: &Object| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        let own = |name: &str| !matches!(name, "metadata" | "status" | "apiVersion" | "kind");
        fields.filter(|(k, _)| own(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    wish(object) != wish(old)
}

/// Takes the status away, which only the subresource writes.
pub(crate) fn clear_status(object: &mut Object) {
    object["status"] = Value::Object(serde_json::Map::new());
}

/// No behaviour of its own.
pub(crate) struct Plain;
impl Strategy for Plain {
    #[cfg(test)]
    fn is_plain(&self) -> bool {
        true
    }
}

/// The items of a list field, if it is there. (Indexing a missing field to write would make it
/// null.)
pub(crate) fn items_mut<'a>(
    object: &'a mut Value,
    field: &str,
) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets `object[path] = value` when nothing stands there.
pub(crate) fn set_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        let slot = map.entry(field).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// The struct at `path`, made where it is missing: to Go a struct is always there, and so are the
/// defaults of its fields. A value of another type stays, for the schema to refuse.
pub(crate) fn ensure<'a>(object: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut target = object;
    for name in path {
        if !target.is_object() {
            return target;
        }
        set_default(target, name, Value::Object(serde_json::Map::new()));
        target = &mut target[*name];
    }
    target
}

//! The policy of each kind; the shared flow is in `verbs`.

use apimachinery::Object;
use apimachinery::field::{ErrorList, Path};
use serde_json::Value;

use super::Sub;

/// The inputs of a strategy besides the object.
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a crate::Settings,
    /// The user that sent the request.
    pub(crate) user: &'a crate::user::User,
    /// True if nothing will be stored.
    pub(crate) dry_run: bool,
    /// Warnings for the client.
    pub(crate) warnings: &'a parking_lot::Mutex<Vec<String>>,
}

impl Context<'_> {
    /// Warns the client.
    pub(crate) fn warn(&self, warning: String) {
        self.warnings.lock().push(warning);
    }
}

/// A field that is only permitted in namespaces with a label.
pub(crate) struct NeedsLabel {
    /// Path of the field.
    pub(crate) path: Path,
    /// Description of the field.
    pub(crate) what: &'static str,
    /// The label, which must be `true`.
    pub(crate) label: &'static str,
}

/// Policy of one kind. Called in the order of the methods.
///
/// `default` must be idempotent and depend on the object only. The `prepare` methods may overwrite
/// fields that a client must not set, and allocate nothing when they return errors. The `validate`
/// methods change nothing.
pub(crate) trait Strategy: Sync {
    /// Fills in fields that the client omitted.
    fn default(&self, _object: &mut Object) {}

    /// Prepares an object in the way that is common to creation and update.
    fn prepare(&self, _object: &mut Object) {}

    /// Prepares a new object: clears fields that clients may not set, allocates server values.
    fn prepare_for_create(&self, _ctx: &Context<'_>, object: &mut Object) -> ErrorList {
        self.prepare(object);
        ErrorList::new()
    }

    /// Checks a new object.
    fn validate(&self, _object: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// Prepares an update: keeps fields that the server owns.
    fn prepare_for_update(
        &self,
        _ctx: &Context<'_>,
        object: &mut Object,
        _old: &Object,
    ) -> ErrorList {
        self.prepare(object);
        ErrorList::new()
    }

    /// Checks an update; `validate` has run on the new object.
    fn validate_update(&self, _object: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// Checks an updated object and the update itself. `sub` is the subresource that was written,
    /// never the status.
    fn validate_change(&self, _sub: Option<Sub>, object: &Object, old: &Object) -> ErrorList {
        let mut errors = self.validate(object);
        errors.0.extend(self.validate_update(object, old).0);
        errors
    }

    /// A new field of the object that is only permitted in labelled namespaces.
    fn needs_label(
        &self,
        _sub: Option<Sub>,
        _object: &Object,
        _old: Option<&Object>,
    ) -> Option<NeedsLabel> {
        None
    }

    /// Prepares a write of the status: keeps fields of it that the server owns.
    fn prepare_for_status(&self, _object: &mut Object, _old: &Object) {}

    /// Metadata that a write of the status does not change: [`ALL_METADATA`] for some kinds.
    fn status_keeps(&self) -> &'static [&'static str] {
        &[]
    }

    /// Checks a write of the status; the rest of the object is unchanged.
    fn validate_status(&self, _object: &Object, _old: &Object) -> ErrorList {
        ErrorList::new()
    }

    /// The generation of a new object, for kinds that have one.
    fn first_generation(&self) -> Value {
        1.into()
    }

    /// Fields that a path does not write, so that no manager comes to own them through it.
    fn reset_fields(&self, sub: Option<Sub>, has_status: bool) -> &'static [&'static str] {
        match sub {
            None if has_status => &["status"],
            Some(Sub::Status) => &["spec"],
            _ => &[],
        }
    }

    /// Returns true if an update changes the desired state, which raises the generation of kinds
    /// that have one.
    fn raises_generation(&self, object: &Object, old: &Object) -> bool {
        differs_in_wish(object, old)
    }

    /// Returns true if that is decided on the client's object, before it is prepared.
    fn raises_generation_early(&self) -> bool {
        false
    }

    /// Warnings for the client, shown by kubectl.
    fn warnings(&self, _object: &Object) -> Vec<String> {
        Vec::new()
    }

    /// Warnings about an update.
    fn warnings_on_update(&self, object: &Object, _old: &Object) -> Vec<String> {
        self.warnings(object)
    }

    /// Returns true if PUT may omit the resourceVersion.
    fn unconditional_update(&self) -> bool {
        true
    }

    /// Error messages for an invalid name.
    fn validate_name(&self, name: &str) -> Vec<String> {
        apimachinery::names::dns1123_subdomain(name)
    }

    /// The same, for kinds whose valid names depend on the rest of the object.
    fn validate_name_of(&self, _object: &Object, name: &str) -> Vec<String> {
        self.validate_name(name)
    }

    /// A name that begins with `base`.
    fn generate_name(&self, base: &str) -> String {
        apimachinery::names::generate_name(base, rand::random())
    }

    /// Returns true if the base of generated names must be valid itself.
    fn checks_generate_name(&self) -> bool {
        true
    }

    /// The kind's own error about a field that it does not select by.
    fn unknown_field(&self, _field: &str) -> Option<String> {
        None
    }

    /// Returns true if the kind has no policy of its own.
    #[cfg(test)]
    fn is_plain(&self) -> bool {
        false
    }

    /// Returns true if PUT may create.
    fn create_on_update(&self) -> bool {
        false
    }

    /// Initial seconds of graceful deletion; `None` if the kind has no grace period. `asked` is the
    /// client's gracePeriodSeconds.
    fn grace_period(&self, _object: &Object, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// The reason why no user may delete the object of this name.
    fn forbids_deletion(&self, _name: &str) -> Option<&'static str> {
        None
    }

    /// A finalizer that every object gets when its deletion begins.
    fn deletion_finalizer(&self) -> Option<&'static str> {
        None
    }

    /// Marks an object further when its deletion begins.
    fn begin_deletion(&self, _object: &mut Object) {}

    /// Releases allocations of `dropped` that `kept` does not have. When an update is committed,
    /// the old object is dropped, otherwise the updated one.
    fn after_update(&self, _ctx: &Context<'_>, _kept: &Object, _dropped: &Object) {}

    /// Releases the allocations of `prepare_for_create`, once the object is deleted.
    fn after_delete(&self, _ctx: &Context<'_>, _object: &Object) {}

    /// Further system-owned fields that an ordinary update must keep, besides `status`.
    fn kept_on_update(&self) -> &'static [&'static [&'static str]] {
        &[]
    }
}

/// Metadata that clients may choose.
pub(crate) const ALL_METADATA: &[&str] =
    &["labels", "annotations", "finalizers", "ownerReferences", "selfLink"];

/// Returns true if anything but metadata and status differs.
pub(crate) fn differs_in_wish(object: &Object, old: &Object) -> bool {
    let wish = |object: &Object| -> Vec<(String, Value)> {
        let fields = object.as_object().into_iter().flatten();
        let own = |name: &str| !matches!(name, "metadata" | "status" | "apiVersion" | "kind");
        fields.filter(|(k, _)| own(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    wish(object) != wish(old)
}

/// Clears the status, which only the subresource writes.
pub(crate) fn clear_status(object: &mut Object) {
    object["status"] = Value::Object(serde_json::Map::new());
}

/// A kind without a policy of its own.
pub(crate) struct Plain;
impl Strategy for Plain {
    #[cfg(test)]
    fn is_plain(&self) -> bool {
        true
    }
}

/// The items of a list field, if present. (Indexing a missing field for writing would make it
/// null.)
pub(crate) fn items_mut<'a>(
    object: &'a mut Value,
    field: &str,
) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    object.get_mut(field).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets `object[path] = value` if there is no value.
pub(crate) fn set_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        let slot = map.entry(field).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value.into();
        }
    }
}

/// The struct at `path`, created if it is missing: Go structs always exist, and so do the defaults
/// of their fields. A value of another type is kept, for the schema to refuse.
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

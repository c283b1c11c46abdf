//! A kind: one row with all data that the generic machinery needs.

use std::borrow::Cow;
use std::sync::Arc;

use apimachinery::schema::{self, Registry, Type};
use serde_json::Value;

use super::column::{AGE, Column, NAME};
use super::custom::Custom;
use super::strategy::{Plain, Strategy};
use apimachinery::{Object, ObjectExt};

/// A field that field selectors may name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selectable {
    pub(crate) name: &'static str,
    path: &'static [&'static str],
    /// Alternative path if there is no value at `path`.
    otherwise: &'static [&'static str],
    /// Value of an absent field.
    default: &'static str,
}

impl Selectable {
    pub(crate) const fn new(name: &'static str, path: &'static [&'static str]) -> Self {
        Self { name, path, otherwise: &[], default: "" }
    }

    pub(crate) const fn or_at(mut self, path: &'static [&'static str]) -> Self {
        self.otherwise = path;
        self
    }

    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    /// The paths that [`read`](Self::read) uses.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'static [&'static str]> {
        [self.path, self.otherwise].into_iter().filter(|path| !path.is_empty())
    }

    pub(crate) fn read(&self, object: &Value) -> String {
        let own = object.get_path(self.path).filter(|v| *v != "");
        match own.or_else(|| object.get_path(self.otherwise).filter(|_| !self.otherwise.is_empty()))
        {
            Some(Value::String(s)) => s.clone(),
            Some(Value::Null) | None => self.default.to_owned(),
            Some(other) => other.to_string(),
        }
    }
}

/// The function of a subresource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sub {
    /// Reads and writes the status only.
    Status,
    /// `autoscaling/v1` Scale over the kind's replica fields.
    Scale,
    /// Binds a pod to a node.
    Binding,
    /// Deletes a pod if its disruption budgets allow it.
    Eviction,
    /// Adds ephemeral containers.
    EphemeralContainers,
    /// Changes a running pod's resources.
    Resize,
    /// Issues a token (TokenRequest).
    Token,
    /// Completes the deletion of a namespace.
    Finalize,
    /// Approves or denies a signing request.
    Approval,
    /// Streams the log of a pod from its node.
    Log,
    /// Runs a command in a container.
    Exec,
    /// Attaches to a container.
    Attach,
    /// Forwards ports into a pod.
    PortForward,
    /// Proxies HTTP to a pod, service or node.
    Proxy,
}

impl Sub {
    /// The path segment.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
            Self::Binding => "binding",
            Self::Eviction => "eviction",
            Self::EphemeralContainers => "ephemeralcontainers",
            Self::Resize => "resize",
            Self::Token => "token",
            Self::Finalize => "finalize",
            Self::Approval => "approval",
            Self::Log => "log",
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
            Self::Proxy => "proxy",
        }
    }

    /// Group, version and kind in discovery if they are not the parent's.
    pub(crate) const fn own_kind(self) -> Option<(&'static str, &'static str, &'static str)> {
        match self {
            Self::Scale => Some(("autoscaling", "v1", "Scale")),
            Self::Binding => Some(("", "v1", "Binding")),
            Self::Eviction => Some(("policy", "v1", "Eviction")),
            Self::Token => Some(("authentication.k8s.io", "v1", "TokenRequest")),
            Self::Exec => Some(("", "v1", "PodExecOptions")),
            Self::Attach => Some(("", "v1", "PodAttachOptions")),
            Self::PortForward => Some(("", "v1", "PodPortForwardOptions")),
            _ => None,
        }
    }

    /// Verbs in discovery.
    pub(crate) const fn verbs(self) -> &'static [&'static str] {
        match self {
            Self::Status
            | Self::Scale
            | Self::EphemeralContainers
            | Self::Resize
            | Self::Approval => &["get", "patch", "update"],
            Self::Binding | Self::Eviction | Self::Token => &["create"],
            Self::Finalize => &["update"],
            Self::Log => &["get"],
            Self::Exec | Self::Attach | Self::PortForward => &["create", "get"],
            Self::Proxy => &["create", "delete", "get", "patch", "update"],
        }
    }
}

/// Converts between a served version and the stored one.
#[derive(Clone, Copy)]
pub(crate) struct Conversion {
    /// The row whose collection holds the objects.
    pub(crate) group: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// Rewrites an object of this row's version as the stored one.
    pub(crate) to_stored: fn(&mut Value),
    /// The reverse conversion.
    pub(crate) from_stored: fn(&mut Value),
}

/// Ways to access a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Every verb.
    Stored,
    /// Create only: the answer is computed (reviews, bindings).
    Virtual,
    /// Get and list only: computed on request.
    Found,
}

/// How often upstream's validation of a kind repeats the metadata checks of an update that are
/// common to all kinds; each repetition reports the same errors again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rechecks {
    /// Checks of a new object.
    pub(crate) whole: usize,
    /// Checks of immutable metadata.
    pub(crate) change: usize,
    /// True if names of finalizers must be known.
    pub(crate) finalizers: bool,
    /// True if immutable metadata is checked before everything else.
    pub(crate) change_first: bool,
}

impl Rechecks {
    /// Everything once.
    pub(crate) const ONCE: Self =
        Self { whole: 1, change: 1, finalizers: true, change_first: false };
}

/// One row of the registry.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) resource: &'static str,
    pub(crate) singular: &'static str,
    pub(crate) namespaced: bool,
    pub(crate) short: &'static [&'static str],
    pub(crate) categories: &'static [&'static str],
    pub(crate) subs: &'static [Sub],
    pub(crate) columns: &'static [Column],
    /// Conditions of an object's row in a table.
    pub(crate) row_conditions: fn(&Value) -> Option<Value>,
    /// The sort key of table rows, if it is not their name.
    pub(crate) rows_by: Option<fn(&Value) -> i64>,
    pub(crate) selectable: &'static [Selectable],
    pub(super) strategy: &'static dyn Strategy,
    /// Set for kinds of a CustomResourceDefinition.
    pub(crate) custom: Option<Arc<Custom>>,
    pub(crate) conversion: Option<Conversion>,
    pub(crate) access: Access,
    /// Deprecation warning for every user of the kind.
    pub(crate) deprecated: Option<&'static str>,
    pub(crate) rechecks: Rechecks,
    /// True if `metadata.generation` counts changes outside of metadata and status.
    pub(crate) generation: bool,
    /// Upstream's storage prefix, if it is not the resource.
    pub(super) stored_at: Option<&'static str>,
    /// Path of the pod spec that an object has or creates pods from.
    pub(crate) pod_spec: Option<&'static [&'static str]>,
}

impl Kind {
    pub(crate) const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        resource: &'static str,
        singular: &'static str,
    ) -> Self {
        Self {
            group,
            version,
            kind,
            resource,
            singular,
            namespaced: false,
            short: &[],
            categories: &[],
            subs: &[],
            columns: &[NAME, AGE],
            row_conditions: |_| None,
            rows_by: None,
            selectable: &[],
            strategy: &Plain,
            custom: None,
            conversion: None,
            access: Access::Stored,
            deprecated: None,
            rechecks: Rechecks::ONCE,
            generation: false,
            stored_at: None,
            pod_spec: None,
        }
    }

    pub(crate) const fn namespaced(mut self) -> Self {
        self.namespaced = true;
        self
    }

    pub(crate) const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short = names;
        self
    }

    /// Adds the category `all`.
    pub(crate) const fn in_all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    pub(crate) const fn categories(mut self, names: &'static [&'static str]) -> Self {
        self.categories = names;
        self
    }

    pub(crate) const fn subs(mut self, subs: &'static [Sub]) -> Self {
        self.subs = subs;
        self
    }

    pub(crate) const fn columns(mut self, columns: &'static [Column]) -> Self {
        self.columns = columns;
        self
    }

    pub(crate) const fn row_conditions(mut self, make: fn(&Value) -> Option<Value>) -> Self {
        self.row_conditions = make;
        self
    }

    pub(crate) const fn rows_by(mut self, key: fn(&Value) -> i64) -> Self {
        self.rows_by = Some(key);
        self
    }

    pub(crate) const fn selectable(mut self, fields: &'static [Selectable]) -> Self {
        self.selectable = fields;
        self
    }

    pub(crate) const fn strategy(mut self, strategy: &'static dyn Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    pub(crate) const fn converted(mut self, conversion: Conversion) -> Self {
        self.conversion = Some(conversion);
        self
    }

    pub(crate) const fn computed(mut self) -> Self {
        self.access = Access::Virtual;
        self
    }

    pub(crate) const fn deprecated(mut self, warning: &'static str) -> Self {
        self.deprecated = Some(warning);
        self
    }

    pub(crate) const fn found(mut self) -> Self {
        self.access = Access::Found;
        self
    }

    pub(crate) const fn rechecks(mut self, whole: usize, change: usize) -> Self {
        self.rechecks.whole = whole;
        self.rechecks.change = change;
        self
    }

    pub(crate) const fn change_first(mut self) -> Self {
        self.rechecks.change_first = true;
        self
    }

    pub(crate) const fn any_finalizer(mut self) -> Self {
        self.rechecks.finalizers = false;
        self
    }

    pub(crate) const fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    pub(crate) const fn stored_at(mut self, place: &'static str) -> Self {
        self.stored_at = Some(place);
        self
    }

    pub(crate) const fn pod_spec(mut self, path: &'static [&'static str]) -> Self {
        self.pod_spec = Some(path);
        self
    }

    /// The policy of the kind.
    pub(crate) fn policy(&self) -> &dyn Strategy {
        match &self.custom {
            Some(custom) => &**custom,
            None => self.strategy,
        }
    }

    /// Upstream's storage key of an object, which its messages contain.
    pub(crate) fn storage_key(&self, object: &Object) -> String {
        let place = self.stored().unwrap_or(self).stored_at.unwrap_or(self.resource);
        match self.namespaced {
            true => format!("/{place}/{}/{}", object.namespace(), object.name()),
            false => format!("/{place}/{}", object.name()),
        }
    }

    /// `apps/v1`, or `v1`.
    pub(crate) fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }

    /// Returns true if a field selector may use the field. Kinds without own fields accept the
    /// namespace regardless of their scope.
    pub(crate) fn selects_by(&self, field: &str) -> bool {
        match field {
            "metadata.name" => true,
            "metadata.namespace" => self.namespaced || self.selectable.is_empty(),
            _ => self.selectable.iter().any(|own| own.name == field),
        }
    }

    /// The row that objects are stored as, which defines their columns.
    pub(crate) fn stored(&self) -> Option<&'static Kind> {
        let conversion = self.conversion?;
        super::find(conversion.group, conversion.version, self.resource)
    }

    /// The error about a field that cannot be selected by.
    pub(crate) fn unknown_field(&self, field: &str) -> String {
        if let Some(own) = self.policy().unknown_field(field) {
            return own;
        }
        if !self.selectable.is_empty() {
            return format!("field label not supported: {field}");
        }
        let field = apimachinery::text::quote(field);
        format!(
            "{field} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    }

    /// The kind of lists.
    pub(crate) fn list_kind(&self) -> Cow<'static, str> {
        match &self.custom {
            Some(custom) => custom.list_kind.into(),
            None => format!("{}List", self.kind).into(),
        }
    }

    /// The cells of an object's row in a table.
    pub(crate) fn cells(&self, object: &Object) -> Vec<Value> {
        match &self.custom {
            Some(custom) => custom.cells(object),
            None => self.columns.iter().map(|column| column.value(object)).collect(),
        }
    }

    /// Returns true if stored bytes are shown as they are.
    pub(crate) fn shows(&self, bytes: &[u8]) -> bool {
        match &self.custom {
            Some(custom) => custom.shows(bytes),
            None => self.conversion.is_none(),
        }
    }

    /// Returns true if a webhook converts objects that are stored in another version.
    pub(crate) fn is_converted(&self) -> bool {
        self.custom.as_ref().is_some_and(|custom| custom.converter.is_some())
    }

    /// Returns true if checking an object can take long, however small it is.
    pub(crate) fn is_costly(&self) -> bool {
        self.custom.as_ref().is_some_and(|custom| custom.is_costly())
            || matches!(self.group, "apiextensions.k8s.io" | "admissionregistration.k8s.io")
    }

    /// Converts an object from its stored form.
    pub(crate) fn read(&self, object: &mut Object) {
        if let Some(custom) = &self.custom {
            custom.read(object);
        }
        if let Some(conversion) = self.conversion {
            (conversion.from_stored)(object);
            self.write_zeros(object);
        }
    }

    /// The schema of the kind's objects.
    pub(crate) fn schema(&self) -> Option<&Arc<Type>> {
        match &self.custom {
            Some(custom) => Some(custom.ty()),
            None => Registry::builtin().lookup(self.group, self.version, self.kind),
        }
    }

    /// Gives an object the zeros that Go never omits.
    pub(crate) fn write_zeros(&self, object: &mut Object) {
        if let Some(ty) = self.schema() {
            schema::write_zeros(ty, object);
        }
    }

    /// The same, but empty lists and maps stay as they are until they are stored.
    pub(crate) fn write_missing(&self, object: &mut Object) {
        if let Some(ty) = self.schema() {
            schema::write_missing(ty, object);
        }
    }

    /// Returns true if there are empty maps that admission distinguishes from absent ones.
    pub(crate) fn has_empty(&self, object: &Object) -> bool {
        self.pod_spec.is_some() && self.schema().is_some_and(|ty| schema::has_empty(ty, object))
    }

    /// Removes the empty maps that only admission distinguishes from absent ones.
    pub(crate) fn leave_out_empty(&self, object: &mut Object) {
        if self.pod_spec.is_some()
            && let Some(ty) = self.schema()
        {
            schema::leave_out_empty(ty, object);
        }
    }

    /// Returns true if the kind has the subresource.
    pub(crate) fn has(&self, sub: Sub) -> bool {
        self.subs.contains(&sub)
    }

    /// Group of the collection that holds the objects.
    pub(crate) fn stored_group(&self) -> &'static str {
        self.conversion.map_or(self.group, |c| c.group)
    }

    /// The stored kind's name for the same field.
    pub(crate) fn stored_field(&self, name: &str) -> Option<&'static str> {
        let own = self.selectable.iter().find(|s| s.name == name)?;
        let stored = self.stored()?;
        stored.selectable.iter().find(|s| s.path == own.path).map(|s| s.name)
    }

    /// Returns true if all objects of the kind cannot be deleted at once.
    pub(crate) fn is_deleted_singly(&self) -> bool {
        self.group.is_empty() && self.resource == "namespaces"
    }

    /// Verbs in discovery, in upstream's order.
    pub(crate) fn verbs(&self) -> &'static [&'static str] {
        match self.access {
            Access::Stored if self.is_deleted_singly() => {
                &["create", "delete", "get", "list", "patch", "update", "watch"]
            }
            Access::Stored => {
                &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
            }
            Access::Virtual => &["create"],
            Access::Found => &["get", "list"],
        }
    }
}

/// Scale, which has no collection.
pub(crate) static SCALE: Kind =
    Kind::new("autoscaling", "v1", "Scale", "scales", "scale").namespaced().columns(&[
        NAME,
        Column::number("Desired", &["spec", "replicas"]),
        Column::number("Available", &["status", "replicas"]),
        AGE,
    ]);

/// `apps/v1`, or `v1` for the core group.
pub(crate) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

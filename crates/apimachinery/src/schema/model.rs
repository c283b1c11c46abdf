//! The model: a type has fields, a field has a shape.

use super::layout::Layout;
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Identifies a kind of top-level object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gvk {
    /// API group; empty for the core group.
    pub group: String,
    /// API version, for example `v1`.
    pub version: String,
    /// Kind, for example `Pod`.
    pub kind: String,
}

impl Gvk {
    /// The `apiVersion` of such objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}

/// A JSON object with known fields.
#[derive(Debug, Default)]
pub struct Type {
    /// OpenAPI name, for example `io.k8s.api.core.v1.Pod`.
    pub name: String,
    /// Set for kinds that stand alone.
    pub gvk: Option<Gvk>,
    /// Fields, sorted by name.
    pub fields: Vec<Field>,
    /// Accepts fields it does not know, and keeps them.
    pub open: bool,
    /// Owned and merged as a whole by server-side apply.
    pub atomic: bool,
    /// The required fields in order, if that is not the order of their numbers.
    pub required: Vec<String>,
    /// The field that selects the one that is set, if this is a union; empty if none does.
    pub union: Option<String>,
    /// Computed on first use.
    pub(super) layout: OnceLock<Layout>,
}

impl Type {
    /// The fields as protobuf orders them.
    pub(crate) fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| Layout::of(&self.fields))
    }

    /// The field of that JSON name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.as_str().cmp(name)).ok().map(|i| &self.fields[i])
    }

    /// The last segment of the name: the Go type's name.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or_default()
    }

    /// Returns true for `PodList` and similar types.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.gvk.as_ref().is_some_and(|g| g.kind.ends_with("List")) && self.field("items").is_some()
    }
}

/// A field of a [`Type`].
#[derive(Debug)]
pub struct Field {
    /// JSON name.
    pub name: String,
    /// Type of the value.
    pub shape: Shape,
    /// Declared as an atomic list although it is bytes.
    pub listed: bool,
    /// OpenAPI requires it.
    pub required: bool,
    /// Go holds a pointer, so zero and absent are different things. Custom kinds, which Go holds
    /// as maps, set this and `omit_empty`.
    pub pointer: bool,
    /// Go omits it from JSON when it is zero (or nil, for pointers).
    pub omit_empty: bool,
    /// Default of an absent field, as OpenAPI declares it. The API server applies it.
    pub default: Option<Value>,
    /// Protobuf field number; 0 when the field has no protobuf form.
    pub tag: u32,
    /// Field numbers of the messages around it that JSON flattens, outermost first.
    pub via: Vec<u32>,
    /// Treatment in a strategic merge patch.
    pub patch: Patch,
    /// Go's name of the type, if the shape does not determine it.
    pub go_type: Option<String>,
    /// Names of the structs around it that JSON flattens, joined by dots.
    pub within: String,
    /// The values of an enumeration; empty for other fields.
    pub values: Vec<String>,
}

/// Strategic merge patch behaviour of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Lists are merged rather than replaced.
    pub merge: bool,
    /// Objects lose the keys that the patch does not list in `$retainKeys`.
    pub retain_keys: bool,
    /// Maps and objects are replaced rather than merged.
    pub replace: bool,
    /// The key that identifies items of a merged list; empty for lists of scalars.
    pub merge_key: String,
}

/// The type of a value.
#[derive(Debug)]
pub enum Shape {
    /// Text.
    String,
    /// True or false.
    Bool,
    /// 32-bit integer.
    Int32,
    /// 64-bit integer.
    Int64,
    /// Floating point number.
    Double,
    /// Base64 in JSON, raw in protobuf.
    Bytes,
    /// RFC 3339 with seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// Go duration text, for example `1h0m0s`.
    Duration,
    /// Amount with suffix, for example `100m`; JSON numbers are accepted.
    Quantity,
    /// Number or text.
    IntOrString,
    /// Any JSON value, protobuf `JSON{raw}`.
    Any,
    /// Any object, protobuf `RawExtension{raw}`.
    RawExtension,
    /// Field set of server-side apply, protobuf `FieldsV1{Raw}`.
    FieldsV1,
    /// JSON schema, or a simpler value in its place.
    SchemaOr(Alternative, Ref),
    /// Array.
    List(Box<ListShape>),
    /// Object with arbitrary keys.
    Map(Box<MapShape>),
    /// Object with known fields.
    Object(Ref),
}

/// The alternatives to a JSON schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alternative {
    /// A list of schemas (`JSONSchemaPropsOrArray`).
    Array,
    /// A boolean (`JSONSchemaPropsOrBool`).
    Bool,
    /// A list of strings (`JSONSchemaPropsOrStringArray`).
    Strings,
}

impl Alternative {
    /// The Go type's name.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Array => "JSONSchemaPropsOrArray",
            Self::Bool => "JSONSchemaPropsOrBool",
            Self::Strings => "JSONSchemaPropsOrStringArray",
        }
    }
}

/// An array's type.
#[derive(Debug)]
pub struct ListShape {
    /// Type of the items.
    pub item: Shape,
    /// Treatment in server-side apply.
    pub kind: ListKind,
    /// Keys that identify an item when `kind` is `Map`.
    pub keys: Vec<String>,
    /// True if the list type was declared, rather than atomic by default.
    pub declared: bool,
    /// Protobuf wraps the list in a message `{items = 1}`.
    pub wrapped: bool,
}

/// The way server-side apply merges a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// As a whole.
    Atomic,
    /// Item by item; items are scalars.
    Set,
    /// Item by item; items are identified by keys.
    Map,
}

/// A map's type; keys are strings.
#[derive(Debug)]
pub struct MapShape {
    /// Type of the values.
    pub value: Shape,
    /// Owned and merged as a whole by server-side apply.
    pub atomic: bool,
    /// Declared as merged key by key, which is also the default.
    pub granular: bool,
}

/// A reference to a [`Type`], resolved when the registry is complete.
#[derive(Clone, Default)]
pub struct Ref {
    target: Arc<OnceLock<Arc<Type>>>,
    /// Overrides the type's own `atomic` for server-side apply at this place.
    pub atomic_here: Option<bool>,
}

impl Ref {
    /// A reference to a known type.
    #[must_use]
    pub fn to(target: Arc<Type>) -> Self {
        Self { target: Arc::new(OnceLock::from(target)), atomic_here: None }
    }

    pub(crate) fn unresolved(atomic_here: Option<bool>) -> Self {
        Self { target: Arc::default(), atomic_here }
    }

    /// Resolves the reference; only the first resolution counts.
    pub(crate) fn resolve(&self, target: Arc<Type>) {
        let _ = self.target.set(target);
    }

    /// The type.
    ///
    /// # Panics
    /// When used before the registry that made it was complete.
    #[must_use]
    pub fn get(&self) -> &Arc<Type> {
        self.target.get().expect("schema references are resolved when the registry is built")
    }

    /// Returns true if server-side apply treats the value as a whole.
    #[must_use]
    pub fn is_atomic(&self) -> bool {
        self.atomic_here.unwrap_or(self.get().atomic)
    }
}

impl std::ops::Deref for Ref {
    type Target = Type;
    fn deref(&self) -> &Type {
        self.get()
    }
}

/// Prints the name only, since types may be recursive.
impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.target.get().map_or("unresolved", |t| t.name.as_str());
        write!(f, "Ref({name})")
    }
}

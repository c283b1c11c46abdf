//! Reads the facts file that `cargo xtask schema` writes.
//!
//! One line each, in this form:
//!
//! ```text
//! package MODEL GROUP VERSION          types that follow are named MODEL.NAME; GROUP may be `core`
//! type NAME [OPTION]...                a struct; OPTIONs are `atomic`, `union=[FIELD]` if
//!                                      one is set and FIELD selects it, and `required=FIELDS` if
//!                                      their order is not that of the numbers
//! kind NAME [OPTION]...                a struct that stands alone as an object
//!  JSON_NAME [VIA.]TAG SHAPE FLAGS [OPTION]...
//! ```
//!
//! SHAPE is a basic word, a type's name (of the same package unless it has dots), `[]SHAPE`,
//! `{}SHAPE` for maps, `wrap:[]SHAPE` for lists that protobuf wraps in a message, or
//! `schema|ALTERNATIVE`. FLAGS are `r`equired, `p`ointer and omit-`e`mpty, or `-`. OPTIONs are
//! `l=KIND[:KEYS]` for list types, `atomic` or `granular`, `p=STRATEGIES:KEY` for strategic merge
//! patches, `g=TYPE` for Go's type if it differs from SHAPE, `w=STRUCTS` for embedded structs that
//! JSON flattens, `e=JSON` for the values of an enumeration, and last `d=JSON` for the default.

use super::model::{
    Alternative, Field, Gvk, ListKind, ListShape, MapShape, Patch, Ref, Shape, Type,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Parses the facts; `None` names no line because the file is our own and checked by a test.
pub(super) fn parse(text: &str) -> Option<Vec<Arc<Type>>> {
    let mut reader = Reader::default();
    for line in text.lines() {
        reader.line(line)?;
    }
    reader.finish()
}

#[derive(Default)]
struct Reader<'a> {
    model: &'a str,
    group: &'a str,
    version: &'a str,
    types: Vec<Type>,
    refs: HashMap<String, Vec<Ref>>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) -> Option<()> {
        if let Some(field) = line.strip_prefix(' ') {
            let field = self.field(field)?;
            self.types.last_mut()?.fields.push(field);
            return Some(());
        }
        let mut words = line.split(' ');
        match words.next()? {
            "#" => {}
            "package" => {
                self.model = words.next()?;
                self.group = words.next().map(|g| if g == "core" { "" } else { g })?;
                self.version = words.next()?;
            }
            head @ ("type" | "kind") => {
                let name = words.next()?;
                let gvk = (head == "kind").then(|| Gvk {
                    group: self.group.to_owned(),
                    version: self.version.to_owned(),
                    kind: name.to_owned(),
                });
                let mut ty =
                    Type { name: format!("{}.{name}", self.model), gvk, ..Type::default() };
                for word in words {
                    match word.split_once('=') {
                        None if word == "atomic" => ty.atomic = true,
                        Some(("union", field)) => ty.union = Some(field.to_owned()),
                        Some(("required", fields)) => {
                            ty.required = fields.split(',').map(str::to_owned).collect();
                        }
                        _ => return None,
                    }
                }
                self.types.push(ty);
            }
            _ => return None,
        }
        Some(())
    }

    fn field(&mut self, line: &'a str) -> Option<Field> {
        let (line, default) = match line.split_once(" d=") {
            Some((line, json)) => (line, Some(serde_json::from_str(json).ok()?)),
            None => (line, None),
        };
        let (line, values) = match line.split_once(" e=") {
            Some((line, json)) => (line, serde_json::from_str(json).ok()?),
            None => (line, Vec::new()),
        };
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let mut via: Vec<u32> =
            words.next()?.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        let tag = via.pop()?;
        let shape = words.next()?;
        let flags = words.next()?;
        let mut options = Options::default();
        for word in words {
            options.read(word)?;
        }
        let shape = self.shape(shape, &mut options)?;
        Some(Field {
            name,
            // The other options do not apply to lists: bytes are declared as a list.
            listed: options.list.is_some(),
            shape,
            required: flags.contains('r'),
            pointer: flags.contains('p'),
            omit_empty: flags.contains('e'),
            default,
            tag,
            via,
            patch: options.patch,
            go_type: options.go_type,
            within: options.within,
            values,
        })
    }

    /// Options belong to the outermost list or map.
    fn shape(&mut self, text: &'a str, options: &mut Options) -> Option<Shape> {
        if let Some(list) = text.strip_prefix("wrap:") {
            let Shape::List(mut list) = self.shape(list, options)? else { return None };
            list.wrapped = true;
            return Some(Shape::List(list));
        }
        if let Some(item) = text.strip_prefix("[]") {
            let kind = options.list.take();
            let keys = std::mem::take(&mut options.keys);
            let item = self.shape(item, options)?;
            return Some(Shape::List(Box::new(ListShape {
                item,
                kind: kind.unwrap_or(ListKind::Atomic),
                keys,
                declared: kind.is_some(),
                wrapped: false,
            })));
        }
        if let Some(value) = text.strip_prefix("{}") {
            let declared = options.atomic.take();
            let value = self.shape(value, options)?;
            let (atomic, granular) = (declared == Some(true), declared == Some(false));
            return Some(Shape::Map(Box::new(MapShape { value, atomic, granular })));
        }
        if let Some(alternative) = text.strip_prefix("schema|") {
            let alternative = match alternative {
                "array" => Alternative::Array,
                "bool" => Alternative::Bool,
                "strings" => Alternative::Strings,
                _ => return None,
            };
            return Some(Shape::SchemaOr(alternative, self.reference("JSONSchemaProps", None)));
        }
        Some(match text {
            "string" => Shape::String,
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "double" => Shape::Double,
            "bytes" => Shape::Bytes,
            "time" => Shape::Time,
            "microtime" => Shape::MicroTime,
            "duration" => Shape::Duration,
            "quantity" => Shape::Quantity,
            "intorstring" => Shape::IntOrString,
            "any" => Shape::Any,
            "raw" => Shape::RawExtension,
            "fieldsv1" => Shape::FieldsV1,
            name => Shape::Object(self.reference(name, options.atomic)),
        })
    }

    fn reference(&mut self, name: &str, atomic: Option<bool>) -> Ref {
        let name =
            if name.contains('.') { name.to_owned() } else { format!("{}.{name}", self.model) };
        let reference = Ref::unresolved(atomic);
        self.refs.entry(name).or_default().push(reference.clone());
        reference
    }

    fn finish(self) -> Option<Vec<Arc<Type>>> {
        let mut types: Vec<Arc<Type>> = self.types.into_iter().map(Arc::new).collect();
        types.sort_by(|a, b| a.name.cmp(&b.name));
        for (name, refs) in &self.refs {
            let i = types.binary_search_by(|t| t.name.cmp(name)).ok()?;
            for reference in refs {
                reference.resolve(types[i].clone());
            }
        }
        Some(types)
    }
}

#[derive(Default)]
struct Options {
    list: Option<ListKind>,
    keys: Vec<String>,
    atomic: Option<bool>,
    patch: Patch,
    go_type: Option<String>,
    within: String,
}

impl Options {
    fn read(&mut self, word: &str) -> Option<()> {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        let (first, second) = value.split_once(':').unwrap_or((value, ""));
        match key {
            "atomic" => self.atomic = Some(true),
            "granular" => self.atomic = Some(false),
            "g" => self.go_type = Some(value.to_owned()),
            "w" => self.within = value.to_owned(),
            "l" => {
                self.list = Some(match first {
                    "atomic" => ListKind::Atomic,
                    "set" => ListKind::Set,
                    "map" => ListKind::Map,
                    _ => return None,
                });
                self.keys =
                    second.split(',').filter(|k| !k.is_empty()).map(str::to_owned).collect();
            }
            "p" => {
                for strategy in first.split(',') {
                    match strategy {
                        "merge" => self.patch.merge = true,
                        "replace" => self.patch.replace = true,
                        "retainKeys" => self.patch.retain_keys = true,
                        _ => return None,
                    }
                }
                self.patch.merge_key = second.to_owned();
            }
            _ => return None,
        }
        Some(())
    }
}

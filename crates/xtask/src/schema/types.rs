//! All declarations together, with names resolved across packages.

use super::go::{self, Body, Decl, File, Ty, marker};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::Path;

/// Every package that is read.
#[derive(Default)]
pub(crate) struct World {
    /// By import path.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// One package's declarations.
pub(crate) struct Package {
    pub(crate) model: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) files: Vec<File>,
}

/// The resolution of a type name in a field.
pub(crate) enum Meaning<'a> {
    /// One of the words of the facts file, for example `int32`.
    Basic(&'static str),
    /// A struct: its package's import path, and its declaration.
    Struct(String, &'a Decl),
    /// A named slice, which protobuf wraps in a message, and where it is written.
    Wrapped(String, &'a File, Ty),
    /// A named map or scalar: as if its definition stood there.
    Same(String, &'a File, Ty),
}

impl World {
    pub(crate) fn add(
        &mut self,
        import: &str,
        dir: &Path,
        model: &str,
        group: &str,
        version: &str,
    ) -> Result<()> {
        let mut paths: Vec<_> = std::fs::read_dir(dir)
            .with_context(|| dir.display().to_string())?
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<_>>()?;
        paths.sort();
        let mut files = Vec::new();
        for path in paths {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let wanted =
                name.starts_with("types") || name == "watch.go" || name == "group_version.go";
            if wanted
                && name.ends_with(".go")
                && !name.contains("_test")
                && !name.contains("swagger")
            {
                let source = std::fs::read_to_string(&path)?;
                files.push(go::parse(&source).with_context(|| path.display().to_string())?);
            }
        }
        let package =
            Package { model: model.into(), group: group.into(), version: version.into(), files };
        self.packages.insert(import.to_owned(), package);
        Ok(())
    }

    /// Finds a declaration.
    pub(crate) fn find(&self, import: &str, name: &str) -> Option<(&File, &Decl)> {
        self.packages.get(import)?.files.iter().find_map(|file| {
            file.decls.iter().find(|decl| decl.name == name).map(|decl| (file, decl))
        })
    }

    /// Resolves `name` in `file` of the package `import`.
    pub(crate) fn resolve(&self, import: &str, file: &File, name: &str) -> Result<Meaning<'_>> {
        let (target, local) = match name.split_once('.') {
            Some((prefix, local)) => {
                let path = file.imports.get(prefix).with_context(|| format!("import of {name}"))?;
                (path.as_str(), local)
            }
            None => (import, name),
        };
        if let Some(word) = basic(target, local) {
            return Ok(Meaning::Basic(word));
        }
        let (file, decl) = self
            .find(target, local)
            .with_context(|| format!("{name} in {import} is not among the packages"))?;
        Ok(match &decl.body {
            Body::Struct(_) => Meaning::Struct(target.to_owned(), decl),
            Body::Other { ty: Ty::Name(other), alias } => {
                match self.resolve(target, file, other)? {
                    // A type defined by another struct type is a type of its own.
                    Meaning::Struct(..) if !alias => Meaning::Struct(target.to_owned(), decl),
                    meaning => meaning,
                }
            }
            Body::Other { ty: ty @ Ty::Slice(_), .. } => {
                Meaning::Wrapped(target.to_owned(), file, ty.clone())
            }
            Body::Other { ty, .. } => Meaning::Same(target.to_owned(), file, ty.clone()),
        })
    }

    /// The Go name of a defined type whose underlying type is a string, number or list;
    /// and the values that it may have.
    pub(crate) fn named(
        &self,
        import: &str,
        file: &File,
        ty: &Ty,
    ) -> Option<(String, Vec<String>)> {
        let below = |inner: &Ty| self.named(import, file, inner);
        match ty {
            Ty::Pointer(inner) => below(inner),
            Ty::Slice(inner) => below(inner).map(|(name, values)| (format!("[]{name}"), values)),
            Ty::Map(key, inner) => {
                let key = below(&Ty::Name(key.clone())).map(|(name, _)| name);
                let (value, values) = match below(inner) {
                    Some(named) => named,
                    // Keys of another name have to be told with whatever their values are.
                    None if key.is_some() => (self.plain(import, file, inner)?, Vec::new()),
                    None => return None,
                };
                Some((format!("map[{}]{value}", key.as_deref().unwrap_or("string")), values))
            }
            Ty::Name(name) => {
                let (target, local) = match name.split_once('.') {
                    Some((prefix, local)) => (file.imports.get(prefix)?.as_str(), local),
                    None => (import, name.as_str()),
                };
                let package = target.rsplit('/').next()?;
                if (package, local) == ("types", "UID") {
                    return Some(("types.UID".to_owned(), Vec::new()));
                }
                let (_, decl) = self.find(target, local)?;
                let meaning = self.resolve(import, file, name).ok()?;
                if matches!(meaning, Meaning::Struct(..)) || basic(target, local).is_some() {
                    return None;
                }
                let mut values = Vec::new();
                if marker(&decl.markers, "enum").is_some() {
                    let files = self.packages.get(target)?.files.iter();
                    let typed = files.flat_map(|f| &f.typed).filter(|(of, _)| of == local);
                    values.extend(typed.map(|(_, value)| value.clone()));
                    values.extend(self.borrowed(target, local));
                    values.sort();
                    values.dedup();
                }
                Some((format!("{package}.{local}"), values))
            }
        }
    }

    /// The Go name of a type that is not a defined one.
    fn plain(&self, import: &str, file: &File, ty: &Ty) -> Option<String> {
        Some(match ty {
            Ty::Pointer(inner) => format!("*{}", self.plain(import, file, inner)?),
            Ty::Slice(inner) => format!("[]{}", self.plain(import, file, inner)?),
            Ty::Map(key, inner) => format!("map[{key}]{}", self.plain(import, file, inner)?),
            Ty::Name(name) => {
                let (target, local) = match name.split_once('.') {
                    Some((prefix, local)) => (file.imports.get(prefix)?.as_str(), local),
                    None => (import, name.as_str()),
                };
                // Only types of Go itself are of no package.
                let own = name.contains('.') || self.find(import, local).is_some();
                let package = own.then(|| target.rsplit('/').next()).flatten();
                package.map_or_else(|| local.to_owned(), |package| format!("{package}.{local}"))
            }
        })
    }

    /// The values of a type's constants that are those of another package.
    fn borrowed(&self, import: &str, of: &str) -> Vec<String> {
        let files = self.packages.get(import).into_iter().flat_map(|package| &package.files);
        let borrowed = files.flat_map(|file| file.borrowed.iter().map(move |b| (file, b)));
        borrowed
            .filter(|(_, (own, _))| own == of)
            .filter_map(|(file, (_, name))| {
                let (prefix, name) = name.split_once('.')?;
                let package = self.packages.get(file.imports.get(prefix)?)?;
                package.files.iter().find_map(|other| other.consts.get(name)).cloned()
            })
            .collect()
    }

    /// A struct's fields and where they are written, looking through `type A B`.
    pub(crate) fn fields<'a>(
        &'a self,
        import: &str,
        decl: &'a Decl,
    ) -> Result<(String, &'a File, &'a [go::Field])> {
        let (file, decl) = self.find(import, &decl.name).context("declaration")?;
        match &decl.body {
            Body::Struct(fields) => Ok((import.to_owned(), file, fields)),
            Body::Other { ty: Ty::Name(other), .. } => match self.resolve(import, file, other)? {
                Meaning::Struct(import, decl) => self.fields(&import, decl),
                _ => bail!("{} is not a struct", decl.name),
            },
            Body::Other { .. } => bail!("{} is not a struct", decl.name),
        }
    }
}

/// Types that are not read from their declarations: Go's own, and those with encodings made by
/// hand.
fn basic(import: &str, name: &str) -> Option<&'static str> {
    Some(match (import.rsplit('/').next().unwrap_or_default(), name) {
        (_, "string") | ("types", _) => "string",
        (_, "bool") => "bool",
        (_, "int32") => "int32",
        (_, "int" | "int64") => "int64",
        (_, "float64") => "double",
        (_, "byte") => "byte",
        (_, "interface{}" | "any") => "any",
        ("v1", "Time") if import.ends_with("meta/v1") => "time",
        ("v1", "MicroTime") if import.ends_with("meta/v1") => "microtime",
        ("v1", "Duration") if import.ends_with("meta/v1") => "duration",
        ("v1", "FieldsV1") if import.ends_with("meta/v1") => "fieldsv1",
        ("resource", "Quantity") => "quantity",
        ("intstr", "IntOrString") => "intorstring",
        ("runtime", "RawExtension" | "Object") => "raw",
        (_, "JSON") if import.ends_with("apiextensions/v1") => "any",
        (_, "JSONSchemaPropsOrArray") => "schema|array",
        (_, "JSONSchemaPropsOrBool") => "schema|bool",
        (_, "JSONSchemaPropsOrStringArray") => "schema|strings",
        _ => return None,
    })
}

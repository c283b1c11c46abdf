//! Writes the facts file. `crates/apimachinery/src/schema/facts.rs` reads it and documents its
//! form.

use super::go::{self, Body, Decl, File, Ty, all_markers, marker};
use super::types::{Meaning, Package, World};
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) fn facts(world: &World, version: &str) -> Result<String> {
    let mut out = format!("# Kubernetes API types {version}, written by `cargo xtask schema`.\n");
    for (import, package) in &world.packages {
        let group = if package.group.is_empty() { "core" } else { &package.group };
        writeln!(out, "package {} {group} {}", package.model, package.version)?;
        let mut decls: Vec<&Decl> = package.files.iter().flat_map(|f| &f.decls).collect();
        decls.sort_by(|a, b| a.name.cmp(&b.name));
        for decl in decls {
            if is_struct(world, import, decl) && !is_handmade(&decl.name) {
                type_facts(world, import, package, decl, &mut out)
                    .with_context(|| format!("{import} {}", decl.name))?;
            }
        }
    }
    Ok(out)
}

fn is_handmade(name: &str) -> bool {
    name.starts_with("JSONSchemaPropsOr")
        || matches!(name, "JSON" | "FieldsV1" | "TypeMeta" | "InternalEvent")
}

fn is_struct(world: &World, import: &str, decl: &Decl) -> bool {
    match &decl.body {
        Body::Struct(_) => true,
        Body::Other { alias: true, .. } => false,
        Body::Other { .. } => world.fields(import, decl).is_ok(),
    }
}

fn type_facts(
    world: &World,
    import: &str,
    package: &Package,
    decl: &Decl,
    out: &mut String,
) -> Result<()> {
    let mut lines = BTreeMap::new();
    flatten(world, import, package, decl, "", "", &mut lines)?;
    // Anonymous helper structs have no JSON form.
    if lines.is_empty() && decl.name.starts_with(char::is_lowercase) {
        return Ok(());
    }
    let is_kind = marker(&decl.markers, "k8s:deepcopy-gen:interfaces")
        .is_some_and(|i| i.ends_with("runtime.Object"))
        || decl.name == "List";
    write!(out, "{} {}", if is_kind { "kind" } else { "type" }, decl.name)?;
    if marker(&decl.markers, "structType") == Some("atomic") {
        out.push_str(" atomic");
    }
    if marker(&decl.markers, "union").is_some() {
        let (_, _, fields) = world.fields(import, decl)?;
        let by = fields.iter().find(|f| marker(&f.markers, "unionDiscriminator").is_some());
        let by = by.and_then(|f| f.tags.get("json")).map_or("", String::as_str);
        write!(out, " union={}", by.split(',').next().unwrap_or_default())?;
    }
    let (_, _, fields) = world.fields(import, decl)?;
    let declared: Vec<&str> = required(fields, &lines).collect();
    let mut numbered = fields.iter().map(tag).zip(fields).collect::<Vec<_>>();
    numbered.sort_by_key(|(tag, _)| tag.as_ref().copied().unwrap_or_default());
    let numbered = numbered.into_iter().map(|(_, field)| field);
    if !required(numbered, &lines).eq(declared.iter().copied()) {
        write!(out, " required={}", declared.join(","))?;
    }
    out.push('\n');
    for line in lines.values() {
        writeln!(out, " {line}")?;
    }
    Ok(())
}

/// Names of the required ones of some fields.
fn required<'a>(
    fields: impl IntoIterator<Item = &'a go::Field>,
    lines: &BTreeMap<String, String>,
) -> impl Iterator<Item = &'a str> {
    let names = fields.into_iter().filter_map(|field| field.tags.get("json")?.split(',').next());
    names.filter(|name| {
        let flags = lines.get(*name).and_then(|line| line.split(' ').nth(3));
        flags.is_some_and(|flags| flags.contains('r'))
    })
}

/// Collects a struct's fields as JSON shows them. `via` holds the protobuf numbers of the
/// embedded structs on the way, and `within` their names, each followed by a dot.
fn flatten(
    world: &World,
    import: &str,
    package: &Package,
    decl: &Decl,
    via: &str,
    within: &str,
    lines: &mut BTreeMap<String, String>,
) -> Result<()> {
    let (home, file, fields) = world.fields(import, decl)?;
    for field in fields {
        let json = field.tags.get("json").map_or("", String::as_str);
        let (name, options) = json.split_once(',').unwrap_or((json, ""));
        if name == "-" {
            continue;
        }
        let tag = tag(field)?;
        if field.name.is_none() && name.is_empty() {
            let Ty::Name(embedded) = &field.ty else { bail!("embedded pointer") };
            if embedded.ends_with("TypeMeta") {
                for name in ["apiVersion", "kind"] {
                    lines.insert(name.into(), format!("{name} 0 string e"));
                }
                continue;
            }
            let Meaning::Struct(inner, decl) = world.resolve(&home, file, embedded)? else {
                bail!("{embedded} is embedded but no struct");
            };
            let via = if tag == 0 { via.to_owned() } else { format!("{via}{tag}.") };
            let within = format!("{within}{}.", embedded.rsplit('.').next().unwrap_or_default());
            flatten(world, &inner, package, decl, &via, &within, lines)?;
            continue;
        }
        if name.is_empty() {
            continue;
        }
        let context = || format!("field {name}");
        let mut line = field_facts(world, &home, package, file, field, name, options, via, tag)
            .with_context(context)?;
        if let Some(within) = within.strip_suffix('.') {
            let (head, default) = line.split_once(" d=").unwrap_or((&line, ""));
            let default = if default.is_empty() { String::new() } else { format!(" d={default}") };
            let (head, values) = head.split_once(" e=").unwrap_or((head, ""));
            let values = if values.is_empty() { String::new() } else { format!(" e={values}") };
            line = format!("{head} w={within}{values}{default}");
        }
        lines.insert(name.to_owned(), line);
    }
    Ok(())
}

fn tag(field: &go::Field) -> Result<u32> {
    match field.tags.get("protobuf").map(String::as_str) {
        None | Some("-") => Ok(0),
        Some(text) => Ok(text.split(',').nth(1).context("protobuf tag")?.parse()?),
    }
}

/// Returns true if `omitempty` has any effect: Go never omits structs for it.
fn can_be_empty(shape: &str) -> bool {
    shape.starts_with(['[', '{'])
        || shape.starts_with("wrap:")
        || matches!(shape, "string" | "bool" | "int32" | "int64" | "double" | "bytes")
}

#[allow(clippy::too_many_arguments)]
fn field_facts(
    world: &World,
    home: &str,
    package: &Package,
    file: &File,
    field: &go::Field,
    name: &str,
    options: &str,
    via: &str,
    tag: u32,
) -> Result<String> {
    let (pointer, ty) = match &field.ty {
        Ty::Pointer(inner) => (true, inner.as_ref()),
        ty => (false, ty),
    };
    let has = |option| options.split(',').any(|o| o == option);
    let optional = marker(&field.markers, "optional").is_some()
        || ((has("omitempty") || has("omitzero")) && marker(&field.markers, "required").is_none());
    let mut flags = String::new();
    flags.push_str(if optional { "" } else { "r" });
    flags.push_str(if pointer { "p" } else { "" });
    let mut shape = shape(world, home, package, file, ty)?;
    let omitted = has("omitzero") || (has("omitempty") && (pointer || can_be_empty(&shape)));
    flags.push_str(if omitted { "e" } else { "" });
    let repeated = field.tags.get("protobuf").is_some_and(|t| t.contains(",rep,"));
    if repeated && let Some(list) = shape.strip_prefix("wrap:") {
        shape = list.to_owned();
    }
    let flags = if flags.is_empty() { "-" } else { &flags };
    let mut line = format!("{name} {via}{tag} {shape} {flags}");
    if (shape.starts_with("[]") || shape == "bytes")
        && let Some(kind) = marker(&field.markers, "listType")
    {
        write!(line, " l={kind}")?;
        let keys = all_markers(&field.markers, "listMapKey");
        if !keys.is_empty() {
            write!(line, ":{}", keys.join(","))?;
        }
    }
    let merges = |kind| {
        marker(&field.markers, "mapType") == Some(kind)
            || marker(&field.markers, "structType") == Some(kind)
    };
    for kind in ["atomic", "granular"] {
        if merges(kind) {
            write!(line, " {kind}")?;
        }
    }
    if let Some(strategy) = field.tags.get("patchStrategy") {
        let key = field.tags.get("patchMergeKey").map_or("", String::as_str);
        write!(line, " p={strategy}:{key}")?;
    }
    if let Some((go, values)) = world.named(home, file, &field.ty) {
        write!(line, " g={go}")?;
        if !values.is_empty() {
            write!(line, " e={}", serde_json::to_string(&values)?)?;
        }
    }
    if let Some(default) = marker(&field.markers, "default") {
        let default = match default.strip_prefix("ref(").and_then(|d| d.strip_suffix(')')) {
            Some(name) => serde_json::to_string(file.consts.get(name).context("default")?)?,
            None => default.to_owned(),
        };
        serde_json::from_str::<serde_json::Value>(&default).context("default")?;
        write!(line, " d={default}")?;
    }
    Ok(line)
}

fn shape(world: &World, import: &str, package: &Package, file: &File, ty: &Ty) -> Result<String> {
    Ok(match ty {
        Ty::Pointer(inner) => shape(world, import, package, file, inner)?,
        Ty::Slice(inner) if **inner == Ty::Name("byte".into()) => "bytes".into(),
        Ty::Slice(inner) => format!("[]{}", shape(world, import, package, file, inner)?),
        Ty::Map(_, inner) => format!("{{}}{}", shape(world, import, package, file, inner)?),
        Ty::Name(name) => match world.resolve(import, file, name)? {
            Meaning::Basic(word) => word.to_owned(),
            Meaning::Wrapped(home, file, ty) => {
                format!("wrap:{}", shape(world, &home, package, file, &ty)?)
            }
            Meaning::Same(home, file, ty) => shape(world, &home, package, file, &ty)?,
            Meaning::Struct(home, decl) => {
                let model = &world.packages[&home].model;
                if *model == package.model {
                    decl.name.clone()
                } else {
                    format!("{model}.{}", decl.name)
                }
            }
        },
    })
}

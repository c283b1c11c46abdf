//! Writes the rules that upstream's types declare about their fields (`+k8s:` markers).
//! `crates/apiserver/src/registry/declared.rs` applies them and documents their form.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result};

use super::go::{Body, Decl, File, Ty};
use super::types::{Meaning, World};

/// Features that rules depend on and that are on; all others are off.
const ENABLED: &[&str] = &["HPAScaleToZero"];

/// One field: its name, its shape, the struct that it holds, and its rules.
struct Field {
    name: String,
    shape: &'static str,
    below: Option<Id>,
    rules: Vec<String>,
}

/// A struct: the import path of its package, and its name.
type Id = (String, String);

pub(crate) fn facts(world: &World, version: &str) -> Result<String> {
    let mut types: BTreeMap<Id, Vec<Field>> = BTreeMap::new();
    for (import, package) in &world.packages {
        let is_stable = import.starts_with("k8s.io/api/")
            && !package.version.contains("eta")
            && !package.version.contains("alpha");
        if !is_stable {
            continue;
        }
        for decl in package.files.iter().flat_map(|file| &file.decls) {
            if matches!(decl.body, Body::Struct(_)) && !decl.name.ends_with("List") {
                let fields = fields(world, import, decl)
                    .with_context(|| format!("{import} {}", decl.name))?;
                types.insert((import.clone(), decl.name.clone()), fields);
            }
        }
    }
    let told = told(&types);
    let mut out = format!("# Rules of Kubernetes {version}, written by `cargo xtask schema`.\n");
    let model = |(import, name): &Id| {
        let package = world.packages.get(import).context("package")?;
        Ok::<_, anyhow::Error>(format!("{}.{name}", package.model))
    };
    for (id, fields) in types.iter().filter(|(id, _)| told.contains(*id)) {
        writeln!(out, "{}", model(id)?)?;
        for field in fields {
            let below = field.below.as_ref().filter(|below| told.contains(*below));
            if below.is_none() && field.rules.is_empty() {
                continue;
            }
            let below = below.map(model).transpose()?.unwrap_or_default();
            let rules = field.rules.join(" ");
            writeln!(
                out,
                "{}",
                format!(" {} {}{below} {rules}", field.name, field.shape).trim_end()
            )?;
        }
    }
    Ok(out)
}

/// The structs with rules, or with others that have some.
fn told(types: &BTreeMap<Id, Vec<Field>>) -> BTreeSet<Id> {
    let mut told = BTreeSet::new();
    loop {
        let before = told.len();
        for (id, fields) in types {
            let tells = |field: &Field| {
                !field.rules.is_empty() || field.below.as_ref().is_some_and(|b| told.contains(b))
            };
            if fields.iter().any(tells) {
                told.insert(id.clone());
            }
        }
        if told.len() == before {
            return told;
        }
    }
}

fn fields(world: &World, import: &str, decl: &Decl) -> Result<Vec<Field>> {
    let (home, file, fields) = world.fields(import, decl)?;
    let mut all = Vec::new();
    for field in fields {
        let json = field.tags.get("json").map_or("", String::as_str);
        let name = json.split(',').next().unwrap_or_default();
        if field.name.is_none() && name.is_empty() {
            let Ty::Name(embedded) = &field.ty else { continue };
            if embedded.ends_with("TypeMeta") {
                continue;
            }
            if let Meaning::Struct(inner, decl) = world.resolve(&home, file, embedded)? {
                all.extend(self::fields(world, &inner, decl)?);
            }
            continue;
        }
        if name.is_empty() || name == "-" {
            continue;
        }
        let (shape, element) = shape(&field.ty);
        let below = match element {
            Ty::Name(name) => match world.resolve(&home, file, name) {
                Ok(Meaning::Struct(inner, decl)) => Some((inner, decl.name.clone())),
                _ => None,
            },
            _ => None,
        };
        let mut rules = rules(&field.markers);
        if let Some(values) = enumeration(world, &home, file, element) {
            let each = if shape == "[]" { "each:" } else { "" };
            rules.push(format!("{each}enum={}", values.join("|")));
        }
        let below = below.filter(|_| !rules.iter().any(|rule| rule == "opaque"));
        rules.retain(|rule| rule != "opaque");
        all.push(Field { name: name.to_owned(), shape, below, rules });
    }
    Ok(all)
}

/// `*` for pointers, `[]` for lists and `{}` for maps; and the type in them.
fn shape(ty: &Ty) -> (&'static str, &Ty) {
    match ty {
        Ty::Name(_) => ("-", ty),
        Ty::Pointer(inner) => ("*", inner),
        Ty::Slice(inner) => ("[]", inner),
        Ty::Map(_, inner) => ("{}", inner),
    }
}

/// The values of a type that must be one of them.
fn enumeration(world: &World, import: &str, file: &File, ty: &Ty) -> Option<Vec<String>> {
    let Ty::Name(name) = ty else { return None };
    let (target, local) = match name.split_once('.') {
        Some((prefix, local)) => (file.imports.get(prefix)?.as_str(), local),
        None => (import, name.as_str()),
    };
    let (_, decl) = world.find(target, local)?;
    decl.markers.iter().filter_map(|m| enforced(m)).find(|rule| rule == "enum")?;
    let (_, mut values) = world.named(import, file, ty)?;
    values.sort();
    Some(values)
}

/// The rule of a marker; `None` if it has none that is in force.
fn enforced(marker: &str) -> Option<String> {
    let rule = marker.strip_prefix("k8s:")?;
    let (head, rest) = match rule.split_once(")=+k8s:") {
        Some((head, rest)) => (head, Some(rest)),
        None => (rule, None),
    };
    let next = || enforced(&format!("k8s:{}", rest?));
    match head.split_once('(') {
        Some(("beta", _)) => next(),
        // It is not told yet, and yet it ends the walk.
        Some(("alpha", _)) => (rest == Some("immutable")).then(|| "frozen".to_owned()),
        Some(("ifEnabled", on)) => ENABLED.contains(&on).then(next)?,
        Some(("ifDisabled", off)) => (!ENABLED.contains(&off)).then(next)?,
        Some(("subfield", name)) => Some(format!("sub:{name}:{}", next()?)),
        Some(("ifMode", value)) => Some(format!("mode:{}:{}", value.trim_matches('"'), next()?)),
        Some(("item", of)) => {
            let (key, value) = of.split_once(": ")?;
            (next()? == "zeroOrOneOfMember")
                .then(|| format!("atMostOne={key}:{}", value.trim_matches('"')))
        }
        Some(_) => None,
        None => match rule.split_once("=+k8s:") {
            Some(("eachVal", _)) | Some(("eachKey", _)) => {
                let (each, inner) = rule.split_once("=+k8s:")?;
                let each = if each == "eachVal" { "each" } else { "key" };
                Some(format!("{each}:{}", enforced(&format!("k8s:{inner}"))?))
            }
            _ => Some(rule.replace('"', "").replace("opaqueType", "opaque")),
        },
    }
}

/// The rules of a field.
fn rules(markers: &[String]) -> Vec<String> {
    let all: Vec<String> = markers.iter().filter_map(|marker| enforced(marker)).collect();
    let keys: Vec<&str> = all.iter().filter_map(|rule| rule.strip_prefix("listMapKey=")).collect();
    let own_uniqueness = all.iter().any(|rule| rule == "customUnique");
    let mut rules = Vec::new();
    for rule in &all {
        let word = rule.split(['=', ':']).next().unwrap_or_default();
        match (word, rule.as_str()) {
            ("unique", "unique=map") | ("listType", "listType=map") => {
                let unique = if own_uniqueness { "keys" } else { "unique" };
                rules.push(format!("{unique}={}", keys.join(",")));
            }
            ("unique", "unique=set") | ("listType", "listType=set") => {
                rules.push("unique".to_owned());
            }
            ("unionMember", _) => rules.push("union".to_owned()),
            ("modeDiscriminator", _) => rules.push("mode".to_owned()),
            ("each", "each:opaque") => rules.push("opaque".to_owned()),
            (
                "required" | "optional" | "immutable" | "frozen" | "forbidden" | "minimum"
                | "maximum" | "maxItems" | "maxLength" | "maxBytes" | "format" | "each" | "key"
                | "sub" | "mode" | "atMostOne" | "update" | "opaque",
                _,
            ) => rules.push(rule.clone()),
            _ => {}
        }
    }
    // A field that may be missing has no rule by that alone.
    if rules == ["optional"] { Vec::new() } else { rules }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_those_in_force() {
        let all = |markers: &[&str]| {
            rules(&markers.iter().map(|m| format!("k8s:{m}")).collect::<Vec<_>>()).join(" ")
        };
        assert_eq!(
            all(&["beta(since: \"1.37\")=+k8s:required", "alpha(since: \"1\")=+k8s:immutable"]),
            "required frozen"
        );
        assert_eq!(all(&["optional"]), "");
        assert_eq!(
            all(&[
                "optional",
                "beta(since: \"1.37\")=+k8s:ifEnabled(HPAScaleToZero)=+k8s:minimum=0",
                "beta(since: \"1.37\")=+k8s:ifDisabled(HPAScaleToZero)=+k8s:minimum=1"
            ]),
            "optional minimum=0"
        );
        assert_eq!(all(&["listType=map", "listMapKey=a", "listMapKey=b"]), "unique=a,b");
        assert_eq!(
            all(&["beta(since: \"1.37\")=+k8s:item(type: \"Denied\")=+k8s:zeroOrOneOfMember"]),
            "atMostOne=type:Denied"
        );
        assert_eq!(
            all(&["beta(since: \"1.37\")=+k8s:eachKey=+k8s:format=k8s-short-name"]),
            "key:format=k8s-short-name"
        );
        assert_eq!(
            all(&["beta(since: \"1.37\")=+k8s:ifMode(\"Limited\")=+k8s:required"]),
            "mode:Limited:required"
        );
    }
}

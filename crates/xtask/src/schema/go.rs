//! Reads type declarations from gofmt-formatted Go source. Not a Go parser: it knows the shape
//! that API declarations have.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// One source file.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Import path by local name.
    pub(crate) imports: BTreeMap<String, String>,
    pub(crate) decls: Vec<Decl>,
    /// String constants, for defaults that refer to them.
    pub(crate) consts: BTreeMap<String, String>,
    /// Values of string constants that have a type, with its name.
    pub(crate) typed: Vec<(String, String)>,
    /// Constants that are another package's under a type of this one: the type and the other's name.
    pub(crate) borrowed: Vec<(String, String)>,
}

/// `type Name ...`
#[derive(Debug)]
pub(crate) struct Decl {
    pub(crate) name: String,
    pub(crate) markers: Vec<String>,
    pub(crate) body: Body,
}

#[derive(Debug)]
pub(crate) enum Body {
    Struct(Vec<Field>),
    /// `type A = B` and `type A B`.
    Other {
        ty: Ty,
        alias: bool,
    },
}

/// A struct field; embedded ones have no name.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: Option<String>,
    pub(crate) ty: Ty,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) markers: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    /// Package-local or `package.Name`.
    Name(String),
    Pointer(Box<Ty>),
    Slice(Box<Ty>),
    /// The name of the keys' type, always a string of some kind, and the type of the values.
    Map(String, Box<Ty>),
}

/// The value of a `+key=value` marker.
pub(crate) fn marker<'a>(markers: &'a [String], key: &str) -> Option<&'a str> {
    markers.iter().find_map(|m| match m.strip_prefix(key)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    })
}

/// All values of a repeatable marker.
pub(crate) fn all_markers<'a>(markers: &'a [String], key: &str) -> Vec<&'a str> {
    markers.iter().filter_map(|m| m.strip_prefix(key)?.strip_prefix('=')).collect()
}

pub(crate) fn parse(source: &str) -> Result<File> {
    let mut file = File::default();
    let mut lines = source.lines();
    // Markers of a declaration may stand in a comment block of their own above it.
    let mut markers = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(comment) = line.strip_prefix("//") {
            markers.extend(marker_text(comment));
        } else if line == "import (" {
            for line in lines.by_ref().take_while(|l| *l != ")") {
                if let Some((name, path)) = import(line.trim()) {
                    file.imports.insert(name, path);
                }
            }
        } else if let Some(line) = line.strip_prefix("import ") {
            file.imports.extend(import(line));
        } else if let Some(rest) = line.strip_prefix("type ") {
            let (name, rest) = rest.split_once(' ').context("type without body")?;
            if name.contains('[') || rest.starts_with("interface") {
                markers.clear();
                continue;
            }
            let body = if rest == "struct {" {
                Body::Struct(fields(&mut lines).with_context(|| name.to_owned())?)
            } else if rest == "struct{}" {
                Body::Struct(Vec::new())
            } else {
                let (alias, rest) = match rest.strip_prefix("= ") {
                    Some(rest) => (true, rest),
                    None => (false, rest),
                };
                let ty = rest.split(" //").next().unwrap_or(rest);
                Body::Other { ty: parse_type(ty.trim())?, alias }
            };
            let markers = std::mem::take(&mut markers);
            file.decls.push(Decl { name: name.to_owned(), markers, body });
        } else {
            if let Some((left, right)) = line.split_once(" = \"")
                && let (Some(name), Some(value)) =
                    (left.split_whitespace().find(|w| *w != "const"), right.strip_suffix('"'))
            {
                file.consts.insert(name.to_owned(), value.to_owned());
                let words: Vec<&str> = left.split_whitespace().filter(|w| *w != "const").collect();
                if let [_, of] = words[..] {
                    file.typed.push((of.to_owned(), value.to_owned()));
                }
            }
            // A constant may name its type by converting to it.
            let converted = line.split_once(" = ").and_then(|(_, right)| {
                let (of, value) = right.strip_suffix(')')?.split_once('(')?;
                Some((of.to_owned(), value.to_owned()))
            });
            match converted {
                Some((of, value)) if value.starts_with('"') => {
                    file.typed.push((of, value.trim_matches('"').to_owned()));
                }
                other => file.borrowed.extend(other),
            }
            if !line.trim().is_empty() {
                markers.clear();
            }
        }
    }
    Ok(file)
}

fn marker_text(comment: &str) -> Option<String> {
    Some(comment.trim().strip_prefix('+')?.to_owned())
}

fn import(line: &str) -> Option<(String, String)> {
    let (name, rest) = line.split_once('"')?;
    let path = rest.strip_suffix('"')?;
    let name = match name.trim() {
        "" => path.rsplit('/').next()?,
        name => name,
    };
    Some((name.to_owned(), path.to_owned()))
}

fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    let mut markers = Vec::new();
    let mut in_block_comment = false;
    for line in lines {
        if line == "}" {
            return Ok(fields);
        }
        let line = line.trim();
        if in_block_comment || line.starts_with("/*") {
            in_block_comment = !line.ends_with("*/");
            continue;
        }
        if line.is_empty() {
            markers.clear();
            continue;
        }
        if let Some(comment) = line.strip_prefix("//") {
            markers.extend(marker_text(comment));
            continue;
        }
        let (decl, rest) = line.split_once('`').unwrap_or((line, "`"));
        let tags = rest.split_once('`').map_or("", |(tags, _)| tags);
        let decl = decl.trim();
        let (name, ty) = match decl.split_once(char::is_whitespace) {
            Some((name, ty)) => (Some(name.to_owned()), ty.trim()),
            None => (None, decl),
        };
        fields.push(Field {
            name,
            ty: parse_type(ty)?,
            tags: parse_tags(tags),
            markers: std::mem::take(&mut markers),
        });
    }
    bail!("struct does not end")
}

fn parse_tags(text: &str) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once(":\"") {
        let Some((value, after)) = after.split_once('"') else { break };
        tags.insert(key.to_owned(), value.to_owned());
        rest = after.trim();
    }
    tags
}

fn parse_type(text: &str) -> Result<Ty> {
    if let Some(rest) = text.strip_prefix('*') {
        return Ok(Ty::Pointer(Box::new(parse_type(rest)?)));
    }
    if let Some(rest) = text.strip_prefix("[]") {
        return Ok(Ty::Slice(Box::new(parse_type(rest)?)));
    }
    if let Some(rest) = text.strip_prefix("map[") {
        let (key, value) = rest.split_once(']').context("map without value type")?;
        return Ok(Ty::Map(key.to_owned(), Box::new(parse_type(value)?)));
    }
    Ok(Ty::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_api_declarations_use() {
        let file = parse(
            "package v1\n\nimport (\n\tmetav1 \"a/meta/v1\"\n\t\"b/intstr\"\n)\n\n\
             const Best Mode = \"best\"\n\tWorst = Mode(\"worst\")\n\tOdd = Mode(other.Odd)\n\n// +kind\n\n// Doc.\ntype A struct {\n\
             \tmetav1.TypeMeta `json:\",inline\"`\n\t// lost\n\n\t// Doc.\n\t// +listType=set\n\
             \tB []*intstr.T `json:\"b,omitempty\" protobuf:\"bytes,1,rep,name=b\"` // trailing\n\
             \tC map[Mode]int32\n}\n\ntype D = metav1.E\n",
        )
        .unwrap();
        assert_eq!(file.imports["metav1"], "a/meta/v1");
        assert_eq!(file.imports["intstr"], "b/intstr");
        assert_eq!(file.consts["Best"], "best");
        let of_mode = |value: &str| ("Mode".to_owned(), value.to_owned());
        assert_eq!(file.typed, [of_mode("best"), of_mode("worst")]);
        assert_eq!(file.borrowed, [of_mode("other.Odd")]);
        let a = &file.decls[0];
        assert_eq!(marker(&a.markers, "kind"), Some(""));
        let Body::Struct(fields) = &a.body else { panic!() };
        assert_eq!(fields[0].name, None);
        assert_eq!(marker(&fields[1].markers, "listType"), Some("set"));
        assert_eq!(fields[1].tags["protobuf"], "bytes,1,rep,name=b");
        let pointer = Ty::Pointer(Box::new(Ty::Name("intstr.T".into())));
        assert_eq!(fields[1].ty, Ty::Slice(Box::new(pointer)));
        assert_eq!(fields[2].ty, Ty::Map("Mode".into(), Box::new(Ty::Name("int32".into()))));
        assert!(matches!(&file.decls[1].body, Body::Other { alias: true, .. }));
    }
}

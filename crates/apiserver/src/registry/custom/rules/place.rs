//! The `fieldPath` of a rule: where below a value an error is (upstream's `ValidFieldPath`).

use apimachinery::field::Path;
use serde_json::Value;

/// A step down.
#[derive(Debug, PartialEq)]
enum Step {
    Property(String),
    Key(String),
}

/// A place below a value.
#[derive(Debug, Default, PartialEq)]
pub(in crate::registry) struct Place(Vec<Step>);

impl Place {
    /// Reads a path as `.spec.names['a']`; `None` if the schema has no such place.
    pub(in crate::registry) fn read(schema: &Value, path: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let (mut schema, mut rest) = (schema, path);
        while !rest.is_empty() {
            let name;
            if let Some(quoted) = rest.strip_prefix("['") {
                let end = end_of_quoted(quoted)?;
                name = unquoted(&quoted[..end])?;
                rest = quoted[end + 1..].strip_prefix(']')?;
            } else {
                let plain = rest.strip_prefix('.')?;
                let end = plain.find(['.', '[', ']']).unwrap_or(plain.len());
                name = plain[..end].to_owned();
                rest = &plain[end..];
            }
            if let Some(properties) = schema.get("properties") {
                schema = properties.get(&name)?;
                steps.push(Step::Property(name));
            } else {
                schema = schema.get("additionalProperties")?;
                steps.push(Step::Key(name));
            }
        }
        Some(Self(steps))
    }

    /// The place below a value that is at `path`.
    pub(super) fn below(&self, path: &Path) -> Path {
        self.0.iter().fold(path.clone(), |path, step| match step {
            Step::Property(name) => path.child(name),
            Step::Key(key) => path.key(key),
        })
    }
}

fn end_of_quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (0..bytes.len()).find(|at| bytes[*at] == b'\'' && (*at == 0 || bytes[at - 1] != b'\\'))
}

fn unquoted(text: &str) -> Option<String> {
    let mut found = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        found.push(match c {
            '\\' => match chars.next()? {
                c @ ('\\' | '\'' | '"' | '`') => c,
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                _ => return None,
            },
            c => c,
        });
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_the_schema() {
        let schema = json!({"properties": {
            "spec": {"properties": {"a.b": {}, "map": {"additionalProperties": {}}}},
        }});
        let shown = |path: &str| {
            let place = Place::read(&schema, path)?;
            Some(place.below(&Path::new("root")).to_string())
        };
        for (path, wanted) in [
            (".spec", "root.spec"),
            (".spec['a.b']", "root.spec.a.b"),
            (".spec.map", "root.spec.map"),
            (".spec.map.x", "root.spec.map[x]"),
            (".spec.map['it\\'s']", "root.spec.map[it's]"),
        ] {
            assert_eq!(shown(path).as_deref(), Some(wanted), "{path}");
        }
        for path in
            ["spec", ".", ".none", ".spec.map.x.y", ".spec[0]", ".spec['map", ".spec['map'", "['"]
        {
            assert_eq!(shown(path), None, "{path}");
        }
    }
}

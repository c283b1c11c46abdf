//! The place of a value in the object, kept on the stack and printed only to report something.

use crate::field::Path;

/// The step from a value to one inside it.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    /// A specified property.
    Field(&'a str),
    /// A property that `additionalProperties` admits.
    Key(&'a str),
    /// An item.
    Index(usize),
}

/// The steps from the root.
#[derive(Clone, Copy, Default)]
pub(super) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Option<Step<'a>>,
}

impl<'a> Place<'a> {
    pub(super) fn below(&'a self, step: Step<'a>) -> Self {
        Self { parent: Some(self), step: Some(step) }
    }

    pub(super) fn is_root(&self) -> bool {
        self.step.is_none()
    }

    /// The path in errors about fields, for example `spec.labels[a]`.
    pub(super) fn path(&self) -> Path {
        Path::new(&self.print(|out, key| out.extend(["[", key, "]"])))
    }

    /// The path of an unknown field, for example `spec.labels.a`.
    pub(super) fn dotted(&self) -> String {
        self.print(|out, key| {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(key);
        })
    }

    /// The name in messages of the schema's checks, for example `spec.labels.a`; a key at the root
    /// begins with a dot.
    pub(super) fn name(&self) -> String {
        self.print(|out, key| out.extend([".", key]))
    }

    fn print(&self, key: impl Fn(&mut String, &str)) -> String {
        let mut steps = Vec::new();
        let mut place = Some(self);
        while let Some(at) = place {
            steps.extend(at.step);
            place = at.parent;
        }
        let mut out = String::new();
        for step in steps.iter().rev() {
            match step {
                Step::Field(name) if out.is_empty() => out.push_str(name),
                Step::Field(name) => out.extend([".", name]),
                Step::Key(name) => key(&mut out, name),
                Step::Index(i) => out.push_str(&format!("[{i}]")),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_keys_as_each_reader_of_paths_does() {
        let root = Place::default();
        let key = root.below(Step::Key("a"));
        let item = key.below(Step::Index(1));
        let field = item.below(Step::Field("b"));
        assert_eq!(field.name(), ".a[1].b");
        assert_eq!(field.dotted(), "a[1].b");
        assert_eq!(field.path().as_str(), "[a][1].b");
        assert_eq!(root.path().to_string(), "<nil>");
    }
}

//! Checks that an applied configuration fits the schema.

use std::collections::HashSet;

use super::element;
use crate::schema::{ListKind, ListShape, Shape, Type};
use serde_json::{Map, Value};

/// All errors, as upstream words them.
pub(super) fn check(shape: &Shape, value: &Value) -> Vec<String> {
    let mut checker = Checker::default();
    checker.value(shape, value);
    checker.complaints
}

/// Returns true if the value can be split into fields; duplicates are allowed.
pub(super) fn is_typed(shape: &Shape, value: &Value) -> bool {
    let mut checker = Checker { allow_duplicates: true, ..Checker::default() };
    checker.value(shape, value);
    checker.complaints.is_empty()
}

#[derive(Default)]
struct Checker<'a> {
    allow_duplicates: bool,
    path: Vec<Step<'a>>,
    complaints: Vec<String>,
}

/// A step of the path, which only has a text when there is something to complain about.
enum Step<'a> {
    Field(&'a str),
    Index(usize),
    Item(String),
}

impl Step<'_> {
    fn element(&self) -> String {
        match self {
            Self::Field(name) => element::field(name),
            Self::Index(index) => format!("i:{index}"),
            Self::Item(element) => element.clone(),
        }
    }
}

impl<'a> Checker<'a> {
    fn complain(&mut self, what: &str) {
        let path: Vec<String> = self.path.iter().map(Step::element).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.complaints.push(format!("{}: {what}", element::display(&path)));
    }

    fn below(&mut self, step: Step<'a>, shape: &Shape, value: &'a Value) {
        self.path.push(step);
        self.value(shape, value);
        self.path.pop();
    }

    fn value(&mut self, shape: &Shape, value: &'a Value) {
        match (shape, value) {
            (_, Value::Null)
            | (Shape::Any | Shape::RawExtension | Shape::SchemaOr(..), _)
            | (Shape::FieldsV1, Value::Object(_))
            | (Shape::Quantity | Shape::IntOrString, Value::String(_) | Value::Number(_)) => {}
            (Shape::Object(ty), Value::Object(map)) => self.fields(ty, map),
            (Shape::Map(shape), Value::Object(map)) => {
                for (name, value) in map {
                    self.below(Step::Field(name), &shape.value, value);
                }
            }
            (Shape::List(list), Value::Array(items)) => self.items(list, items),
            (Shape::Object(_) | Shape::Map(_) | Shape::FieldsV1, other) => {
                self.complain(&format!("expected map, got {}", shown(other)));
            }
            (Shape::List(_), other) => {
                self.complain(&format!("expected list, got {}", shown(other)));
            }
            (Shape::Bool, Value::Bool(_))
            | (Shape::Int32 | Shape::Int64 | Shape::Double, Value::Number(_)) => {}
            (Shape::Bool, other) => {
                self.complain(&format!("expected boolean, got {}", shown(other)));
            }
            (Shape::Int32 | Shape::Int64 | Shape::Double, other) => {
                self.complain(&format!("expected numeric (int or float), got {}", shown(other)));
            }
            (_, Value::String(_)) => {}
            (_, other) => self.complain(&format!("expected string, got {}", shown(other))),
        }
    }

    fn fields(&mut self, ty: &Type, map: &'a Map<String, Value>) {
        for (name, value) in map {
            match ty.field(name) {
                Some(field) => self.below(Step::Field(name), &field.shape, value),
                None if ty.open => {}
                None => {
                    self.path.push(Step::Field(name));
                    self.complain("field not declared in schema");
                    self.path.pop();
                }
            }
        }
    }

    fn items(&mut self, list: &ListShape, items: &'a [Value]) {
        let mut seen = HashSet::new();
        for (i, item) in items.iter().enumerate() {
            let step = match list.kind {
                ListKind::Atomic => Step::Index(i),
                _ => match element::item(list, item) {
                    Ok(element) => Step::Item(element),
                    Err(why) => return self.complain(&format!("element {i}: {why}")),
                },
            };
            if let Step::Item(element) = &step
                && !self.allow_duplicates
                && !seen.insert(element.clone())
            {
                let shown = element::display(&[element]);
                self.complain(&format!("duplicate entries for key {shown}"));
            }
            self.below(step, &list.item, item);
        }
    }
}

/// Go's name for the type of a wrong value; lists are printed as a type of their own.
fn shown(value: &Value) -> String {
    if value.is_array() {
        return format!("&{{{}}}", crate::text::go_value(value));
    }
    format!("&value.valueUnstructured{{Value:{value}}}")
}

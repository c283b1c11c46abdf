//! Validation rules in the Common Expression Language (`x-kubernetes-validations`).

mod compile;
mod place;

pub(in crate::registry) use compile::{environment, shape};
pub(in crate::registry) use place::Place;

use std::collections::HashMap;
use std::sync::Arc;

use apimachinery::Object;
use apimachinery::field::{ErrorList, ErrorType, FieldError, Path};
use cel::{Budget, EvalError, PER_CALL_LIMIT, Program, TOTAL_LIMIT, Value as Cel};
use serde_json::Value;

/// The rules of a schema and of what is below it.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// The `type` of the schema, which messages show in place of the value.
    of: String,
    shape: Option<Arc<cel::Schema>>,
    rules: Vec<Rule>,
    properties: Vec<(String, Rules)>,
    values: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    /// The keys by which an item is found in the old list; none where it cannot be.
    keys: Option<Vec<String>>,
}

#[derive(Debug)]
struct Rule {
    rule: String,
    message: String,
    reason: String,
    /// Below the value that the rule is about.
    place: Place,
    program: Result<Program, cel::CompileError>,
    message_expression: Option<Program>,
    uses_old: bool,
    optional_old: bool,
}

impl Rule {
    /// The name of the rule in messages.
    fn shown(&self) -> &str {
        if self.message.is_empty() { self.rule.trim() } else { self.message.trim() }
    }

    fn message(&self) -> String {
        match self.message.trim() {
            "" => format!("failed rule: {}", self.shown()),
            message => message.to_owned(),
        }
    }
}

/// The errors found so far, and what may still be spent.
struct Run {
    errors: ErrorList,
    left: u64,
    /// Nothing more is evaluated.
    over: bool,
}

impl Rules {
    /// Evaluates all rules. `errors` are those of the schema: rules are not evaluated on an object of
    /// another shape.
    pub(super) fn check(&self, object: &Object, old: Option<&Object>, errors: &mut ErrorList) {
        if self.is_empty() {
            return;
        }
        let blocks = |error: &FieldError| {
            matches!(
                error.kind,
                ErrorType::NotSupported
                    | ErrorType::Required
                    | ErrorType::TooLong
                    | ErrorType::TooMany
                    | ErrorType::TypeInvalid
            )
        };
        if errors.0.iter().any(blocks) {
            let why = "some validation rules were not checked because the object was invalid; \
                       correct the existing errors to complete validation";
            errors.push(FieldError::invalid(&Path::root(), Value::Null, why).showing("null"));
            return;
        }
        let mut run = Run { errors: ErrorList::new(), left: TOTAL_LIMIT, over: false };
        self.walk(&Path::root(), object, old, false, &mut run);
        errors.extend(run.errors);
    }

    fn is_empty(&self) -> bool {
        self.rules.is_empty()
            && self.properties.is_empty()
            && self.values.is_none()
            && self.items.is_none()
    }

    /// `same` says that something around the value is as it was.
    fn walk(&self, path: &Path, value: &Value, old: Option<&Value>, same: bool, run: &mut Run) {
        let old = old.filter(|old| !old.is_null());
        let same = same || old == Some(value);
        self.evaluate(path, value, old, same, run);
        match value {
            Value::Object(map) => {
                let old = old.and_then(Value::as_object);
                let before = |key: &str| old.and_then(|old| old.get(key));
                for (key, value) in map {
                    if run.over {
                        return;
                    }
                    if let Some(values) = &self.values {
                        values.walk(&path.key(key), value, before(key), same, run);
                    }
                    if let Some((_, rules)) = self.properties.iter().find(|(name, _)| name == key) {
                        rules.walk(&path.child(key), value, before(key), same, run);
                    }
                }
            }
            Value::Array(list) => {
                let Some(items) = &self.items else { return };
                let identity = |item: &Value| -> Option<String> {
                    let keys = self.keys.as_ref()?;
                    Some(keys.iter().map(|key| format!("{}\0", item[key])).collect())
                };
                let old = old.and_then(Value::as_array).into_iter().flatten();
                let old: HashMap<String, &Value> =
                    old.filter_map(|item| Some((identity(item)?, item))).collect();
                for (index, item) in list.iter().enumerate() {
                    if run.over {
                        return;
                    }
                    let before = identity(item).and_then(|id| old.get(&id).copied());
                    items.walk(&path.index(index), item, before, same, run);
                }
            }
            _ => {}
        }
    }

    fn evaluate(&self, path: &Path, value: &Value, old: Option<&Value>, same: bool, run: &mut Run) {
        if value.is_null() || self.rules.is_empty() || run.over {
            return;
        }
        if run.left == 0 {
            run.end(FieldError::invalid(path, self.of.as_str(), OUT_OF_BUDGET));
            return;
        }
        let shape = self.shape.as_deref();
        let values = cel::value::from_json(value, shape).and_then(|own| {
            let old = old.map(|old| cel::value::from_json(old, shape)).transpose()?;
            Ok((own, old))
        });
        let (own, old) = match values {
            Ok(values) => values,
            Err(why) => {
                run.errors.push(FieldError::invalid(path, self.of.as_str(), why.to_string()));
                return;
            }
        };
        for rule in &self.rules {
            let program = match &rule.program {
                Ok(program) => program,
                Err(why) => {
                    let why = format!("rule compile error: {why}");
                    run.errors.push(FieldError::invalid(path, self.of.as_str(), why));
                    continue;
                }
            };
            if rule.uses_old && old.is_none() && !rule.optional_old {
                continue;
            }
            let mut variables = vec![("self", own.clone())];
            match (&old, rule.optional_old) {
                (Some(old), true) => variables.push(("oldSelf", Cel::some(old.clone()))),
                (None, true) => variables.push(("oldSelf", Cel::Optional(None))),
                (Some(old), false) => variables.push(("oldSelf", old.clone())),
                (None, false) => {}
            }
            let mut budget = Budget::new(PER_CALL_LIMIT);
            let outcome = program.eval(&variables, &mut budget);
            match run.left.checked_sub(budget.cost()) {
                Some(left) => run.left = left,
                None => {
                    run.end(FieldError::invalid(path, self.of.as_str(), OUT_OF_BUDGET));
                    return;
                }
            }
            match outcome {
                Ok(Cel::Bool(true)) => {}
                Ok(_) => self.refuse(rule, path, value, &variables, same, run),
                Err(why) => {
                    let ends = why == EvalError::COST;
                    let why = told(&why, rule.shown());
                    let error = FieldError::invalid(path, self.of.as_str(), why);
                    if ends {
                        run.end(error);
                        return;
                    }
                    run.errors.push(error);
                }
            }
            if run.over {
                return;
            }
        }
    }

    /// A rule does not hold.
    fn refuse<'a>(
        &self,
        rule: &'a Rule,
        path: &Path,
        value: &Value,
        variables: &dyn cel::Variables<'a>,
        same: bool,
        run: &mut Run,
    ) {
        // A value that was there before may stay.
        if !rule.uses_old && same {
            return;
        }
        let path = rule.place.below(path);
        let detail = match rule.message_expression.as_ref().map(|e| run.text(e, variables)) {
            Some(Ok(text)) => text,
            Some(Err(Some(why))) => {
                run.end(FieldError::invalid(&path, self.of.as_str(), why));
                return;
            }
            Some(Err(None)) | None => rule.message(),
        };
        let whole = matches!(self.of.as_str(), "object" | "array");
        run.errors.push(match rule.reason.as_str() {
            "FieldValueForbidden" => FieldError::forbidden(&path, detail),
            "FieldValueRequired" => FieldError::required(&path, detail),
            "FieldValueDuplicate" => FieldError::duplicate(&path, value.clone()),
            _ if whole => FieldError::invalid_omitted(&path, detail),
            _ => FieldError::invalid(&path, value.clone(), detail),
        });
    }
}

const OUT_OF_BUDGET: &str = "validation failed due to running out of cost budget, no further \
    validation rules will be run";

/// The reason why a rule could not be evaluated.
fn told(why: &EvalError, rule: &str) -> String {
    let text = why.to_string();
    if text.starts_with("no such overload") {
        return format!(
            "'{text}': call arguments did not match a supported operator, function or macro \
             signature for rule: {rule}"
        );
    }
    if *why == EvalError::COST {
        return format!(
            "'{text}': no further validation rules will be run due to call cost exceeds limit for \
             rule: {rule}"
        );
    }
    format!("{text} evaluating rule: {rule}")
}

impl Run {
    fn end(&mut self, error: FieldError) {
        self.errors.push(error);
        self.over = true;
    }

    /// The message that an expression makes; an error ends the validation if it says why.
    fn text<'a>(
        &mut self,
        expression: &'a Program,
        variables: &dyn cel::Variables<'a>,
    ) -> Result<String, Option<String>> {
        let mut budget = Budget::new(PER_CALL_LIMIT);
        let made = expression.eval(variables, &mut budget);
        let Some(left) = self.left.checked_sub(budget.cost()) else {
            return Err(Some(
                "messageExpression evaluation failed due to running out of cost budget, no \
                 further validation rules will be run"
                    .to_owned(),
            ));
        };
        self.left = left;
        made.ok().and_then(|made| cel::message(&made)).ok_or(None)
    }
}

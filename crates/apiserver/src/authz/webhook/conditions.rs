//! Match conditions of webhooks: expressions about a SubjectAccessReview.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use apimachinery::text::aggregate;
use cel::schema::{Kind, ListKind, ObjectType};
use cel::value::from_json;
use cel::{Budget, Env, PER_CALL_LIMIT, Program, Schema, Type, Value as Cel};
use serde_json::Value;

use crate::registry::check::Field;

/// The most conditions of a webhook.
const MOST: usize = 64;
/// The most that they may cost together, as those of admission webhooks: whoever sends a request
/// chooses much of what they look at.
const TOTAL: u64 = 2_500_000;

/// The shape of `request` (upstream's `buildRequestType`).
static REQUEST: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let of = |kind| Arc::new(Schema::new(kind));
    let text = || of(Kind::String);
    let list = |items| of(Kind::List(items, ListKind::Atomic));
    let object = |name: &str, fields: Vec<(&str, Arc<Schema>)>| {
        let fields = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema, false));
        of(Kind::Object(Arc::new(ObjectType::new(name, fields))))
    };
    let requirement = object(
        "kubernetes.SelectorRequirement",
        vec![("key", text()), ("operator", text()), ("values", list(text()))],
    );
    let selector = |name: &str| {
        let requirements = list(requirement.clone());
        object(name, vec![("rawSelector", text()), ("requirements", requirements)])
    };
    let texts = ["namespace", "verb", "group", "version", "resource", "subresource", "name"];
    let mut fields: Vec<_> = texts.map(|name| (name, text())).into();
    fields.push(("fieldSelector", selector("kubernetes.FieldSelectorAttributes")));
    fields.push(("labelSelector", selector("kubernetes.LabelSelectorAttributes")));
    let resource = object("kubernetes.ResourceAttributes", fields);
    let other =
        object("kubernetes.NonResourceAttributes", vec![("path", text()), ("verb", text())]);
    object(
        "kubernetes.SubjectAccessReviewSpec",
        vec![
            ("resourceAttributes", resource),
            ("nonResourceAttributes", other),
            ("user", text()),
            ("groups", list(text())),
            ("extra", of(Kind::Map(list(text())))),
            ("uid", text()),
        ],
    )
});

static ENV: LazyLock<Env> = LazyLock::new(|| Env::new().declare("request", REQUEST.clone()));

/// Conditions that must all hold before a webhook is asked.
#[derive(Debug, Default)]
pub(in crate::authz) struct Conditions(Vec<(String, Program)>);

/// The reason why conditions could not be evaluated.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(String);

impl Conditions {
    /// Checks and compiles the `matchConditions` of a webhook.
    pub(in crate::authz) fn check(webhook: &Field<'_>) -> Self {
        let count = webhook.len("matchConditions");
        if count > MOST {
            webhook.at("matchConditions").too_many(count, MOST);
            return Self::default();
        }
        let (mut seen, mut compiled) = (HashSet::new(), Vec::new());
        for condition in webhook.items("matchConditions") {
            let field = condition.at("expression");
            let expression = field.text();
            if expression.trim().is_empty() {
                field.required("");
                continue;
            }
            if !seen.insert(expression) {
                field.duplicate();
                continue;
            }
            match ENV.compile(expression) {
                Err(why) if why.is_instantiation() => field.invalid(why.in_full()),
                Err(why) => field.invalid(why.in_full()),
                Ok(program) if *program.result_type() != Type::Bool => {
                    let found = program.result_type();
                    field.invalid(format!("must evaluate to bool but got {found}"));
                }
                Ok(program) => compiled.push((expression.to_owned(), program)),
            }
        }
        Self(compiled)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if all hold. One that does not hold decides, even if others fail.
    ///
    /// # Errors
    /// None is false, and some cannot be evaluated.
    pub(super) fn hold(&self, request: &Value) -> Result<bool, Failed> {
        let mut left = TOTAL;
        let mut failures = Vec::new();
        for (expression, program) in &self.0 {
            let mut budget = Budget::new(PER_CALL_LIMIT.min(left));
            let value = from_json(request, Some(&REQUEST))
                .and_then(|request| program.eval(&[("request", request)], &mut budget));
            left = left.saturating_sub(budget.cost());
            match value {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Ok(false),
                Ok(_) => failures.push(format!(
                    "cel evaluation error: expression '{expression}' eval result value should be \
                     bool"
                )),
                Err(why) => failures.push(format!(
                    "cel evaluation error: expression '{expression}' resulted in error: {why}"
                )),
            }
        }
        if failures.is_empty() { Ok(true) } else { Err(Failed(aggregate(&failures))) }
    }
}

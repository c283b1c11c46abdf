//! Rules of schemas: that they compile, and that they cost no more than is allowed (upstream's
//! `CELSchemaContext`).

use std::cell::RefCell;

use apimachinery::field::{ErrorList, FieldError, Path};
use cel::{Program, Type};

use crate::registry::check::{Field, internal};
use crate::registry::custom::rules::{environment, shape};

/// The most that one rule may cost by estimate.
const RULE_LIMIT: u64 = 10_000_000;
/// The most that all rules of a schema may cost together.
const SCHEMA_LIMIT: u64 = 100_000_000;
/// How many of the most expensive rules are named.
const NAMED: usize = 4;

/// The findings about the rules of one schema.
#[derive(Default)]
pub(super) struct Findings {
    errors: RefCell<ErrorList>,
    total: RefCell<Total>,
}

#[derive(Default)]
struct Total {
    cost: u64,
    expensive: Vec<(u64, Path)>,
}

/// Where in a schema rules are.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    findings: &'a Findings,
    /// How many values there can be at most; `None` where nothing but the size of a request limits
    /// them.
    cardinality: Option<u64>,
    /// The list whose items are not found again in the old object.
    uncorrelated: Option<&'a Path>,
}

impl<'a> Scope<'a> {
    pub(super) fn root(findings: &'a Findings) -> Self {
        Self { findings, cardinality: Some(1), uncorrelated: None }
    }

    /// The scope of what is in values of `schema`.
    pub(super) fn below(self, schema: &Field<'_>) -> Self {
        let limit = |field: &str| schema.int(field).map(|n| n.try_into().unwrap_or(0));
        let elements = match schema.str("type") {
            "object" if schema.has("additionalProperties") => limit("maxProperties"),
            "array" => limit("maxItems"),
            _ => Some(1),
        };
        let cardinality =
            self.cardinality.zip(elements).map(|(a, b): (u64, u64)| a.saturating_mul(b));
        Self { cardinality, ..self }
    }

    /// The scope of the items of a list that is at `path`.
    pub(super) fn items(self, schema: &Field<'_>, path: &'a Path) -> Self {
        let below = self.below(schema);
        match schema.str("x-kubernetes-list-type") {
            "map" => below,
            _ => Self { uncorrelated: below.uncorrelated.or(Some(path)), ..below },
        }
    }

    /// Compiles the rules of a schema that is right otherwise.
    pub(super) fn check(self, schema: &Field<'_>, root: bool) {
        if schema.len("x-kubernetes-validations") == 0 {
            return;
        }
        let Some(shape) = shape(schema.value(), root) else {
            let error = "internal error: failed to construct type information for \
                         x-kubernetes-validations rules: unable to convert structural schema to \
                         CEL declarations";
            let path = schema.path().child("x-kubernetes-validations");
            return self.push(FieldError::internal(&path, error));
        };
        let most = cel::schema::MAX_REQUEST_BYTES / (shape.min_bytes() + 1);
        let cardinality = self.cardinality.unwrap_or(most);
        for rule in schema.items("x-kubernetes-validations") {
            let env = environment(&shape, rule.flag("optionalOldSelf"));
            let program = match compile(&env, rule.str("rule"), &Type::Bool) {
                Ok(program) => program,
                Err(Refused::Type) => {
                    self.refuse(&rule, "rule", "cel expression must evaluate to a bool");
                    self.old_self(&rule, false);
                    continue;
                }
                Err(Refused::Expression(why)) => {
                    self.refuse(&rule, "rule", why.in_full());
                    self.old_self(&rule, false);
                    continue;
                }
            };
            let cost = program.estimated_cost().max.saturating_mul(cardinality);
            self.charge(&rule, "rule", "estimated rule cost", cost);
            self.message(&env, &rule);
            self.old_self(&rule, program.variables().iter().any(|name| name == "oldSelf"));
        }
    }

    fn message(self, env: &cel::Env, rule: &Field<'_>) {
        const NAME: &str = "messageExpression";
        if rule.str(NAME).is_empty() {
            return;
        }
        match compile(env, rule.str(NAME), &Type::String) {
            Ok(program) => {
                let cost = program.estimated_cost().max;
                self.charge(rule, NAME, "estimated messageExpression cost", cost);
            }
            Err(Refused::Type) => {
                self.refuse(rule, NAME, "messageExpression must evaluate to a string");
            }
            Err(Refused::Expression(why)) => {
                let kind = if why.is_instantiation() { "instantiation" } else { "compilation" };
                self.refuse(rule, NAME, format!("messageExpression {kind} failed: {why}"));
            }
        }
    }

    fn old_self(self, rule: &Field<'_>, used: bool) {
        if let (true, Some(list)) = (used, self.uncorrelated) {
            let why = format!(
                "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
            );
            self.push(FieldError::invalid(rule.at("rule").path(), rule.str("rule"), why));
        }
        if let (false, Some(optional)) = (used, rule.opt("optionalOldSelf")) {
            let why = "may not be set if oldSelf is not used in rule";
            self.push(FieldError::invalid(optional.path(), optional.value().clone(), why));
        }
    }

    fn refuse(self, rule: &Field<'_>, field: &str, why: impl Into<String>) {
        let error = FieldError::invalid_omitted(rule.at(field).path(), why);
        self.push(error.showing(internal(rule.value(), "ValidationRule")));
    }

    fn charge(self, rule: &Field<'_>, field: &str, of: &str, cost: u64) {
        let path = rule.at(field).path().clone();
        if cost > RULE_LIMIT {
            self.push(FieldError::forbidden(&path, exceeds(of, cost, RULE_LIMIT)));
        }
        let mut total = self.findings.total.borrow_mut();
        total.cost = total.cost.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            total.expensive.push((cost, path));
        }
    }

    fn push(self, error: FieldError) {
        self.findings.errors.borrow_mut().push(error);
    }
}

impl Findings {
    /// Adds what was found to the errors of a schema.
    pub(super) fn report(self, schema: &Field<'_>) {
        schema.extend(self.errors.into_inner());
        let Total { cost, mut expensive } = self.total.into_inner();
        if cost <= SCHEMA_LIMIT {
            return;
        }
        expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        for (_, path) in expensive.iter().take(NAMED) {
            let why = "contributed to estimated rule cost total exceeding cost limit for entire \
                       OpenAPIv3 schema";
            schema.push(FieldError::forbidden(path, why));
        }
        let of = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        schema.forbidden(exceeds(of, cost, SCHEMA_LIMIT));
    }
}

/// The reason why an expression is none for its place.
enum Refused {
    Type,
    Expression(cel::CompileError),
}

fn compile(env: &cel::Env, expression: &str, wanted: &Type) -> Result<Program, Refused> {
    let program = env.compile(expression);
    match program {
        // Upstream looks at the type before it makes a program, which may fail.
        Ok(program) if program.result_type() != wanted => Err(Refused::Type),
        program => program.map_err(Refused::Expression),
    }
}

fn exceeds(of: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        f if f > 100.0 => "more than 100x".to_owned(),
        f if f < 1.5 => format!("{f:.6}x"),
        f => format!("{f:.1}x"),
    };
    format!(
        "{of} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, \
         maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )
}

//! The expressions of an issuer: what they see, and how they make a user of claims.

use std::sync::{Arc, LazyLock};

use cel::schema::{Kind, ListKind, ObjectType};
use cel::value::from_json;
use cel::{Budget, Env, EvalError, PER_CALL_LIMIT, Program, Schema, Value as Cel};
use serde_json::{Map, Value, json};

use crate::user::User;
use crate::verbs::user_info;

/// The claims of a token.
static CLAIMS_SHAPE: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(Schema::new(Kind::Map(Arc::new(Schema::new(Kind::Native))))));

/// A user (upstream's `kubernetes.UserInfo`).
static USER_SHAPE: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let text = || Arc::new(Schema::new(Kind::String));
    let list = || Arc::new(Schema::new(Kind::List(text(), ListKind::Atomic)));
    let fields = [
        ("username", text()),
        ("uid", text()),
        ("groups", list()),
        ("extra", Arc::new(Schema::new(Kind::Map(list())))),
    ];
    let fields = fields.map(|(name, schema)| (name.to_owned(), schema, false));
    Arc::new(Schema::new(Kind::Object(Arc::new(ObjectType::new("kubernetes.UserInfo", fields)))))
});

/// The variables of expressions about claims.
pub(super) static CLAIMS: LazyLock<Env> =
    LazyLock::new(|| Env::new().declare("claims", CLAIMS_SHAPE.clone()));

/// The variables of expressions about a user.
pub(super) static USER: LazyLock<Env> =
    LazyLock::new(|| Env::new().declare("user", USER_SHAPE.clone()));

/// A rule: its program, its source, and the message for who breaks it; or the key that it is about.
type Rule = (Program, String, String);

/// The compiled expressions of an issuer.
#[derive(Debug, Default)]
pub(in crate::authn) struct Mapper {
    pub(in crate::authn) username: Option<Program>,
    pub(in crate::authn) groups: Option<Program>,
    pub(in crate::authn) uid: Option<Program>,
    pub(in crate::authn) extra: Vec<Rule>,
    pub(in crate::authn) claim_rules: Vec<Rule>,
    pub(in crate::authn) user_rules: Vec<Rule>,
}

/// Why an expression gave nothing of use.
#[derive(Debug, thiserror::Error)]
pub(in crate::authn) enum Refused {
    #[error("expression '{0}' resulted in error: {1}")]
    Failed(String, EvalError),
    #[error("{0}")]
    Type(&'static str),
    #[error("validation expression '{0}' failed: {1}")]
    Rule(String, String),
}

/// A value, by an expression of this source.
fn run<'a>(
    program: &'a Program,
    source: &str,
    name: &'static str,
    shape: &'static Schema,
    json: &'a Value,
) -> Result<Cel<'a>, Refused> {
    let failed = |why| Refused::Failed(source.to_owned(), why);
    let value = from_json(json, Some(shape)).map_err(failed)?;
    program.eval(&[(name, value)], &mut Budget::new(PER_CALL_LIMIT)).map_err(failed)
}

/// A text that an expression about claims makes.
pub(in crate::authn) fn text(
    program: &Program,
    source: &str,
    claims: &Value,
    otherwise: &'static str,
) -> Result<String, Refused> {
    match run(program, source, "claims", &CLAIMS_SHAPE, claims)? {
        Cel::String(text) => Ok(text.to_string()),
        _ => Err(Refused::Type(otherwise)),
    }
}

/// A text or a list of texts that an expression about claims makes. Empty ones count as absent.
pub(in crate::authn) fn texts(
    program: &Program,
    source: &str,
    claims: &Value,
) -> Result<Vec<String>, Refused> {
    const WRONG: Refused = Refused::Type("expression must return a string or a list of strings");
    let mut found = Vec::new();
    match run(program, source, "claims", &CLAIMS_SHAPE, claims)? {
        Cel::Null => {}
        Cel::String(text) => found.push(text.to_string()),
        Cel::List(list) => {
            for item in list.iter() {
                let Ok(Cel::String(text)) = item else { return Err(WRONG) };
                found.push(text.to_string());
            }
        }
        _ => return Err(WRONG),
    }
    found.retain(|text| !text.is_empty());
    Ok(found)
}

impl Mapper {
    /// The expressions that see claims.
    pub(super) fn of_claims(&self) -> impl Iterator<Item = &Program> {
        let rules = self.extra.iter().chain(&self.claim_rules).map(|(program, ..)| program);
        self.username.iter().chain(rules)
    }

    /// Refuses claims that a rule does not allow.
    pub(in crate::authn) fn check_claims(&self, claims: &Value) -> Result<(), Refused> {
        hold(&self.claim_rules, "claims", &CLAIMS_SHAPE, claims)
    }

    /// Refuses a user that a rule does not allow.
    pub(in crate::authn) fn check_user(&self, user: &User) -> Result<(), Refused> {
        if self.user_rules.is_empty() {
            return Ok(());
        }
        let mut info = Map::from_iter([("uid".to_owned(), json!("")), ("extra".into(), json!({}))]);
        if let Value::Object(said) = user_info(user) {
            info.extend(said);
        }
        hold(&self.user_rules, "user", &USER_SHAPE, &Value::Object(info))
    }
}

fn hold(
    rules: &[Rule],
    name: &'static str,
    shape: &'static Schema,
    json: &Value,
) -> Result<(), Refused> {
    // All are evaluated before any is judged: an error counts before a rule that is broken.
    let mut results = Vec::with_capacity(rules.len());
    for (program, source, _) in rules {
        results.push(run(program, source, name, shape, json)?);
    }
    for ((_, source, message), result) in rules.iter().zip(results) {
        match result {
            Cel::Bool(true) => {}
            Cel::Bool(false) => return Err(Refused::Rule(source.clone(), message.clone())),
            _ => return Err(Refused::Type("validation expression must return a boolean")),
        }
    }
    Ok(())
}

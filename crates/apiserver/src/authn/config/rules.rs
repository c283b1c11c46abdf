//! Validation of AuthenticationConfiguration, with upstream's messages.

use std::collections::HashSet;

use apimachinery::text::quote;
use cel::{Env, Program, Type};
use serde_json::json;

use super::mapper::{CLAIMS, Mapper, USER};
use crate::registry::check::url::{Url, unreadable};
use crate::registry::check::{Field, check_domain_path};

/// The most issuers.
const MAX_ISSUERS: usize = 64;

/// Checks the whole configuration and returns the expressions of each issuer, which are complete if
/// there were no findings.
pub(super) fn check_configuration(root: &Field<'_>, disallowed: &[String]) -> Vec<Mapper> {
    let mut mappers = Vec::new();
    if root.len("jwt") > MAX_ISSUERS {
        root.at("jwt").too_many(root.len("jwt"), MAX_ISSUERS);
        return mappers;
    }
    let (mut issuers, mut discoveries) = (HashSet::new(), HashSet::new());
    for jwt in root.items("jwt") {
        mappers.push(check_authenticator(&jwt, disallowed));
        let issuer = jwt.at("issuer");
        if !issuers.insert(issuer.str("url")) {
            issuer.at("url").duplicate();
        }
        let discovery = issuer.str("discoveryURL");
        if !discovery.is_empty() && !discoveries.insert(discovery) {
            issuer.at("discoveryURL").duplicate();
        }
    }
    if let Some(anonymous) = root.opt("anonymous")
        && !anonymous.flag("enabled")
        && anonymous.len("conditions") > 0
    {
        let paths: Vec<_> =
            anonymous.items("conditions").map(|c| json!({"Path": c.str("path")})).collect();
        let why = "enabled should be set to true when conditions are defined";
        anonymous.at("conditions").invalid_value(paths, why);
    }
    mappers
}

fn check_authenticator(jwt: &Field<'_>, disallowed: &[String]) -> Mapper {
    let issuer = jwt.at("issuer");
    check_issuer(&issuer, disallowed);
    let mut mapper = Mapper::default();
    check_claim_rules(jwt, &mut mapper);
    check_mappings(&jwt.at("claimMappings"), &mut mapper);
    check_user_rules(jwt, &mut mapper);
    mapper
}

fn check_issuer(issuer: &Field<'_>, disallowed: &[String]) {
    let (url, discovery) = (issuer.at("url"), issuer.at("discoveryURL"));
    match url.text() {
        "" => url.required(""),
        _ => check_url(&url, disallowed),
    }
    if !discovery.text().is_empty() {
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        if !url.text().is_empty() && bare(url.text()) == bare(discovery.text()) {
            discovery.invalid("discoveryURL must be different from URL");
        }
        check_url(&discovery, &[]);
    }
    check_audiences(issuer);
    let authority = issuer.at("certificateAuthority");
    if !authority.text().is_empty() && pki::tls::client_verifier(authority.text()).is_err() {
        let why = "data does not contain any valid RSA or ECDSA certificates";
        authority.invalid_value("<omitted>", why);
    }
    let egress = issuer.at("egressSelectorType");
    if !matches!(egress.text(), "" | "controlplane" | "cluster") {
        egress.invalid("egress selector must be either controlplane or cluster");
    }
}

fn check_url(field: &Field<'_>, disallowed: &[String]) {
    let text = field.text();
    if disallowed.iter().any(|issuer| issuer == text) {
        let mut all = disallowed.to_vec();
        all.sort();
        let all = all.join(" ");
        field.invalid(format!("URL must not overlap with disallowed issuers: [{all}]"));
    }
    if let Some(why) = unreadable(text) {
        return field.invalid(format!("parse {}: {why}", quote(text)));
    }
    let url = Url::split(text);
    for (wrong, why) in [
        (url.scheme != "https", "URL scheme must be https"),
        (url.user.is_some(), "URL must not contain a username or password"),
        (!url.query.is_empty(), "URL must not contain a query"),
        (!url.fragment.is_empty(), "URL must not contain a fragment"),
    ] {
        if wrong {
            field.invalid(why);
        }
    }
}

fn check_audiences(issuer: &Field<'_>) {
    let (audiences, policy) = (issuer.at("audiences"), issuer.at("audienceMatchPolicy"));
    let count = issuer.len("audiences");
    if count == 0 {
        return audiences.required(format!("at least one {} is required", audiences.path()));
    }
    let mut seen = HashSet::new();
    for audience in issuer.items("audiences") {
        if audience.text().is_empty() {
            audience.required("");
        }
        if !seen.insert(audience.text()) {
            audience.duplicate();
        }
    }
    match (count, policy.text()) {
        (_, "MatchAny") | (1, "") => {}
        (1, policy_text) => policy.invalid_value(
            policy_text,
            "audienceMatchPolicy must be empty or MatchAny for single audience",
        ),
        (_, policy_text) => policy.invalid_value(
            policy_text,
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
    }
}

/// Compiles an expression, whose type must be this one if there is any.
fn compile(field: &Field<'_>, env: &Env, wanted: Option<&Type>) -> Option<Program> {
    let program = match env.compile(field.text()) {
        Ok(program) => program,
        Err(why) => {
            field.invalid(why.in_full());
            return None;
        }
    };
    if let Some(wanted) = wanted
        && program.result_type() != wanted
    {
        field.invalid(format!("must evaluate to {wanted}"));
        return None;
    }
    Some(program)
}

fn check_claim_rules(jwt: &Field<'_>, mapper: &mut Mapper) {
    let (mut claims, mut expressions) = (HashSet::new(), HashSet::new());
    for rule in jwt.items("claimValidationRules") {
        let (claim, expression) = (rule.at("claim"), rule.at("expression"));
        match (claim.text(), expression.text()) {
            ("", "") => rule.required("claim or expression is required"),
            (text, "") => {
                let message = rule.at("message");
                if !message.text().is_empty() {
                    message.invalid("may not be specified when claim is set");
                }
                if !claims.insert(text) {
                    claim.duplicate();
                }
            }
            ("", text) => {
                let value = rule.at("requiredValue");
                if !value.text().is_empty() {
                    value.invalid("may not be specified when expression is set");
                }
                if !expressions.insert(text) {
                    expression.duplicate();
                    continue;
                }
                let message = rule.str("message");
                if let Some(program) = compile(&expression, &CLAIMS, Some(&Type::Bool)) {
                    mapper.claim_rules.push((program, text.into(), message.into()));
                }
            }
            (text, _) => rule.invalid_value(text, "claim and expression can't both be set"),
        }
    }
}

fn check_mappings(mappings: &Field<'_>, mapper: &mut Mapper) {
    mapper.username = check_mapping(&mappings.at("username"), true);
    mapper.groups = check_mapping(&mappings.at("groups"), false);
    let uid = mappings.at("uid");
    match (uid.str("claim"), uid.str("expression")) {
        (_, "") => {}
        ("", _) => mapper.uid = compile(&uid.at("expression"), &CLAIMS, None),
        _ => uid.invalid_value("", "claim and expression can't both be set"),
    }
    check_extra(mappings, mapper);
    let email = mapper.username.as_ref().is_some_and(|p| p.selects("claims", "email"));
    let verified = mapper.of_claims().any(|p| p.selects("claims", "email_verified"));
    if email && !verified {
        mappings.at("username").at("expression").invalid(
            "claims.email_verified must be used in claimMappings.username.expression or \
             claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when \
             claims.email is used in claimMappings.username.expression",
        );
    }
}

fn check_mapping(mapping: &Field<'_>, required: bool) -> Option<Program> {
    let (claim, expression, prefix) =
        (mapping.str("claim"), mapping.at("expression"), mapping.at("prefix"));
    match (claim, expression.text()) {
        ("", "") if required => mapping.required("claim or expression is required"),
        ("", "") => {}
        (_, "") if !mapping.has("prefix") => prefix.required(
            "prefix is required when claim is set. It can be set to an empty string to disable \
             prefixing",
        ),
        (_, "") => {}
        ("", _) => {
            if mapping.has("prefix") {
                prefix.invalid("may not be specified when expression is set");
            }
            return compile(&expression, &CLAIMS, None);
        }
        _ => mapping.invalid_value("", "claim and expression can't both be set"),
    }
    None
}

fn check_extra(mappings: &Field<'_>, mapper: &mut Mapper) {
    let mut keys = HashSet::new();
    for extra in mappings.items("extra") {
        let (key, expression) = (extra.at("key"), extra.at("valueExpression"));
        check_domain_path(&key);
        let text = key.text();
        if text != text.to_lowercase() {
            key.invalid("must be lowercase");
        }
        let domain = text.split_once('/').map_or("", |(domain, _)| domain);
        let reserved = |root: &str| {
            domain.strip_suffix(root).is_some_and(|below| below.is_empty() || below.ends_with('.'))
        };
        if reserved("kubernetes.io") || reserved("k8s.io") {
            key.invalid(
                "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
            );
        }
        if !keys.insert(text) {
            key.duplicate();
            continue;
        }
        if expression.text().is_empty() {
            expression.required("");
        } else if let Some(program) = compile(&expression, &CLAIMS, None) {
            mapper.extra.push((program, expression.text().into(), text.into()));
        }
    }
}

fn check_user_rules(jwt: &Field<'_>, mapper: &mut Mapper) {
    let mut seen = HashSet::new();
    for rule in jwt.items("userValidationRules") {
        let expression = rule.at("expression");
        if expression.text().is_empty() {
            expression.required("");
        } else if !seen.insert(expression.text()) {
            expression.duplicate();
        } else if let Some(program) = compile(&expression, &USER, Some(&Type::Bool)) {
            mapper.user_rules.push((program, expression.text().into(), rule.str("message").into()));
        }
    }
}

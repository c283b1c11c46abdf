//! The authorizers of this server, asked in turn.
//!
//! Those within this server answer at once, and so does a webhook that is not concerned or that has
//! answered a moment ago. A decision is a future that is ready then: nothing is allocated for it,
//! and who asks pays for waiting only where something is waited for.

use std::future::{Ready, ready};
use std::path::PathBuf;
use std::sync::Arc;

use apimachinery::text::aggregate;
use arc_swap::ArcSwap;
use futures::future::{BoxFuture, Either};
use parking_lot::Mutex;
use serde_json::{Value, json};
use telemetry::metrics::Counter;

use super::abac::Policies;
use super::config::{self, Configured, Mode};
use super::options::{Authorization, AuthorizationError, UnusableWebhook};
use super::rbac::{Held, Rule, Unresolved};
use super::webhook::{Question, Webhook};
use super::{Attributes, Decision, Opinion, Refusal, node};
use crate::metrics::{Authorization as Metrics, Metrics as AllMetrics};
use crate::server::Server;
use crate::user::{MASTERS, User};
use crate::watched_file::{self, WatchedFile};

/// One authorizer and its name in reasons and metrics.
struct Authorizer {
    name: String,
    by: By,
    allowed: Counter,
    denied: Counter,
}

enum By {
    Node,
    Rbac,
    AlwaysAllow,
    AlwaysDeny,
    Abac(Arc<Policies>),
    Webhook(Box<Webhook>),
}

/// All authorizers, in their order; replaced as a whole when their configuration changes.
pub(crate) struct Authorizers {
    current: ArcSwap<Vec<Authorizer>>,
    metrics: Metrics,
    /// The types that a changed configuration must still have, and no others but webhooks.
    required: Vec<Mode>,
    /// Those of ABAC.
    policies: Option<Arc<Policies>>,
    pub(super) file: Option<Arc<Applied>>,
}

/// The file of the configuration, and what of it was read last.
pub(super) struct Applied {
    pub(super) path: PathBuf,
    pub(super) file: WatchedFile,
    pub(super) text: Mutex<String>,
}

/// A decision that is ready, unless a webhook must be asked.
pub(crate) type Deciding<'a> = Either<Ready<Decision>, BoxFuture<'a, Decision>>;

/// How far the authorizers have come without waiting.
pub(crate) enum Attempt {
    Decided(Decision),
    Waits(Waiting),
}

/// A webhook's turn.
pub(crate) struct Waiting {
    authorizers: Arc<Vec<Authorizer>>,
    at: usize,
    question: Question,
    said: Said,
}

/// The words of authorizers that had no opinion.
#[derive(Default)]
struct Said {
    reasons: Vec<String>,
    errors: Vec<String>,
}

impl Said {
    /// The decision, if the opinion is one.
    fn hear(&mut self, authorizer: &Authorizer, opinion: Opinion) -> Option<Decision> {
        match opinion {
            Opinion::Allow(reason) => {
                authorizer.allowed.inc();
                Some(Decision::Allow(reason))
            }
            Opinion::Deny { reason, error } => {
                authorizer.denied.inc();
                Some(Decision::Deny(Refusal { reason, error, denied: true }))
            }
            Opinion::None { reason, error } => {
                if !reason.is_empty() {
                    self.reasons.push(format!("{}: {reason}", authorizer.name));
                }
                self.errors.extend(error);
                None
            }
        }
    }

    /// The decision when nobody had an opinion.
    fn refuse(self) -> Decision {
        let error = (!self.errors.is_empty()).then(|| aggregate(&self.errors));
        Decision::Deny(Refusal { reason: self.reasons.join("\n"), error, denied: false })
    }
}

/// Asks the authorizers from this one on, until one decides or must be waited for.
fn proceed(
    server: &Server,
    authorizers: &[Authorizer],
    from: usize,
    said: &mut Said,
    attributes: &Attributes<'_>,
) -> Result<Option<Decision>, (usize, Question)> {
    for (at, authorizer) in authorizers.iter().enumerate().skip(from) {
        let opinion = match &authorizer.by {
            By::Node => node::decide(server, attributes),
            By::Rbac => server.rbac.decide(server, attributes),
            By::AlwaysAllow => Opinion::Allow(String::new()),
            By::AlwaysDeny => Opinion::none("Everything is forbidden."),
            By::Abac(policies) => policies.decide(attributes),
            By::Webhook(webhook) => match webhook.now(attributes) {
                Ok(opinion) => opinion,
                Err(question) => return Err((at, question)),
            },
        };
        if let Some(decision) = said.hear(authorizer, opinion) {
            return Ok(Some(decision));
        }
    }
    Ok(None)
}

/// Decides as far as that takes no waiting.
pub(crate) fn attempt(server: &Server, attributes: &Attributes<'_>) -> Attempt {
    if attributes.user.in_group(MASTERS) {
        return Attempt::Decided(Decision::Allow(String::new()));
    }
    let authorizers = server.authorizers.current.load();
    let mut said = Said::default();
    match proceed(server, &authorizers, 0, &mut said, attributes) {
        Ok(decision) => Attempt::Decided(decision.unwrap_or_else(|| said.refuse())),
        Err((at, question)) => {
            let authorizers = Arc::clone(&authorizers);
            Attempt::Waits(Waiting { authorizers, at, question, said })
        }
    }
}

/// Asks the authorizers in turn; the first that allows or denies decides.
pub(crate) fn decide<'a>(server: &'a Server, attributes: Attributes<'a>) -> Deciding<'a> {
    match attempt(server, &attributes) {
        Attempt::Decided(decision) => Either::Left(ready(decision)),
        Attempt::Waits(waiting) => {
            Either::Right(Box::pin(async move { waiting.decide(server, &attributes).await }))
        }
    }
}

impl Waiting {
    /// Waits for the webhook, and asks those after it. The attributes are those of the attempt.
    pub(crate) async fn decide(self, server: &Server, attributes: &Attributes<'_>) -> Decision {
        let Self { authorizers, mut at, mut question, mut said } = self;
        loop {
            let authorizer = &authorizers[at];
            let By::Webhook(webhook) = &authorizer.by else { return said.refuse() };
            let opinion = webhook.ask(server, question).await;
            if let Some(decision) = said.hear(authorizer, opinion) {
                return decision;
            }
            match proceed(server, &authorizers, at + 1, &mut said, attributes) {
                Ok(decision) => return decision.unwrap_or_else(|| said.refuse()),
                Err(next) => (at, question) = next,
            }
        }
    }
}

impl Authorizers {
    /// Checks the options and reads their files.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn new(
        options: &Authorization,
        metrics: &AllMetrics,
    ) -> Result<Self, AuthorizationError> {
        options.check()?;
        let (configured, file) = match &options.config_file {
            None => (options.configured()?, None),
            Some(path) => {
                let shown = path.display().to_string();
                let unreadable = |why| AuthorizationError::File(shown.clone(), why);
                // Watched before it is read, so that no change is missed.
                let file = WatchedFile::open(path).map_err(unreadable)?;
                let text = watched_file::read(path).map_err(unreadable)?;
                let configured = config::read(&text, &[])?;
                metrics.authorization_reloads.in_force(&text);
                let applied = Applied { path: path.clone(), file, text: Mutex::new(text) };
                (configured, Some(Arc::new(applied)))
            }
        };
        let modes = configured.iter().map(|c| c.mode);
        let required: Vec<Mode> = modes.filter(|mode| *mode != Mode::Webhook).collect();
        if required.contains(&Mode::AlwaysAllow) {
            tracing::warn!("the authorizer AlwaysAllow allows everybody everything");
        }
        let metrics = metrics.authorization.clone();
        let policies = match (&options.policy_file, required.contains(&Mode::Abac)) {
            (Some(path), true) => Some(Arc::new(Policies::read(path)?)),
            (None, true) => return Err(AuthorizationError::NoPolicyFile),
            (_, false) => None,
        };
        let current = ArcSwap::from_pointee(Vec::new());
        let made = Self { current, metrics, required, policies, file };
        made.current.store(Arc::new(made.make(configured)?));
        Ok(made)
    }

    /// Puts a changed configuration in force.
    pub(super) fn replace(&self, text: &str) -> Result<(), AuthorizationError> {
        let configured = config::read(text, &self.required)?;
        let authorizers = self.make(configured)?;
        self.metrics.retain(authorizers.iter().map(|authorizer| authorizer.name.as_str()));
        self.current.store(Arc::new(authorizers));
        Ok(())
    }

    /// The rules of a user in a namespace, as the status of a SelfSubjectRulesReview.
    pub(crate) fn rules_for(&self, server: &Server, user: &User, namespace: &str) -> Value {
        let (mut resource, mut other, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let mut incomplete = false;
        for authorizer in self.current.load().iter() {
            match &authorizer.by {
                // The rights of a node beyond its role depend on its pods.
                By::Node if user.node().is_some() => {
                    incomplete = true;
                    errors.push("node authorizer does not support user rule resolution".to_owned());
                }
                By::Node | By::AlwaysDeny => {}
                By::AlwaysAllow => {
                    resource.push(Rule::everything().to_resource_rule());
                    other.push(Rule::every_path().to_path_rule());
                }
                By::Rbac => {
                    let Held { rules, unresolved } = server.rbac.held(server, user, namespace);
                    for rule in &rules {
                        match rule.paths.is_empty() {
                            true => resource.push(rule.to_resource_rule()),
                            false => other.push(rule.to_path_rule()),
                        }
                    }
                    errors.extend(unresolved.iter().map(Unresolved::to_authorizer));
                }
                By::Abac(policies) => {
                    let (of_resources, of_paths) = policies.rules_for(user, namespace);
                    resource.extend(of_resources);
                    other.extend(of_paths);
                }
                By::Webhook(_) => {
                    incomplete = true;
                    let why = "webhook authorizer does not support user rule resolution";
                    errors.push(why.to_owned());
                }
            }
        }
        let mut status =
            json!({"resourceRules": resource, "nonResourceRules": other, "incomplete": incomplete});
        if !errors.is_empty() {
            status["evaluationError"] = aggregate(&errors).into();
        }
        status
    }

    /// The authorizers of a configuration, of the types that there were at the start and webhooks.
    fn make(&self, configured: Vec<Configured>) -> Result<Vec<Authorizer>, AuthorizationError> {
        let metrics = &self.metrics;
        let make = |configured: Configured| {
            let Configured { mode, name, webhook } = configured;
            let enabled = self.required.contains(&mode);
            let by = match (mode, webhook) {
                (Mode::Webhook, Some(configuration)) => {
                    let webhook = Webhook::new(&name, configuration, &metrics.webhooks);
                    By::Webhook(Box::new(webhook.map_err(UnusableWebhook::from)?))
                }
                (Mode::AlwaysAllow, _) if enabled => By::AlwaysAllow,
                (Mode::AlwaysDeny, _) if enabled => By::AlwaysDeny,
                (Mode::Node, _) if enabled => By::Node,
                (Mode::Rbac, _) if enabled => By::Rbac,
                (mode, _) => match self.policies.clone().filter(|_| mode == Mode::Abac) {
                    Some(policies) => By::Abac(policies),
                    None => return Err(AuthorizationError::NotEnabled(mode.name())),
                },
            };
            let counter = |decision| metrics.decisions(mode.name(), &name, decision);
            let [allowed, denied] = ["allowed", "denied"].map(counter);
            Ok(Authorizer { name, by, allowed, denied })
        };
        configured.into_iter().map(make).collect()
    }
}

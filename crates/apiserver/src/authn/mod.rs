//! Authentication: the sender of a request, by its certificate, a front proxy or a token, in
//! upstream's order; and impersonation.
//!
//! Authenticators of this server answer at once. Only then an issuer of tokens is asked, whose keys
//! may have to be fetched, or a webhook.

mod authorities;
mod bearer;
mod bootstrap_token;
mod certificate;
mod config;
mod impersonation;
mod jwt;
mod options;
mod reload;
mod request_header;
mod secret_token;
mod service_account;
mod token_file;
mod webhook;

use std::sync::Arc;

use apimachinery::Status;
use apimachinery::text::aggregate;
use http::Request;
use tokio::sync::watch;

use crate::body::Body;
use crate::metrics::Metrics;
use crate::server::Server;
use crate::user::User;
use crate::watched_file;

use authorities::Authorities;
use config::{Anonymous, ConfigError, Configuration};
use impersonation::LastModes;
use jwt::{Issuer, Issuers};
use request_header::FrontProxies;
use token_file::TokenFile;
use webhook::TokenWebhook;

pub use config::ConfigError as AuthenticationConfigError;
pub use jwt::Unusable as UnusableIssuer;
pub use options::{Authentication, Oidc, OptionsError, TokenWebhook as TokenWebhookOptions};
pub use request_header::RequestHeader;

pub(crate) use authorities::{Trusted, run as follow_authorities};
pub(crate) use certificate::Presented;
pub(crate) use impersonation::{Wanted, impersonate, wanted};
pub(crate) use reload::run as reload;
pub(crate) use secret_token::{Uses, track, tracking, uses};

/// The client certificate of a connection, which is not verified.
#[derive(Clone)]
pub(crate) struct Peer(pub(crate) Option<Arc<Presented>>);

/// The outcome of authenticating a token.
pub(crate) enum TokenOutcome {
    /// Valid for these of the requested audiences.
    Valid(User, Vec<String>),
    Invalid(String),
    /// No authenticator recognizes it.
    Unknown,
}

/// All authenticators and what they are configured with.
pub(crate) struct Authenticators {
    authorities: Arc<Authorities>,
    proxies: FrontProxies,
    tokens: TokenFile,
    bootstrap_tokens: bool,
    issuers: Issuers,
    webhook: Option<Arc<TokenWebhook>>,
    anonymous: Anonymous,
    /// The audiences of this server.
    audiences: Vec<String>,
    /// The issuers of its own tokens.
    own_issuers: Vec<String>,
    file: Option<Arc<reload::Applied>>,
    last_modes: LastModes,
}

impl Authenticators {
    /// The authorities of client certificates, now and later.
    pub(crate) fn trusted(&self) -> watch::Receiver<Trusted> {
        self.authorities.trusted()
    }

    /// Checks the options and reads their files.
    ///
    /// # Errors
    /// They cannot be used.
    pub(crate) fn new(
        options: &Authentication,
        client_ca: &str,
        signer: &pki::Signer,
        metrics: &Metrics,
    ) -> Result<Self, OptionsError> {
        let own_issuers = signer.issuers().to_vec();
        let (configuration, file) = configuration(options, &own_issuers, metrics)?;
        let audiences = match &options.api_audiences[..] {
            [] => own_issuers.clone(),
            audiences => audiences.to_vec(),
        };
        let allowed =
            Anonymous { enabled: options.anonymous_auth != Some(false), conditions: vec![] };
        let webhook = options.token_webhook.as_ref();
        let webhook = webhook.map(|options| TokenWebhook::new(options, &metrics.token_cache));
        let read = |path: &std::path::PathBuf| TokenFile::read(path);
        let made = Self {
            authorities: Arc::new(Authorities::new(options, client_ca)?),
            proxies: FrontProxies::new(&options.request_header)?,
            tokens: options.token_file.as_ref().map(read).transpose()?.unwrap_or_default(),
            bootstrap_tokens: options.bootstrap_tokens,
            issuers: Issuers::default(),
            webhook: webhook.transpose()?.map(Arc::new),
            anonymous: configuration.0.anonymous.clone().unwrap_or(allowed),
            audiences,
            own_issuers,
            file: file.map(Arc::new),
            last_modes: LastModes::default(),
        };
        let algorithms = match &options.oidc {
            Some(oidc) if options.config_file.is_none() => oidc.signing_algs.clone(),
            _ => options::all_algorithms(),
        };
        let (configuration, mappers) = configuration;
        made.issuers.replace(jwt::issuers(&configuration, mappers, &algorithms, &metrics.jwt)?);
        Ok(made)
    }
}

/// The configuration of the file or of the flags, with the expressions of its issuers.
type Configured = (Configuration, Vec<config::Mapper>);

fn configuration(
    options: &Authentication,
    own_issuers: &[String],
    metrics: &Metrics,
) -> Result<(Configured, Option<reload::Applied>), OptionsError> {
    if let Some(oidc) = &options.oidc {
        oidc.check()?;
    }
    let Some(path) = &options.config_file else {
        let Some(oidc) = &options.oidc else { return Ok((Configured::default(), None)) };
        let configuration = oidc.to_configuration()?;
        config::check_flags(&oidc.issuer_url, own_issuers)?;
        return Ok(((configuration, vec![config::Mapper::default()]), None));
    };
    if options.oidc.is_some() {
        return Err(OptionsError::ConfigAndOidc);
    }
    let shown = path.display().to_string();
    let unusable = |why: ConfigError| match why {
        ConfigError::Invalid(_) => OptionsError::Invalid(why),
        _ => OptionsError::Config(shown.clone(), why),
    };
    let text = watched_file::read(path)
        .map_err(|why| unusable(ConfigError::Malformed(why.to_string())))?;
    let value = config::decode(&text).map_err(unusable)?;
    let twice = options.anonymous_auth.is_some() && value.get("anonymous").is_some();
    let forbidden = twice.then(|| {
        config::anonymous_forbidden(
            "--anonymous-auth flag cannot be set when anonymous field is configured in \
             authentication configuration file",
        )
    });
    let configured = config::read(&value, own_issuers, forbidden).map_err(unusable)?;
    metrics.authentication_reloads.in_force(&text);
    let applied = reload::Applied::new(path, text, configured.0.anonymous.clone())
        .map_err(|why| OptionsError::File(shown, why.to_string()))?;
    Ok((configured, Some(applied)))
}

/// How far the authenticators of this server have come with a request.
pub(crate) enum Attempt {
    Done(Result<User, Status>),
    /// Another decides.
    Ask(Question),
}

/// A token that another may know, when nothing else has authenticated the request.
pub(crate) struct Question {
    whom: Whom,
    token: String,
}

enum Whom {
    Issuer(Arc<Issuer>),
    Webhook(Arc<TokenWebhook>),
}

fn unauthorized(why: &str) -> Status {
    tracing::debug!(why, "request not authenticated");
    Status::unauthorized("Unauthorized")
}

impl Question {
    /// The user by its word.
    pub(crate) async fn ask(self, server: &Arc<Server>) -> Result<User, Status> {
        match self.whom {
            Whom::Issuer(issuer) => {
                let user = issuer.authenticate(&self.token).await;
                user.map(User::with_standing).map_err(|why| unauthorized(&why.to_string()))
            }
            Whom::Webhook(asked) => {
                match webhook::authenticate(server, &asked, &self.token, &[]).await {
                    TokenOutcome::Valid(user, _) => Ok(user),
                    TokenOutcome::Invalid(why) => Err(unauthorized(&why)),
                    TokenOutcome::Unknown => Err(unauthorized("invalid bearer token")),
                }
            }
        }
    }
}

/// Returns the sender. Without credentials it is anonymous and may read health and discovery.
pub(crate) fn authenticate(server: &Server, request: &Request<Body>) -> Attempt {
    let (authn, headers) = (&server.authn, request.headers());
    let mut failed = None;
    if let Some(Peer(Some(presented))) = request.extensions().get::<Peer>() {
        let proxies = authn.authorities.proxies.as_ref();
        if let Some(user) = authn.proxies.user(proxies, presented, headers) {
            return Attempt::Done(Ok(user));
        }
        server.metrics.access.certificate(presented.certificate.remaining());
        // The connection outlives the certificate; its rights do not.
        match authn.authorities.users.verifies(presented) {
            true => {
                if let Some(user) = certificate::user(&presented.certificate) {
                    return Attempt::Done(Ok(user));
                }
            }
            false => failed = Some("verifying certificate failed".to_owned()),
        }
    }
    let of_protocols = match bearer::of_protocols(headers) {
        Ok(found) => found.map(|(token, _)| token),
        Err(why) => {
            failed = Some(why.to_string());
            None
        }
    };
    let tokens = bearer::of_header(headers).map(str::to_owned).into_iter().chain(of_protocols);
    for token in tokens {
        match local(server, &token, &[]) {
            TokenOutcome::Valid(user, _) => return Attempt::Done(Ok(user)),
            TokenOutcome::Invalid(why) => failed = Some(why),
            TokenOutcome::Unknown => {
                failed = Some("invalid bearer token".to_owned());
                if let (None, Some(webhook)) = (authn.issuers.of(&token), &authn.webhook) {
                    return Attempt::Ask(Question { whom: Whom::Webhook(webhook.clone()), token });
                }
            }
        }
        if let Some(issuer) = authn.issuers.of(&token) {
            return Attempt::Ask(Question { whom: Whom::Issuer(issuer), token });
        }
    }
    let path = request.uri().path();
    let anonymous = &authn.anonymous;
    let paths = &anonymous.conditions;
    Attempt::Done(match failed {
        Some(why) => Err(unauthorized(&why)),
        None if !anonymous.enabled => Err(unauthorized("anonymous requests are not allowed")),
        None if paths.is_empty() || paths.iter().any(|allowed| allowed.path == path) => {
            Ok(User::anonymous())
        }
        None => Err(unauthorized("anonymous requests are not allowed for this path")),
    })
}

/// Removes the credentials of an authenticated request, so that nothing passes them on.
pub(crate) fn clear_credentials(server: &Server, request: &mut Request<Body>) {
    bearer::clear(request.headers_mut());
    server.authn.proxies.clear(request.headers_mut());
}

/// Those of the audiences of this server that are asked for; none asks for all.
fn for_this_server(server: &Server, audiences: &[String]) -> Vec<String> {
    let ours = &server.authn.audiences;
    let wanted = |ours: &&String| audiences.is_empty() || audiences.contains(ours);
    ours.iter().filter(wanted).cloned().collect()
}

/// Authenticates a token for one of `audiences`; none means this server.
pub(crate) async fn token(server: &Arc<Server>, token: &str, audiences: &[String]) -> TokenOutcome {
    let own = local(server, token, audiences);
    if matches!(own, TokenOutcome::Valid(..)) {
        return own;
    }
    let issuer = server.authn.issuers.of(token);
    if let (TokenOutcome::Unknown, None, Some(asked)) = (&own, &issuer, &server.authn.webhook) {
        return webhook::authenticate(server, asked, token, audiences).await;
    }
    let good = for_this_server(server, audiences);
    let Some(issuer) = issuer.filter(|_| !good.is_empty()) else { return own };
    match (issuer.authenticate(token).await, own) {
        (Ok(user), _) => TokenOutcome::Valid(user.with_standing(), good),
        (Err(why), TokenOutcome::Invalid(before)) => {
            TokenOutcome::Invalid(aggregate(&[before, why.to_string()]))
        }
        (Err(why), _) => TokenOutcome::Invalid(why.to_string()),
    }
}

/// The same, by the authenticators that know all they need.
fn local(server: &Server, token: &str, audiences: &[String]) -> TokenOutcome {
    let authn = &server.authn;
    let good = for_this_server(server, audiences);
    if !good.is_empty()
        && let Some(user) = authn.tokens.user(token)
    {
        return TokenOutcome::Valid(user.clone(), good);
    }
    let outcome = match pki::is_of_secret(token) {
        true => secret_token::authenticate(server, token, audiences),
        false => service_account::authenticate(server, token, audiences),
    };
    if !matches!(outcome, TokenOutcome::Valid(..))
        && authn.bootstrap_tokens
        && !good.is_empty()
        && let Some(user) = bootstrap_token::authenticate(server, token)
    {
        return TokenOutcome::Valid(user, good);
    }
    outcome
}

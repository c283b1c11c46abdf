//! Options of authorization, and why they cannot be used.

use std::path::PathBuf;
use std::time::Duration;

use super::abac::PolicyFileError;
use super::config::{AuthorizationConfigError, Configured, Mode, REVIEWS, WebhookConfiguration};
use super::webhook::Conditions;
use crate::webhook::Unusable;

/// The name of the webhook that flags configure.
const DEFAULT_NAME: &str = "default";
/// The time for its answers (upstream's number).
const PATIENCE: Duration = Duration::from_secs(30);

/// Options of authorization, named after upstream's flags. Those that are left out are as upstream's
/// but for the modes: the node authorizer and RBAC.
#[derive(Clone, Debug, Default)]
pub struct Authorization {
    /// `--authorization-config`, instead of all others.
    pub config_file: Option<PathBuf>,
    /// `--authorization-mode`.
    pub modes: Option<Vec<String>>,
    /// `--authorization-policy-file`: policies of the mode ABAC.
    pub policy_file: Option<PathBuf>,
    /// `--authorization-webhook-config-file`: a kubeconfig.
    pub webhook_config_file: Option<PathBuf>,
    /// `--authorization-webhook-version`.
    pub webhook_version: Option<String>,
    /// `--authorization-webhook-cache-authorized-ttl`.
    pub webhook_cache_authorized_ttl: Option<Duration>,
    /// `--authorization-webhook-cache-unauthorized-ttl`.
    pub webhook_cache_unauthorized_ttl: Option<Duration>,
}

impl Authorization {
    /// Returns true if the flags let everybody do everything.
    pub(crate) fn allows_everybody(&self) -> bool {
        self.modes.iter().flatten().any(|mode| mode == "AlwaysAllow")
    }
}

/// Why the options of authorization cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// A configuration, and flags that say the same.
    #[error(
        "--authorization-config can not be specified when --authorization-mode or \
         --authorization-webhook-* flags are defined"
    )]
    ConfigAndFlags,
    /// No modes.
    #[error("at least one authorization-mode must be passed")]
    NoMode,
    /// A mode that there is none of.
    #[error("authorization-mode {0:?} is not a valid mode")]
    UnknownMode(String),
    /// Policies that are nowhere.
    #[error("authorization-mode ABAC's authorization policy file not passed")]
    NoPolicyFile,
    /// Policies that nobody asks.
    #[error("cannot specify --authorization-policy-file without mode ABAC")]
    NoPolicyMode,
    /// The policies.
    #[error(transparent)]
    Policies(#[from] PolicyFileError),
    /// The same mode again.
    #[error("authorization-mode {0:?} has mode specified more than once")]
    ModeTwice(Vec<String>),
    /// A webhook that is nowhere.
    #[error("authorization-mode Webhook's authorization config file not passed")]
    NoWebhookFile,
    /// A webhook that nobody asks.
    #[error("cannot specify --authorization-webhook-config-file without mode Webhook")]
    NoWebhookMode,
    /// A version of reviews that there is none of.
    #[error(
        "unsupported webhook authorizer version {0:?}, supported versions are \"v1\", \"v1beta1\""
    )]
    Version(String),
    /// The file of a webhook.
    #[error(transparent)]
    Webhook(#[from] UnusableWebhook),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] AuthorizationConfigError),
    /// An authorizer that was not there when the server started.
    #[error("authorizer type {0} is not allowed if it was not enabled at initial server startup")]
    NotEnabled(&'static str),
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
}

/// The kubeconfig of a webhook cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct UnusableWebhook(#[from] Unusable);

impl Authorization {
    fn has_flags(&self) -> bool {
        self.modes.is_some()
            || self.webhook_config_file.is_some()
            || self.webhook_version.is_some()
            || self.webhook_cache_authorized_ttl.is_some()
            || self.webhook_cache_unauthorized_ttl.is_some()
    }

    /// Refuses flags beside a configuration.
    pub(super) fn check(&self) -> Result<(), AuthorizationError> {
        match self.config_file.is_some() && self.has_flags() {
            true => Err(AuthorizationError::ConfigAndFlags),
            false => Ok(()),
        }
    }

    /// The authorizers that the flags say.
    pub(super) fn configured(&self) -> Result<Vec<Configured>, AuthorizationError> {
        let Some(names) = &self.modes else {
            return match (self.has_flags(), &self.policy_file) {
                (true, _) => Err(AuthorizationError::NoWebhookMode),
                (_, Some(_)) => Err(AuthorizationError::NoPolicyMode),
                _ => Ok([Mode::Node, Mode::Rbac].map(plain).into()),
            };
        };
        if names.is_empty() {
            return Err(AuthorizationError::NoMode);
        }
        let mut modes = Vec::new();
        for name in names {
            let unknown = || AuthorizationError::UnknownMode(name.clone());
            let mode = Mode::of(name).ok_or_else(unknown)?;
            if modes.contains(&mode) {
                return Err(AuthorizationError::ModeTwice(names.clone()));
            }
            modes.push(mode);
        }
        match (&self.policy_file, modes.contains(&Mode::Abac)) {
            (None, true) => return Err(AuthorizationError::NoPolicyFile),
            (Some(_), false) => return Err(AuthorizationError::NoPolicyMode),
            _ => {}
        }
        if self.webhook_config_file.is_some() && !modes.contains(&Mode::Webhook) {
            return Err(AuthorizationError::NoWebhookMode);
        }
        let of = |mode| match mode {
            Mode::Webhook => {
                let webhook = Some(self.webhook()?);
                Ok(Configured { mode, name: DEFAULT_NAME.to_owned(), webhook })
            }
            mode => Ok(plain(mode)),
        };
        modes.into_iter().map(of).collect()
    }

    fn webhook(&self) -> Result<WebhookConfiguration, AuthorizationError> {
        let file = self.webhook_config_file.clone().ok_or(AuthorizationError::NoWebhookFile)?;
        let version = self.webhook_version.as_deref().unwrap_or("v1beta1");
        let known = REVIEWS.into_iter().find(|known| *known == version);
        let minutes = Duration::from_secs(300);
        Ok(WebhookConfiguration {
            authorized_ttl: self.webhook_cache_authorized_ttl.unwrap_or(minutes),
            unauthorized_ttl: self
                .webhook_cache_unauthorized_ttl
                .unwrap_or(Duration::from_secs(30)),
            timeout: PATIENCE,
            version: known.ok_or_else(|| AuthorizationError::Version(version.to_owned()))?,
            denies_on_failure: false,
            kubeconfig: file,
            conditions: Conditions::default(),
        })
    }
}

/// An authorizer without a configuration.
fn plain(mode: Mode) -> Configured {
    Configured { mode, name: mode.name().to_lowercase(), webhook: None }
}

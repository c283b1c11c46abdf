//! Options of authorization.

use std::path::PathBuf;
use std::time::Duration;

use apiserver::Authorization;

use crate::audit_args::duration;

/// The authorizers, by upstream's flags.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Authorization")]
pub(crate) struct AuthorizationArgs {
    /// File with an AuthorizationConfiguration, instead of the other options; read again when it
    /// changes.
    #[arg(long)]
    authorization_config: Option<PathBuf>,
    /// Those that are asked in turn: Node, RBAC, Webhook, ABAC, AlwaysAllow or AlwaysDeny; Node,RBAC
    /// if left out.
    #[arg(long, value_delimiter = ',')]
    authorization_mode: Option<Vec<String>>,
    /// File of ABAC policies, one a line; read at the start.
    #[arg(long)]
    authorization_policy_file: Option<PathBuf>,
    /// Kubeconfig of the webhook that the mode Webhook asks.
    #[arg(long)]
    authorization_webhook_config_file: Option<PathBuf>,
    /// Version of SubjectAccessReview that it reads: v1, or v1beta1 if left out.
    #[arg(long)]
    authorization_webhook_version: Option<String>,
    /// How long its answers are believed that allow; 5m if left out, 0s for not at all.
    #[arg(long, value_parser = duration)]
    authorization_webhook_cache_authorized_ttl: Option<Duration>,
    /// How long the others are believed; 30s if left out, 0s for not at all.
    #[arg(long, value_parser = duration)]
    authorization_webhook_cache_unauthorized_ttl: Option<Duration>,
}

impl AuthorizationArgs {
    /// The options as the API server takes them.
    pub(crate) fn options(&self) -> Authorization {
        Authorization {
            config_file: self.authorization_config.clone(),
            modes: self.authorization_mode.clone(),
            policy_file: self.authorization_policy_file.clone(),
            webhook_config_file: self.authorization_webhook_config_file.clone(),
            webhook_version: self.authorization_webhook_version.clone(),
            webhook_cache_authorized_ttl: self.authorization_webhook_cache_authorized_ttl,
            webhook_cache_unauthorized_ttl: self.authorization_webhook_cache_unauthorized_ttl,
        }
    }
}

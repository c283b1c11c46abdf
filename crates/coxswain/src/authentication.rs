//! Options of authentication.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use apiserver::{Authentication, Oidc, RequestHeader, TokenWebhookOptions};

use crate::audit_args::duration;
use crate::dir::Identities;

/// How senders of requests to the API server are authenticated, by upstream's flags.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Authentication")]
pub(crate) struct AuthenticationArgs {
    /// Allows requests without credentials; true if left out.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    anonymous_auth: Option<bool>,
    /// Identifiers of the API in tokens; the issuers of service account tokens if left out.
    #[arg(long, value_delimiter = ',')]
    api_audiences: Vec<String>,
    /// File with an AuthenticationConfiguration; read again when it changes.
    #[arg(long)]
    authentication_config: Option<PathBuf>,
    /// Accepts the tokens in Secrets of type bootstrap.kubernetes.io/token in kube-system.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          default_value_t = false, action = clap::ArgAction::Set)]
    enable_bootstrap_token_auth: bool,
    /// File of lines with a token, the user's name, uid and groups; read at the start.
    #[arg(long)]
    token_auth_file: Option<PathBuf>,
    /// PEM file with public keys (or private ones, or certificates) of other signers of service
    /// account tokens; may be given several times.
    #[arg(long)]
    service_account_key_file: Vec<PathBuf>,
    /// Issuer of service account tokens; the first of several is in new tokens, and the tokens of
    /// all are accepted.
    #[arg(long)]
    service_account_issuer: Vec<String>,
    /// Further authorities of users' certificates; read again when the file changes.
    #[arg(long)]
    client_ca_file: Option<PathBuf>,
    #[command(flatten)]
    webhook: TokenWebhookArgs,
    #[command(flatten)]
    proxy: ProxyHeaderArgs,
    #[command(flatten)]
    oidc: OidcArgs,
}

#[derive(clap::Args, Clone, Debug)]
struct TokenWebhookArgs {
    /// Kubeconfig of a webhook that is asked about tokens that are not known here.
    #[arg(long)]
    authentication_token_webhook_config_file: Option<PathBuf>,
    /// Version of TokenReview that it reads: v1 or v1beta1.
    #[arg(long, default_value = "v1beta1")]
    authentication_token_webhook_version: String,
    /// How long its answers are believed.
    #[arg(long, default_value = "2m", value_parser = duration)]
    authentication_token_webhook_cache_ttl: Duration,
}

impl Default for TokenWebhookArgs {
    fn default() -> Self {
        Self {
            authentication_token_webhook_config_file: None,
            authentication_token_webhook_version: "v1beta1".to_owned(),
            authentication_token_webhook_cache_ttl: Duration::from_secs(120),
        }
    }
}

impl TokenWebhookArgs {
    fn options(&self) -> Option<TokenWebhookOptions> {
        let config_file = self.authentication_token_webhook_config_file.clone()?;
        Some(TokenWebhookOptions {
            config_file,
            version: self.authentication_token_webhook_version.clone(),
            cache_ttl: self.authentication_token_webhook_cache_ttl,
        })
    }
}

#[derive(clap::Args, Clone, Debug, Default)]
struct ProxyHeaderArgs {
    /// Authority of the certificates of proxies that say in headers who asks.
    #[arg(long)]
    requestheader_client_ca_file: Option<PathBuf>,
    /// Common names of such proxies; all of the authority if left out.
    #[arg(long, value_delimiter = ',')]
    requestheader_allowed_names: Vec<String>,
    /// Headers with the name of the user, such as X-Remote-User.
    #[arg(long, value_delimiter = ',')]
    requestheader_username_headers: Vec<String>,
    /// Headers with its uid, such as X-Remote-Uid.
    #[arg(long, value_delimiter = ',')]
    requestheader_uid_headers: Vec<String>,
    /// Headers with its groups, such as X-Remote-Group.
    #[arg(long, value_delimiter = ',')]
    requestheader_group_headers: Vec<String>,
    /// Beginnings of headers with its other attributes, such as X-Remote-Extra-.
    #[arg(long, value_delimiter = ',')]
    requestheader_extra_headers_prefix: Vec<String>,
}

#[derive(clap::Args, Clone, Debug, Default)]
struct OidcArgs {
    /// URL of an OpenID issuer, by https.
    #[arg(long)]
    oidc_issuer_url: Option<String>,
    /// Audience that its tokens must name.
    #[arg(long)]
    oidc_client_id: Option<String>,
    /// Authority of the issuer's certificate; the machine's own if left out.
    #[arg(long)]
    oidc_ca_file: Option<PathBuf>,
    /// Claim with the name of the user; sub if left out.
    #[arg(long)]
    oidc_username_claim: Option<String>,
    /// Goes before names; - for nothing. The issuer if left out, unless the claim is email.
    #[arg(long, allow_hyphen_values = true)]
    oidc_username_prefix: Option<String>,
    /// Claim with the groups, a text or a list of texts.
    #[arg(long)]
    oidc_groups_claim: Option<String>,
    /// Goes before groups.
    #[arg(long)]
    oidc_groups_prefix: Option<String>,
    /// Asymmetric algorithms of signatures; RS256 if left out.
    #[arg(long, value_delimiter = ',')]
    oidc_signing_algs: Vec<String>,
    /// A claim=value that tokens must have; may be given several times.
    #[arg(long)]
    oidc_required_claim: Vec<String>,
}

impl OidcArgs {
    fn options(&self) -> Result<Option<Oidc>> {
        let given = [
            self.oidc_issuer_url.is_some(),
            self.oidc_client_id.is_some(),
            self.oidc_ca_file.is_some(),
            self.oidc_username_claim.is_some(),
            self.oidc_username_prefix.is_some(),
            self.oidc_groups_claim.is_some(),
            self.oidc_groups_prefix.is_some(),
            !self.oidc_signing_algs.is_empty(),
            !self.oidc_required_claim.is_empty(),
        ];
        if !given.contains(&true) {
            return Ok(None);
        }
        let mut required_claims = BTreeMap::new();
        for pair in &self.oidc_required_claim {
            let Some((claim, value)) = pair.split_once('=') else {
                bail!("--oidc-required-claim {pair}: malformed pair, expect string=string");
            };
            required_claims.insert(claim.trim().to_owned(), value.trim().to_owned());
        }
        let text = |option: &Option<String>| option.clone().unwrap_or_default();
        let or = |found: Vec<String>, default: &str| {
            if found.is_empty() { vec![default.to_owned()] } else { found }
        };
        Ok(Some(Oidc {
            ca_file: self.oidc_ca_file.clone(),
            client_id: text(&self.oidc_client_id),
            issuer_url: text(&self.oidc_issuer_url),
            username_claim: self.oidc_username_claim.clone().unwrap_or_else(|| "sub".to_owned()),
            username_prefix: text(&self.oidc_username_prefix),
            groups_claim: text(&self.oidc_groups_claim),
            groups_prefix: text(&self.oidc_groups_prefix),
            signing_algs: or(self.oidc_signing_algs.clone(), "RS256"),
            required_claims,
        }))
    }
}

impl AuthenticationArgs {
    /// The options as the API server takes them.
    fn options(&self) -> Result<Authentication> {
        let proxy = &self.proxy;
        Ok(Authentication {
            anonymous_auth: self.anonymous_auth,
            api_audiences: self.api_audiences.clone(),
            config_file: self.authentication_config.clone(),
            bootstrap_tokens: self.enable_bootstrap_token_auth,
            token_file: self.token_auth_file.clone(),
            request_header: RequestHeader {
                client_ca_file: proxy.requestheader_client_ca_file.clone(),
                allowed_names: proxy.requestheader_allowed_names.clone(),
                username_headers: proxy.requestheader_username_headers.clone(),
                uid_headers: proxy.requestheader_uid_headers.clone(),
                group_headers: proxy.requestheader_group_headers.clone(),
                extra_headers_prefix: proxy.requestheader_extra_headers_prefix.clone(),
            },
            oidc: self.oidc.options()?,
            client_ca_file: self.client_ca_file.clone(),
            token_webhook: self.webhook.options(),
        })
    }

    /// Puts the options in force.
    pub(crate) fn apply(&self, ids: &mut Identities) -> Result<()> {
        ids.authentication = self.options()?;
        let mut seen = HashSet::new();
        for issuer in &self.service_account_issuer {
            if issuer.is_empty() {
                bail!("service-account-issuer should not be an empty string");
            }
            if !seen.insert(issuer) {
                bail!("service-account-issuer {issuer:?} is already specified");
            }
        }
        let signer = (*ids.signer).clone().with_issuers(&self.service_account_issuer);
        ids.signer = Arc::new(signer.also_verify(&self.service_account_key_file)?);
        Ok(())
    }
}

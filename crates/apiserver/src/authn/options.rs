//! Options of authentication, and why they cannot be used.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::config::{
    ClaimMappings, ClaimRule, ConfigError, Configuration, Issuer, JwtAuthenticator, Mapping,
};
use super::jwt::Unusable;
use super::request_header::RequestHeader;
use crate::watched_file;

/// Options of authentication, named after upstream's flags.
#[derive(Clone, Debug, Default)]
pub struct Authentication {
    /// `--anonymous-auth`; true if left out.
    pub anonymous_auth: Option<bool>,
    /// `--api-audiences`; the issuers of service account tokens if there are none.
    pub api_audiences: Vec<String>,
    /// `--authentication-config`.
    pub config_file: Option<PathBuf>,
    /// `--enable-bootstrap-token-auth`.
    pub bootstrap_tokens: bool,
    /// `--token-auth-file`.
    pub token_file: Option<PathBuf>,
    /// `--requestheader-*`.
    pub request_header: RequestHeader,
    /// `--oidc-*`, if any of them is given.
    pub oidc: Option<Oidc>,
    /// `--client-ca-file`: further authorities of users' certificates.
    pub client_ca_file: Option<PathBuf>,
    /// `--authentication-token-webhook-*`, if there is a webhook.
    pub token_webhook: Option<TokenWebhook>,
}

/// A webhook that knows tokens (`--authentication-token-webhook-*`).
#[derive(Clone, Debug)]
pub struct TokenWebhook {
    /// Kubeconfig of the webhook.
    pub config_file: PathBuf,
    /// Version of TokenReview that it reads.
    pub version: String,
    /// How long its answers are believed.
    pub cache_ttl: Duration,
}

/// An issuer of tokens by flags (`--oidc-*`).
#[derive(Clone, Debug)]
pub struct Oidc {
    /// Authority of the issuer; the machine's own if left out.
    pub ca_file: Option<PathBuf>,
    /// Audience of the tokens.
    pub client_id: String,
    /// The issuer.
    pub issuer_url: String,
    /// Claim with the name of the user.
    pub username_claim: String,
    /// Goes before names; `-` for nothing, and the issuer if empty.
    pub username_prefix: String,
    /// Claim with the groups.
    pub groups_claim: String,
    /// Goes before groups.
    pub groups_prefix: String,
    /// Algorithms of signatures.
    pub signing_algs: Vec<String>,
    /// Claims that must have these values.
    pub required_claims: BTreeMap<String, String>,
}

/// Why the options of authentication cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// A file cannot be read, or what it holds.
    #[error("{0}: {1}")]
    File(String, String),
    /// Lines of a token file are too short.
    #[error(
        "token file '{path}' must have at least 3 columns (token, user name, user uid), found \
         {found}"
    )]
    TokenColumns {
        /// The file.
        path: String,
        /// Columns of the line.
        found: usize,
    },
    /// A header without a name.
    #[error("empty value in {0:?}")]
    EmptyName(&'static str),
    /// The header that aggregated API servers send is not among those that are read.
    #[error(
        "--requestheader-uid-headers is set without specifying the standard X-Remote-Uid header - \
         API aggregation will not work"
    )]
    NoStandardUid,
    /// Every user could say that it is another.
    #[error(
        "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; \
         --requestheader-allowed-names must be specified to ensure regular client certificates \
         cannot set authenticating proxy headers for arbitrary users"
    )]
    Overlap,
    /// One of two flags without the other.
    #[error(
        "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"
    )]
    OidcIncomplete,
    /// An algorithm that is no asymmetric one, or that cannot be verified here.
    #[error("oidc: unsupported signing alg: {0:?}")]
    Algorithm(String),
    /// Issuers in a file and by flags.
    #[error("authentication-config file and oidc-* flags are mutually exclusive")]
    ConfigAndOidc,
    /// The configuration cannot be read.
    #[error("failed to load authentication configuration from file {0:?}: {1}")]
    Config(String, ConfigError),
    /// The configuration, or the flags in its place, say what cannot be.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// An issuer can never be asked.
    #[error(transparent)]
    Issuer(#[from] Unusable),
    /// The kubeconfig of a webhook cannot be used.
    #[error("{0}")]
    Webhook(String),
    /// A version of reviews that there is none of.
    #[error(
        "unsupported authentication webhook version {0:?}, supported versions are \"v1\", \
         \"v1beta1\""
    )]
    WebhookVersion(String),
    /// The authority of client certificates cannot be used.
    #[error("unable to load client CA: {0}")]
    ClientCa(pki::Error),
}

/// The algorithms of a configuration file: all that can be verified.
pub(super) fn all_algorithms() -> Vec<String> {
    let known = |algorithm: &&str| *algorithm != pki::jwt::UNKNOWN_ALGORITHM;
    pki::jwt::ALGORITHMS.iter().copied().filter(known).map(str::to_owned).collect()
}

impl Oidc {
    /// Checks the flags against each other.
    pub(super) fn check(&self) -> Result<(), OptionsError> {
        if self.issuer_url.is_empty() || self.client_id.is_empty() {
            return Err(OptionsError::OidcIncomplete);
        }
        let all = all_algorithms();
        match self.signing_algs.iter().find(|algorithm| !all.contains(algorithm)) {
            Some(unknown) => Err(OptionsError::Algorithm(unknown.clone())),
            None => Ok(()),
        }
    }

    /// The configuration that says the same.
    pub(super) fn to_configuration(&self) -> Result<Configuration, OptionsError> {
        let prefix = match self.username_prefix.as_str() {
            "" if self.username_claim != "email" => format!("{}#", self.issuer_url),
            "-" => String::new(),
            prefix => prefix.to_owned(),
        };
        let authority = match &self.ca_file {
            None => String::new(),
            Some(path) => watched_file::read(path)
                .map_err(|why| OptionsError::File(path.display().to_string(), why.to_string()))?,
        };
        let mapping = |claim: &str, prefix: &str| Mapping {
            claim: claim.to_owned(),
            prefix: prefix.to_owned(),
            ..Mapping::default()
        };
        let groups = match self.groups_claim.as_str() {
            "" => Mapping::default(),
            claim => mapping(claim, &self.groups_prefix),
        };
        let rules = self.required_claims.iter().map(|(claim, value)| ClaimRule {
            claim: claim.clone(),
            required_value: value.clone(),
            ..ClaimRule::default()
        });
        let jwt = JwtAuthenticator {
            issuer: Issuer {
                url: self.issuer_url.clone(),
                audiences: vec![self.client_id.clone()],
                certificate_authority: authority,
                ..Issuer::default()
            },
            claim_mappings: ClaimMappings {
                username: mapping(&self.username_claim, &prefix),
                groups,
                ..ClaimMappings::default()
            },
            claim_validation_rules: rules.collect(),
            ..JwtAuthenticator::default()
        };
        Ok(Configuration { jwt: vec![jwt], anonymous: None })
    }
}

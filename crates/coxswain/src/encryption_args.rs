//! Options of the encryption of stored values, by upstream's names.

use std::path::PathBuf;

use apiserver::EncryptionOptions;

/// How stored values are encrypted.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Encryption")]
pub(crate) struct EncryptionArgs {
    /// File with an EncryptionConfiguration; without one values are stored as they are.
    #[arg(long)]
    encryption_provider_config: Option<PathBuf>,
    /// Reads that file again when it changes.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true,
          default_value_t = false, action = clap::ArgAction::Set)]
    encryption_provider_config_automatic_reload: bool,
}

impl EncryptionArgs {
    /// The options of the API server.
    pub(crate) fn options(&self) -> EncryptionOptions {
        EncryptionOptions {
            config: self.encryption_provider_config.clone(),
            automatic_reload: self.encryption_provider_config_automatic_reload,
        }
    }
}

//! Options of the audit, by upstream's names.

use std::path::PathBuf;
use std::time::Duration;

use apimachinery::time::parse_duration;
use apiserver::{AuditFormat, AuditLog, AuditMode, AuditOptions, AuditTruncate, AuditWebhook};

/// The audit policy and where events go; upstream's options.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Audit")]
pub(crate) struct AuditArgs {
    /// File with the audit policy; without one nothing is audited.
    #[arg(long)]
    audit_policy_file: Option<PathBuf>,
    /// File that events are appended to; - for standard output.
    #[arg(long)]
    audit_log_path: Option<PathBuf>,
    /// How its lines look: json, or legacy for one line of text.
    #[arg(long, default_value = "json")]
    audit_log_format: AuditFormat,
    /// Days for which older files are kept; 0 for ever.
    #[arg(long, default_value_t = 366)]
    audit_log_maxage: u64,
    /// Older files that are kept; 0 for all.
    #[arg(long, default_value_t = 100)]
    audit_log_maxbackup: usize,
    /// Megabytes after which a new file is begun; 0 for never.
    #[arg(long, default_value_t = 100)]
    audit_log_maxsize: u64,
    /// Compresses older files.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    audit_log_compress: bool,
    /// The way to the log: batch, blocking or blocking-strict.
    #[arg(long, default_value = "blocking")]
    audit_log_mode: AuditMode,
    /// Events that wait for the log in mode batch.
    #[arg(long, default_value_t = 10_000)]
    audit_log_batch_buffer_size: usize,
    /// Leaves the objects out of events that are too large for the log.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    audit_log_truncate_enabled: bool,
    /// Most bytes of an event in the log.
    #[arg(long, default_value_t = 102_400)]
    audit_log_truncate_max_event_size: u64,
    /// Kubeconfig of a webhook that events are sent to.
    #[arg(long)]
    audit_webhook_config_file: Option<PathBuf>,
    /// Wait before a failed batch is sent again.
    #[arg(long, default_value = "10s", value_parser = duration)]
    audit_webhook_initial_backoff: Duration,
    /// Events that wait for the webhook.
    #[arg(long, default_value_t = 10_000)]
    audit_webhook_batch_buffer_size: usize,
    /// Most events of a batch.
    #[arg(long, default_value_t = 400)]
    audit_webhook_batch_max_size: usize,
    /// Longest time for which a batch is gathered.
    #[arg(long, default_value = "30s", value_parser = duration)]
    audit_webhook_batch_max_wait: Duration,
    /// Limits how often batches are sent.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    audit_webhook_batch_throttle_enable: bool,
    /// Batches a second.
    #[arg(long, default_value_t = 10.0)]
    audit_webhook_batch_throttle_qps: f64,
    /// Batches at once after a pause.
    #[arg(long, default_value_t = 15)]
    audit_webhook_batch_throttle_burst: u32,
    /// Leaves the objects out of events that are too large for the webhook.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true")]
    audit_webhook_truncate_enabled: bool,
    /// Most bytes of an event for the webhook.
    #[arg(long, default_value_t = 102_400)]
    audit_webhook_truncate_max_event_size: u64,
    /// Most bytes of a batch.
    #[arg(long, default_value_t = 10_485_760)]
    audit_webhook_truncate_max_batch_size: u64,
}

/// Why text is no duration.
#[derive(Debug, thiserror::Error)]
#[error("a duration is needed, such as 10s")]
pub(crate) struct NoDuration;

/// A time as Go writes it.
pub(crate) fn duration(text: &str) -> Result<Duration, NoDuration> {
    let nanos = parse_duration(text).and_then(|nanos| u64::try_from(nanos).ok());
    nanos.map(Duration::from_nanos).ok_or(NoDuration)
}

impl AuditArgs {
    pub(crate) fn options(&self) -> AuditOptions {
        let log = self.audit_log_path.as_ref().map(|path| {
            let max_event_size = self.audit_log_truncate_max_event_size;
            let truncate = AuditTruncate {
                max_event_size,
                max_batch_size: AuditTruncate::default().max_batch_size.max(max_event_size),
            };
            AuditLog {
                format: self.audit_log_format,
                mode: self.audit_log_mode,
                buffer_size: self.audit_log_batch_buffer_size,
                max_size: self.audit_log_maxsize,
                max_age: self.audit_log_maxage,
                max_backups: self.audit_log_maxbackup,
                compress: self.audit_log_compress,
                truncate: self.audit_log_truncate_enabled.then_some(truncate),
                ..AuditLog::new(path)
            }
        });
        let webhook = self.audit_webhook_config_file.as_ref().map(|file| AuditWebhook {
            initial_backoff: self.audit_webhook_initial_backoff,
            buffer_size: self.audit_webhook_batch_buffer_size,
            batch_max_size: self.audit_webhook_batch_max_size,
            batch_max_wait: self.audit_webhook_batch_max_wait,
            throttle: self.audit_webhook_batch_throttle_enable.then_some((
                self.audit_webhook_batch_throttle_qps,
                self.audit_webhook_batch_throttle_burst,
            )),
            truncate: self.audit_webhook_truncate_enabled.then_some(AuditTruncate {
                max_event_size: self.audit_webhook_truncate_max_event_size,
                max_batch_size: self.audit_webhook_truncate_max_batch_size,
            }),
            ..AuditWebhook::new(file)
        });
        AuditOptions { policy_file: self.audit_policy_file.clone(), log, webhook }
    }
}

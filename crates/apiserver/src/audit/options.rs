//! Upstream's options of the audit, and what is wrong with them.

use std::path::PathBuf;
use std::time::Duration;

use apimachinery::text::quote;

/// How events reach a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditMode {
    /// Events wait in a buffer; those that find it full are counted as lost.
    Batch,
    /// Each event is written before the request goes on.
    Blocking,
    /// And a request whose first event cannot be written is refused.
    BlockingStrict,
}

/// The modes by their names in options.
const MODES: [(&str, AuditMode); 3] = [
    ("batch", AuditMode::Batch),
    ("blocking", AuditMode::Blocking),
    ("blocking-strict", AuditMode::BlockingStrict),
];

/// Why text names no mode or format.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("allowed values are {}", quote(.0))]
pub struct Unknown(String);

impl std::str::FromStr for AuditMode {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let known = MODES.iter().find(|(name, _)| *name == text);
        let names: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
        known.map(|(_, mode)| *mode).ok_or_else(|| Unknown(names.join(",")))
    }
}

/// How the log's lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditFormat {
    /// One line of text for each event, without objects.
    Legacy,
    /// One object of `audit.k8s.io/v1` a line.
    Json,
}

impl std::str::FromStr for AuditFormat {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text {
            "legacy" => Ok(Self::Legacy),
            "json" => Ok(Self::Json),
            _ => Err(Unknown("legacy,json".to_owned())),
        }
    }
}

/// The sizes to which events are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditTruncate {
    /// Most bytes of one event: a larger one loses its objects, and is lost itself if that does not
    /// suffice.
    pub max_event_size: u64,
    /// Most bytes of the events that are sent at once.
    pub max_batch_size: u64,
}

impl Default for AuditTruncate {
    fn default() -> Self {
        Self { max_event_size: 100 << 10, max_batch_size: 10 << 20 }
    }
}

/// The log of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLog {
    /// The file; `-` for standard output.
    pub path: PathBuf,
    /// How lines look.
    pub format: AuditFormat,
    /// How events reach it.
    pub mode: AuditMode,
    /// Events that wait in mode `batch`.
    pub buffer_size: usize,
    /// MiB after which a new file is begun; 0 for never.
    pub max_size: u64,
    /// Days for which older files are kept; 0 for ever.
    pub max_age: u64,
    /// Older files that are kept; 0 for all.
    pub max_backups: usize,
    /// Older files are compressed.
    pub compress: bool,
    /// The sizes to which events are cut, if they are.
    pub truncate: Option<AuditTruncate>,
}

impl AuditLog {
    /// A log with upstream's defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            format: AuditFormat::Json,
            mode: AuditMode::Blocking,
            buffer_size: 10_000,
            max_size: 100,
            max_age: 366,
            max_backups: 100,
            compress: false,
            truncate: None,
        }
    }
}

/// The webhook that events are sent to, always in batches.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditWebhook {
    /// A kubeconfig that says where it is and how it is authenticated to.
    pub config_file: PathBuf,
    /// Wait before a failed batch is sent again for the first time.
    pub initial_backoff: Duration,
    /// Events that wait.
    pub buffer_size: usize,
    /// Most events of a batch.
    pub batch_max_size: usize,
    /// Longest time for which a batch is gathered.
    pub batch_max_wait: Duration,
    /// Batches a second, and how many at once after a pause; `None` for no limit.
    pub throttle: Option<(f64, u32)>,
    /// The sizes to which events are cut, if they are.
    pub truncate: Option<AuditTruncate>,
}

impl AuditWebhook {
    /// A webhook with upstream's defaults.
    pub fn new(config_file: impl Into<PathBuf>) -> Self {
        Self {
            config_file: config_file.into(),
            initial_backoff: Duration::from_secs(10),
            buffer_size: 10_000,
            batch_max_size: 400,
            batch_max_wait: Duration::from_secs(30),
            throttle: Some((10.0, 15)),
            truncate: None,
        }
    }
}

/// The policy, and where events go. Without a policy nothing is audited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditOptions {
    /// File with a Policy of `audit.k8s.io/v1` (`--audit-policy-file`).
    pub policy_file: Option<PathBuf>,
    /// The log, if there is one.
    pub log: Option<AuditLog>,
    /// The webhook, if there is one.
    pub webhook: Option<AuditWebhook>,
}

/// The reason why there can be no audit as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The values of options are wrong.
    #[error("{0}")]
    Options(String),
    /// The policy cannot be read.
    #[error("loading audit policy file: {0}")]
    Policy(String),
    /// The log cannot be written.
    #[error("audit log file {}: {why}", .path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
    /// The webhook cannot be called.
    #[error("initializing audit webhook: {0}")]
    Webhook(String),
}

impl AuditOptions {
    pub(super) fn check(&self) -> Result<(), AuditError> {
        let mut faults = Vec::new();
        if let Some(log) = &self.log {
            if log.mode == AuditMode::Batch {
                check_buffer("log", log.buffer_size, &mut faults);
            }
            check_truncate("log", log.truncate, &mut faults);
        }
        if let Some(webhook) = &self.webhook {
            check_buffer("webhook", webhook.buffer_size, &mut faults);
            if webhook.batch_max_size == 0 {
                faults.push(
                    "invalid audit batch webhook max batch size 0, must be a positive number"
                        .to_owned(),
                );
            }
            if let Some((qps, burst)) = webhook.throttle {
                if qps.is_nan() || qps <= 0.0 {
                    faults.push(format!(
                        "invalid audit batch webhook throttle QPS {qps}, must be a positive number"
                    ));
                } else if burst == 0 {
                    faults.push(
                        "invalid audit batch webhook throttle burst 0, must be a positive number"
                            .to_owned(),
                    );
                }
            }
            check_truncate("webhook", webhook.truncate, &mut faults);
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(AuditError::Options(apimachinery::text::aggregate(&faults)))
    }
}

fn check_buffer(plugin: &str, size: usize, faults: &mut Vec<String>) {
    if size == 0 {
        faults
            .push(format!("invalid audit batch {plugin} buffer size 0, must be a positive number"));
    }
}

fn check_truncate(plugin: &str, truncate: Option<AuditTruncate>, faults: &mut Vec<String>) {
    let Some(AuditTruncate { max_event_size, max_batch_size }) = truncate else { return };
    if max_event_size == 0 {
        faults.push(format!(
            "invalid audit truncate {plugin} max event size 0, must be a positive number"
        ));
    } else if max_batch_size < max_event_size {
        faults.push(format!(
            "invalid audit truncate {plugin} max batch size {max_batch_size}, must be greater than \
             max event size ({max_event_size})"
        ));
    }
}

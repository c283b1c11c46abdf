//! Encryption at rest: values are sealed before the store has them, and opened when they are read.
//!
//! The forms are upstream's, byte for byte: a prefix that names the provider and its key, then what
//! the cipher makes. The place of a value, its key in the store, is authenticated with it where the
//! cipher can do that.

mod cipher;
mod config;
mod kms;
mod provider;
mod reload;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use zeroize::Zeroizing;

use crate::metrics::Encryption as Metrics;
use crate::watched_file::{self, WatchedFile};
use config::GroupResource;
use kms::Kms;
use provider::Provider;

#[cfg(test)]
pub(crate) use kms::testing::{Mood, Plugin};
pub(crate) use provider::{OpenError, SealError};
pub(crate) use reload::run;

/// The beginning of every sealed value.
pub(crate) const SEALED: &[u8] = b"k8s:enc:";
/// The name of the health check of plugins.
pub(crate) const HEALTH: &str = "kms-providers";

/// Identifies how a value is sealed: a hash of the provider and its key.
pub(crate) type Seal = [u8; 32];

fn fingerprint(parts: &[&[u8]]) -> Seal {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// How stored values are encrypted.
#[derive(Clone, Debug, Default)]
pub struct EncryptionOptions {
    /// The file with an EncryptionConfiguration (`--encryption-provider-config`).
    pub config: Option<PathBuf>,
    /// The file is read again when it changes.
    pub automatic_reload: bool,
}

/// Why values cannot be encrypted as configured.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// The options contradict each other.
    #[error(
        "--encryption-provider-config-automatic-reload must be set with \
         --encryption-provider-config"
    )]
    ReloadOfNothing,
    /// The file cannot be read.
    #[error(
        "error while parsing file: error while loading file: error reading encryption provider \
         configuration file {path:?}: {source}"
    )]
    Unread {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file is empty.
    #[error(
        "error while parsing file: error while loading file: encryption provider configuration file \
         {0:?} is empty"
    )]
    Empty(PathBuf),
    /// The file says what it may not.
    #[error(
        "error while parsing file: error decoding encryption provider configuration file {path:?}: {why}"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why, without any secret.
        why: String,
    },
    /// The file contradicts itself.
    #[error("error while parsing file: {0}")]
    Invalid(String),
    /// The file asks for something that is not done.
    #[error("error while building transformers: {0}")]
    Unusable(String),
    /// The file cannot be watched.
    #[error("watching {path:?}: {source}")]
    Unwatched {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// The providers in force.
struct Loaded {
    by_resource: HashMap<GroupResource, Vec<Arc<Provider>>>,
    plugins: Vec<Arc<Kms>>,
    /// Time for all plugins to answer.
    patience: Duration,
    /// Ends what runs for the plugins.
    _life: DropGuard,
}

/// Seals and opens values as the configuration says.
pub(crate) struct Encryption {
    path: PathBuf,
    /// The file, if it is read again when it changes.
    watched: Option<WatchedFile>,
    loaded: ArcSwap<Loaded>,
    /// The hash of the text in force.
    text: Mutex<Seal>,
    metrics: Arc<Metrics>,
    /// Told when what could not be opened may be tried again.
    ready: Arc<Notify>,
}

impl Encryption {
    /// Reads the configuration; `None` if there is none. A plugin that does not answer yet is no
    /// error.
    pub(crate) async fn open(
        options: &EncryptionOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Self>, EncryptionError> {
        let Some(path) = options.config.clone() else {
            return match options.automatic_reload {
                true => Err(EncryptionError::ReloadOfNothing),
                false => Ok(None),
            };
        };
        let reload = options.automatic_reload;
        // Watched before it is read, so that no change is missed.
        let watched = reload.then(|| WatchedFile::open(&path)).transpose();
        let watched =
            watched.map_err(|source| EncryptionError::Unwatched { path: path.clone(), source })?;
        let text = read(&path)?;
        let ready = Arc::new(Notify::new());
        let loaded = load(&path, &text, reload, &metrics, &ready).await?;
        Ok(Some(Self {
            path,
            watched,
            loaded: ArcSwap::from_pointee(loaded),
            text: Mutex::new(fingerprint(&[text.as_bytes()])),
            metrics,
            ready,
        }))
    }

    /// Waits until what could not be opened may be tried again.
    pub(crate) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Returns true if the server's health has a check of plugins.
    pub(crate) fn has_health(&self) -> bool {
        self.watched.is_some() || !self.loaded.load().plugins.is_empty()
    }

    /// Returns true if every plugin is well.
    pub(crate) async fn is_healthy(&self) -> bool {
        let loaded = self.loaded.load_full();
        for plugin in &loaded.plugins {
            if plugin.check().await.is_err() {
                return false;
            }
        }
        true
    }

    /// Seals a value of a resource for a place; `None` if it is stored as it is.
    ///
    /// # Errors
    /// The provider has no key.
    pub(crate) fn seal(
        &self,
        of: (&str, &str),
        value: &[u8],
        place: &str,
    ) -> Result<Option<(Vec<u8>, Seal)>, SealError> {
        let loaded = self.loaded.load();
        let Some(first) = loaded.providers(of).first() else { return Ok(None) };
        first.seal(of, value, place.as_bytes(), &self.metrics)
    }

    /// The mark of values of a resource that are sealed now; `None` where they are stored as they
    /// are.
    pub(crate) fn seal_now(&self, of: (&str, &str)) -> Option<Seal> {
        self.loaded.load().providers(of).first().and_then(|first| first.seal_now())
    }

    /// Returns true if values of a resource are sealed.
    pub(crate) fn seals(&self, of: (&str, &str)) -> bool {
        self.loaded.load().providers(of).first().is_some_and(|first| first.seals())
    }

    /// Opens a value of a place; `None` if it is stored as it is.
    ///
    /// # Errors
    /// No provider of the resource opens it.
    pub(crate) async fn unseal(
        &self,
        of: (&str, &str),
        stored: &[u8],
        place: &str,
    ) -> Result<Option<(Vec<u8>, Seal)>, OpenError> {
        let loaded = self.loaded.load_full();
        let providers = loaded.providers(of);
        provider::open(providers, of, stored, place.as_bytes(), &self.metrics).await
    }
}

impl Loaded {
    /// The providers of a resource; none where values are stored as they are.
    fn providers(&self, (group, resource): (&str, &str)) -> &[Arc<Provider>] {
        let any = || "*".to_owned();
        [(group.to_owned(), resource.to_owned()), (group.to_owned(), any()), (any(), any())]
            .iter()
            .find_map(|of| self.by_resource.get(of))
            .map_or(&[], Vec::as_slice)
    }
}

/// The text of a configuration. It is erased when it is dropped.
fn read(path: &std::path::Path) -> Result<Zeroizing<String>, EncryptionError> {
    let text = watched_file::read(path).map(Zeroizing::new);
    let text = text.map_err(|source| EncryptionError::Unread { path: path.to_owned(), source })?;
    match text.is_empty() {
        true => Err(EncryptionError::Empty(path.to_owned())),
        false => Ok(text),
    }
}

/// The providers of a text, whose plugins have been asked for their keys.
async fn load(
    path: &std::path::Path,
    text: &str,
    reload: bool,
    metrics: &Arc<Metrics>,
    ready: &Arc<Notify>,
) -> Result<Loaded, EncryptionError> {
    let rules = config::read(text, reload).map_err(|why| match why {
        config::ConfigError::Malformed(why) => {
            EncryptionError::Malformed { path: path.to_owned(), why }
        }
        config::ConfigError::Invalid(why) => EncryptionError::Invalid(why),
        config::ConfigError::Unsupported(why) => EncryptionError::Unusable(why),
    })?;
    let life = CancellationToken::new();
    let mut loaded = Loaded {
        by_resource: HashMap::new(),
        plugins: Vec::new(),
        patience: Duration::ZERO,
        _life: life.clone().drop_guard(),
    };
    for rule in rules {
        let mut providers = Vec::new();
        for given in rule.providers {
            if let config::Provider::Kms(plugin) = &given {
                loaded.patience += plugin.timeout * 2;
            }
            let made = Provider::new(given, metrics, ready);
            loaded.plugins.extend(made.plugin().cloned());
            providers.push(Arc::new(made));
        }
        for of in rule.resources {
            let all = ("*".to_owned(), "*".to_owned());
            for wider in [(of.0.clone(), "*".to_owned()), all] {
                if loaded.by_resource.contains_key(&wider) {
                    let (one, other) = (shown(&of), shown(&wider));
                    return Err(EncryptionError::Unusable(format!(
                        "resource {one:?} is masked by earlier rule {other:?}"
                    )));
                }
            }
            loaded.by_resource.entry(of).or_default().extend(providers.iter().cloned());
        }
    }
    for plugin in &loaded.plugins {
        plugin.start(life.clone()).await;
    }
    Ok(loaded)
}

/// A resource as the file names it.
fn shown((group, resource): &GroupResource) -> String {
    match (group.as_str(), resource.as_str()) {
        ("", "*") => "*.".to_owned(),
        ("", resource) => resource.to_owned(),
        (group, resource) => format!("{resource}.{group}"),
    }
}

/// Stored values that cannot be opened, by their keys.
pub(crate) type Unreadable = BTreeMap<store::Key, (store::Record, String)>;

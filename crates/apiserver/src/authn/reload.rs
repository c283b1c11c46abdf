//! Reads the configuration of authentication again when its file changes.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::config::{self, Anonymous, ConfigError};
use super::jwt::{self, Issuer};
use super::options::all_algorithms;
use crate::server::Server;
use crate::watched_file::{self, WatchedFile};

/// Time for new issuers to become usable; and after it, until they are tried again.
const PATIENCE: Duration = Duration::from_secs(60);

/// The file, and what of it was read last.
pub(super) struct Applied {
    path: PathBuf,
    file: WatchedFile,
    /// A text that is in force, or that never can be.
    text: Mutex<String>,
    /// Which anonymous requests are allowed must not change.
    anonymous: Option<Anonymous>,
}

impl Applied {
    /// A file that was read.
    pub(super) fn new(path: &Path, text: String, anonymous: Option<Anonymous>) -> io::Result<Self> {
        let (path, file) = (path.to_owned(), WatchedFile::open(path)?);
        Ok(Self { path, file, text: Mutex::new(text), anonymous })
    }
}

/// Why a changed file is not in force.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// It may become so without being changed.
    #[error("{0}")]
    Now(String),
    /// It never will.
    #[error("{0}")]
    Forever(#[from] ConfigError),
}

/// Follows the file until the server is dropped.
pub(crate) async fn run(server: Weak<Server>) {
    let applied = server.upgrade().and_then(|server| server.authn.file.clone());
    let Some(applied) = applied else { return pending().await };
    let mut again: Option<Instant> = None;
    loop {
        let due = async {
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => pending().await,
            }
        };
        // The server is not held meanwhile.
        tokio::select! {
            changed = applied.file.changed() => if let Err(why) = changed {
                tracing::error!(%why, "watching authentication config file");
                return pending().await;
            },
            () = due => {}
        }
        let Some(server) = server.upgrade() else { return };
        again = apply(&server, &applied).await;
    }
}

/// Puts the file in force, if it says something new. Returns when it should be tried again.
async fn apply(server: &Server, applied: &Applied) -> Option<Instant> {
    let text = match watched_file::read(&applied.path) {
        Ok(text) if text == *applied.text.lock() => return None,
        Ok(text) => text,
        Err(why) => {
            server.metrics.authentication_reloads.reloaded(false);
            tracing::error!(%why, "failed to read authentication config file");
            return Some(Instant::now() + PATIENCE);
        }
    };
    match issuers(server, applied, &text).await {
        Ok(issuers) => {
            server.metrics.jwt.retain(issuers.iter().map(|issuer| issuer.url()));
            server.authn.issuers.replace(issuers);
            server.metrics.authentication_reloads.in_force(&text);
            server.metrics.authentication_reloads.reloaded(true);
            *applied.text.lock() = text;
            tracing::info!("reloaded authentication config");
            None
        }
        Err(failure) => {
            server.metrics.authentication_reloads.reloaded(false);
            tracing::error!(why = %failure, "failed to reload authentication config");
            match failure {
                Failure::Now(_) => Some(Instant::now() + PATIENCE),
                Failure::Forever(_) => {
                    *applied.text.lock() = text;
                    None
                }
            }
        }
    }
}

/// The issuers of a text, all of which can verify tokens.
async fn issuers(
    server: &Server,
    applied: &Applied,
    text: &str,
) -> Result<Vec<Arc<Issuer>>, Failure> {
    let value = config::decode(text)?;
    let anonymous = value.get("anonymous").cloned();
    let anonymous: Option<Anonymous> = anonymous.and_then(|a| serde_json::from_value(a).ok());
    let changed = (anonymous != applied.anonymous)
        .then(|| config::anonymous_forbidden("changed from initial configuration file"));
    let (configuration, mappers) = config::read(&value, &server.authn.own_issuers, changed)?;
    let algorithms = all_algorithms();
    let issuers = jwt::issuers(&configuration, mappers, &algorithms, &server.metrics.jwt);
    let issuers = issuers.map_err(|why| Failure::Now(why.to_string()))?;
    let deadline = Instant::now() + PATIENCE;
    for issuer in &issuers {
        issuer.ready(deadline).await.map_err(|why| Failure::Now(why.to_string()))?;
    }
    Ok(issuers)
}
